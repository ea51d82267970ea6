"""Train an n-gram language model by interpolated modified Kneser-Ney on text; writes an ARPA file (.gz by its name)."""

import sys

from asrtool.arguments import boolean, parser
from asrtool.errors import AsrtoolError
from asrtool.lm.arpa import write_arpa
from asrtool.lm.counts import count_ngrams
from asrtool.lm.kneser_ney import estimate
from asrtool.lm.text import encode, read_sentences, read_vocabulary, vocabulary_of


def main(arguments: list[str]) -> int:
    options = parser("train-lm", __doc__, "asrtool train-lm --order 5 --vocab data/lang/words.txt data/local/lm/text lm5.arpa.gz")
    options.add_argument("--order", type=int, default=3, help="the longest n-grams (default 3)")
    options.add_argument("--vocab", help="word list or words.txt: the model's words (default: those of the text)")
    options.add_argument("--unknown-word", help="stands for words outside the vocabulary (default: none, n-grams are dropped)")
    options.add_argument("--utterance-ids", type=boolean, default=False, help="lines start with an utterance id (default false)")
    options.add_argument("text", nargs="+", help="a sentence a line; several files count as one")
    options.add_argument("arpa", help="the ARPA file to write")
    args = options.parse_args(arguments)
    if args.order < 1:
        raise AsrtoolError(f"--order {args.order}: expected 1 or more")
    if args.unknown_word in ("<s>", "</s>"):
        raise AsrtoolError(f"--unknown-word {args.unknown_word}: this word has another use; '<unk>' is usual")
    sentences = [sentence for path in args.text for sentence in read_sentences(path, args.utterance_ids)]
    vocabulary = read_vocabulary(args.vocab, args.unknown_word) if args.vocab else vocabulary_of(sentences, args.unknown_word)
    corpus = encode(sentences, vocabulary)
    if corpus.num_oovs == corpus.num_words:
        raise AsrtoolError(f"{args.text[0]}: none of its words is in {args.vocab}")
    counts = count_ngrams(corpus, len(vocabulary), args.order)
    if len(counts.keys[-1]) == 0:
        longest = max(order for order, keys in enumerate(counts.keys, 1) if len(keys))
        raise AsrtoolError(f"{args.text[0]}: no {args.order}-grams, the sentences are too short; use --order {longest} or less")
    model, discounts = estimate(counts, vocabulary)
    for order, (values, is_fallback) in enumerate(discounts, 1):
        note = " (fixed: the counts of counts allow no estimate)" if is_fallback else ""
        print(f"order {order}: discounts {' '.join(f'{value:.4f}' for value in values)}{note}", file=sys.stderr)
    write_arpa(args.arpa, model)
    sizes = " ".join(f"ngram{order}={number}" for order, number in enumerate(model.num_ngrams(), 1))
    print(
        f"{args.arpa}: sentences={corpus.num_sentences} words={corpus.num_words} oovs={corpus.num_oovs} {sizes}", file=sys.stderr
    )
    return 0
