"""Train a model that pronounces words which a lexicon lacks (letters to phones), and say how well it does on words held out."""

import sys
import tempfile
from pathlib import Path

from asrtool.arguments import existing_path, parser
from asrtool.errors import AsrtoolError


def main(arguments: list[str]) -> int:
    options = parser("train-g2p", __doc__, "asrtool train-g2p data/local/dict exp/g2p/g2p.arpa.gz")
    options.add_argument("--order", type=int, default=6, help="of the longest n-grams of letter-phone pieces (default 6)")
    options.add_argument("--num-iters", type=int, default=12, help="iterations of the alignment (default 12)")
    options.add_argument(
        "--held-out", type=float, default=0.0, help="share of the words to test a first model on (default 0: none)"
    )
    options.add_argument("--seed", type=int, default=0, help="of the choice of these words (default 0)")
    options.add_argument("lexicon", type=existing_path, help="dictionary directory, or a file such as lexicon.txt, lexiconp.txt")
    options.add_argument("model", type=Path, help="ARPA file to write, .gz by its name")
    args = options.parse_args(arguments)
    if not 0.0 <= args.held_out < 1.0:
        raise AsrtoolError(f"--held-out {args.held_out}: expected 0 <= held-out < 1")

    from asrtool.lang.g2p import G2p
    from asrtool.lang.g2p_lexicon import hold_out, read_entries
    from asrtool.lang.g2p_train import G2pOptions, train_g2p
    from asrtool.score.g2p import score_g2p

    settings = G2pOptions(args.order, args.num_iters)
    entries = read_entries(args.lexicon)
    if args.held_out:
        rest, held_out = hold_out(entries, args.held_out, args.seed)
        if not held_out or not rest:
            raise AsrtoolError(f"--held-out {args.held_out}: {args.lexicon} has too few words for that")
        with tempfile.TemporaryDirectory() as scratch:
            train_g2p(rest, f"{scratch}/g2p.arpa", settings, str(args.lexicon))
            print(f"held out: {score_g2p(G2p.load(f'{scratch}/g2p.arpa'), held_out).summary()}", file=sys.stderr)
    summary = train_g2p(entries, args.model, settings, str(args.lexicon))
    for word, phones in summary.unfit[:10]:
        print(f"WARNING: {args.lexicon}: '{word}' left out: far more phones than letters: {' '.join(phones)}", file=sys.stderr)
    sizes = " ".join(f"ngram{order}={number}" for order, number in enumerate(summary.num_ngrams, 1))
    print(f"{args.model}: entries={summary.num_words} left_out={len(summary.unfit)} {sizes}", file=sys.stderr)
    return 0
