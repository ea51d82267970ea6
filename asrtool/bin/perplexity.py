"""Print the perplexity of an ARPA language model on text, with and without sentence ends, and the unknown words."""

from asrtool.arguments import boolean, parser
from asrtool.io.atomic_file import write_text
from asrtool.lm.arpa import read_arpa
from asrtool.lm.perplexity import SentenceScore, file_perplexity


def main(arguments: list[str]) -> int:
    options = parser("perplexity", __doc__, "asrtool perplexity lm3.arpa.gz data/dev/text --utterance-ids true --top-oovs 20")
    options.add_argument("--utterance-ids", type=boolean, default=False, help="lines start with an utterance id (default false)")
    options.add_argument("--unknown-word", help="predicted for words that the model lacks (default: <unk> or <UNK> if there)")
    options.add_argument("--top-oovs", type=int, default=0, metavar="N", help="print the N most frequent unknown words")
    options.add_argument(
        "--per-sentence",
        metavar="FILE",
        help="write each sentence's words, OOVs, log10 probability, perplexity, text",
    )
    options.add_argument("arpa", help="the model, gzipped or not")
    options.add_argument("text", nargs="+", help="a sentence a line, .gz or not; one line of figures for each file")
    args = options.parse_args(arguments)
    model = read_arpa(args.arpa, args.unknown_word)
    sentences: list[SentenceScore] | None = [] if args.per_sentence else None
    for path in args.text:
        result = file_perplexity(model, path, args.utterance_ids, sentences)
        print(f"{path}: {result.summary()}")
        for word, count in sorted(result.oov_counts.items(), key=lambda item: (-item[1], item[0]))[: args.top_oovs]:
            print(f"  oov {count} {word}")
    if sentences is not None:
        is_closed = model.vocabulary.unknown_id < 0
        write_text(args.per_sentence, "".join(f"{sentence.line(is_closed)}\n" for sentence in sentences))
    return 0
