"""Train monophone GMMs from a flat start, as Kaldi's steps/train_mono.sh."""

import argparse

from asrtool.arguments import parser
from asrtool.bin._alignment_options import run_options
from asrtool.bin._gmm_options import add_feature_options, add_run_options, realign_iterations
from asrtool.bin._threads import one_blas_thread


def main(arguments: list[str]) -> int:
    options = parser("train-mono", __doc__, "asrtool train-mono --nj 2 --boost-silence 1.25 data/train data/lang exp/mono")
    add_run_options(options, num_iters=40, max_iter_inc=30, boost_silence=1.0)
    add_feature_options(options)
    options.add_argument("--totgauss", type=int, default=1000, help="Gaussians in the end (default 1000)")
    options.add_argument("--initial-beam", type=float, default=6, help="beam of the first alignment (default 6)")
    options.add_argument("data_dir")
    options.add_argument("lang_dir")
    options.add_argument("exp_dir")
    args = options.parse_args(arguments)
    one_blas_thread()
    train(args)
    return 0


def train(args: argparse.Namespace) -> None:
    from asrtool.bin._gmm_options import training_options
    from asrtool.train.gmm_mono import REALIGN_ITERS, MonoOptions, train_mono

    schedule = training_options(args, args.totgauss, realign_iterations(args, REALIGN_ITERS), args.initial_beam)
    train_mono(args.data_dir, args.lang_dir, args.exp_dir, MonoOptions(schedule, run_options(args)))
