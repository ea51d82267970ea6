"""Make the denominator graph of lattice-free MMI from the phone sequences of alignments."""

import sys
from pathlib import Path

from asrtool.arguments import boolean, existing_path, parser


def main(arguments: list[str]) -> int:
    options = parser("make-den-graph", __doc__, "asrtool make-den-graph exp/tri_ali exp/tri_ali/den")
    options.add_argument("--ngram-order", type=int, default=4, help="of the phone language model (default 4)")
    options.add_argument(
        "--no-prune-ngram-order",
        type=int,
        default=None,
        help="n-grams up to this order are all kept (default 3, or ngram-order where that is lower)",
    )
    options.add_argument("--num-extra-lm-states", type=int, default=2000, help="longer histories that are kept (default 2000)")
    options.add_argument(
        "--frame-subsampling-factor",
        type=int,
        default=None,
        help="10 ms frames for each of the alignments' (default: what ALI_DIR/frame_subsampling_factor says, else 1)",
    )
    options.add_argument(
        "--real-final-probs",
        type=boolean,
        default=False,
        help="end with the phone language model's final probabilities (default false: anywhere with probability 1)",
    )
    options.add_argument("ali_dir", type=existing_path, help="with ali.*.gz, final.mdl and tree")
    options.add_argument("out_dir", type=Path, help="the directory to write")
    args = options.parse_args(arguments)
    if args.frame_subsampling_factor is not None and args.frame_subsampling_factor < 1:
        options.error(f"--frame-subsampling-factor must be at least 1: {args.frame_subsampling_factor}")

    from asrtool.graph.denominator import INFO
    from asrtool.graph.make_denominator import make_denominator
    from asrtool.lm.phone_lm import PhoneLmOptions

    kept_order = min(3, args.ngram_order) if args.no_prune_ngram_order is None else args.no_prune_ngram_order
    try:
        lm_options = PhoneLmOptions(args.ngram_order, kept_order, args.num_extra_lm_states)
    except ValueError as error:
        options.error(str(error))
    make_denominator(args.ali_dir, args.out_dir, lm_options, args.frame_subsampling_factor, args.real_final_probs)
    print((args.out_dir / INFO).read_text(), end="", file=sys.stderr)
    return 0
