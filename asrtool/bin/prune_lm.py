"""Prune an ARPA language model by relative entropy (Stolcke), to a threshold as SRILM's ngram -prune."""

import sys

from asrtool.arguments import parser
from asrtool.lm.arpa import read_arpa, write_arpa
from asrtool.lm.entropy_pruning import prune


def main(arguments: list[str]) -> int:
    options = parser("prune-lm", __doc__, "asrtool prune-lm --threshold 1e-8 lm3.arpa.gz lm3_pruned.arpa.gz")
    options.add_argument("--threshold", type=float, required=True, help="n-grams that add less to the perplexity go, 1e-8 say")
    options.add_argument("--min-order", type=int, default=2, help="n-grams of lower orders all stay (default 2)")
    options.add_argument(
        "--history-lm",
        metavar="ARPA",
        help="gives the histories' probabilities, for Kneser-Ney models (default: arpa)",
    )
    options.add_argument("arpa", help="the model, gzipped or not")
    options.add_argument("pruned_arpa", help="the ARPA file to write")
    args = options.parse_args(arguments)
    model = read_arpa(args.arpa)
    history_model = read_arpa(args.history_lm) if args.history_lm else None
    pruned = prune(model, args.threshold, args.min_order, history_model)
    write_arpa(args.pruned_arpa, pruned)
    sizes = [*pruned.num_ngrams(), *[0] * (model.order - pruned.order)]
    kept = " ".join(f"ngram{n}={new}/{old}" for n, (new, old) in enumerate(zip(sizes, model.num_ngrams()), 1))
    print(f"{args.pruned_arpa}: kept {kept}", file=sys.stderr)
    return 0
