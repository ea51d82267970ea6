"""Interpolate ARPA language models linearly into one, with given weights or with those that fit a text best (EM)."""

import argparse
import sys

from asrtool.arguments import boolean, parser
from asrtool.errors import AsrtoolError
from asrtool.lm.arpa import read_arpa, write_arpa
from asrtool.lm.interpolation import em_weights, interpolate, token_probs, united_vocabulary
from asrtool.lm.text import encode, read_sentences


def main(arguments: list[str]) -> int:
    example = "asrtool interpolate-lm --dev-text data/dev/text --utterance-ids true lm_a.arpa.gz lm_b.arpa.gz lm.arpa.gz"
    options = parser("interpolate-lm", __doc__, example)
    options.add_argument("--weights", type=numbers, metavar="'0.7 0.3'", help="one a model, the sum is 1")
    options.add_argument("--dev-text", help="find the weights on this text: a sentence a line, .gz or not")
    options.add_argument("--utterance-ids", type=boolean, default=False, help="its lines start with an id (default false)")
    options.add_argument("arpa", nargs="+", help="two models or more, gzipped or not")
    options.add_argument("mixed_arpa", help="the ARPA file to write")
    args = options.parse_args(arguments)
    if (args.weights is None) == (args.dev_text is None):
        raise AsrtoolError("give either --weights or --dev-text")
    if len(args.arpa) < 2:
        raise AsrtoolError(f"{args.arpa[0]}: a single model; give two or more, and the file to write")
    models = [read_arpa(path) for path in args.arpa]
    weights = args.weights
    if args.dev_text:
        united = united_vocabulary(models)
        found = em_weights(token_probs(models, united, encode(read_sentences(args.dev_text, args.utterance_ids), united)))
        weights = found.weights
        print(f"{args.dev_text}: ppl={found.ppl:.4f} after {found.num_iterations} iterations", file=sys.stderr)
    mixed = interpolate(models, weights)
    print("weights: " + " ".join(f"{path}={weight:.6f}" for path, weight in zip(args.arpa, weights)), file=sys.stderr)
    write_arpa(args.mixed_arpa, mixed)
    sizes = " ".join(f"ngram{order}={number}" for order, number in enumerate(mixed.num_ngrams(), 1))
    print(f"{args.mixed_arpa}: {sizes}", file=sys.stderr)
    return 0


def numbers(text: str) -> list[float]:
    """'0.7 0.3'."""
    try:
        return [float(number) for number in text.replace(",", " ").split()]
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}': expected numbers, '0.7 0.3' say") from None
