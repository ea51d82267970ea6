"""Train triphone GMMs on features with differences, as Kaldi's steps/train_deltas.sh."""

import argparse

from asrtool.arguments import parser
from asrtool.bin._alignment_options import run_options
from asrtool.bin._gmm_options import add_feature_options, add_run_options, realign_iterations
from asrtool.bin._threads import one_blas_thread


def main(arguments: list[str]) -> int:
    options = parser("train-deltas", __doc__, "asrtool train-deltas --nj 2 1500 10000 data/train data/lang exp/mono_ali exp/tri1")
    add_run_options(options, num_iters=35, max_iter_inc=25, boost_silence=1.0)
    add_feature_options(options)
    options.add_argument("--cluster-thresh", type=float, default=-1, help="for merging leaves (default -1: as splitting)")
    options.add_argument("num_leaves", type=int, help="leaves of the tree")
    options.add_argument("totgauss", type=int, help="Gaussians in the end")
    options.add_argument("data_dir")
    options.add_argument("lang_dir")
    options.add_argument("alignment_dir", help="with ali.*.gz and final.mdl")
    options.add_argument("exp_dir")
    args = options.parse_args(arguments)
    one_blas_thread()
    train(args)
    return 0


def train(args: argparse.Namespace) -> None:
    from asrtool.bin._gmm_options import training_options
    from asrtool.train.gmm_deltas import REALIGN_ITERS, DeltasOptions, train_deltas

    schedule = training_options(args, args.totgauss, realign_iterations(args, REALIGN_ITERS), args.beam)
    deltas_options = DeltasOptions(args.num_leaves, schedule, args.cluster_thresh, run_options(args))
    train_deltas(args.data_dir, args.lang_dir, args.alignment_dir, args.exp_dir, deltas_options)
