"""Print the perplexity of an ARPA language model on text, with and without sentence ends, and the unknown words."""

from asrtool.arguments import boolean, parser
from asrtool.lm.arpa import read_arpa
from asrtool.lm.perplexity import perplexity
from asrtool.lm.text import read_sentences


def main(arguments: list[str]) -> int:
    options = parser("perplexity", __doc__, "asrtool perplexity lm3.arpa.gz data/dev/text --utterance-ids true")
    options.add_argument("--utterance-ids", type=boolean, default=False, help="lines start with an utterance id (default false)")
    options.add_argument("--unknown-word", help="predicted for words that the model lacks (default: <unk> or <UNK> if there)")
    options.add_argument("arpa", help="the model, gzipped or not")
    options.add_argument("text", nargs="+", help="a sentence a line; one line of figures for each file")
    args = options.parse_args(arguments)
    model = read_arpa(args.arpa, args.unknown_word)
    for path in args.text:
        print(f"{path}: {perplexity(model, read_sentences(path, args.utterance_ids)).summary()}")
    return 0
