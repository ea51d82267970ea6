"""Train triphone GMMs with speaker adaptation (fMLLR), as Kaldi's steps/train_sat.sh."""

import argparse

from asrtool.arguments import parser
from asrtool.bin._fmllr_options import add_fmllr_options, fmllr_options
from asrtool.bin._gmm_options import add_run_options, add_triphone_options, iterations, triphone_options
from asrtool.bin._threads import one_blas_thread


def main(arguments: list[str]) -> int:
    options = parser("train-sat", __doc__, "asrtool train-sat --nj 2 2000 12000 data/train data/lang exp/tri2b_ali exp/tri3b")
    add_run_options(options, num_iters=35, max_iter_inc=25, boost_silence=1.0, power=0.2)
    add_fmllr_options(options, silence_weight=0.0)
    options.add_argument("--fmllr-iters", default="2 4 6 12", help='iterations that estimate transforms (default "2 4 6 12")')
    add_triphone_options(options)
    args = options.parse_args(arguments)
    one_blas_thread()
    train(args)
    return 0


def train(args: argparse.Namespace) -> None:
    from asrtool.train.gmm_sat import SatOptions, train_sat

    sat_options = SatOptions(
        **triphone_options(args),
        fmllr=fmllr_options(args),
        fmllr_iters=iterations(args.fmllr_iters, "--fmllr-iters"),
        silence_weight=args.silence_weight,
    )
    train_sat(args.data_dir, args.lang_dir, args.alignment_dir, args.exp_dir, sat_options)
