"""Train triphone GMMs on features with differences, as Kaldi's steps/train_deltas.sh."""

import argparse

from asrtool.arguments import parser
from asrtool.bin._gmm_options import (
    add_feature_options,
    add_run_options,
    add_triphone_options,
    triphone_options,
)
from asrtool.bin._threads import one_blas_thread


def main(arguments: list[str]) -> int:
    options = parser("train-deltas", __doc__, "asrtool train-deltas --nj 2 1500 10000 data/train data/lang exp/mono_ali exp/tri1")
    add_run_options(options, num_iters=35, max_iter_inc=25, boost_silence=1.0)
    add_feature_options(options)
    add_triphone_options(options)
    args = options.parse_args(arguments)
    one_blas_thread()
    train(args)
    return 0


def train(args: argparse.Namespace) -> None:
    from asrtool.train.gmm_deltas import DeltasOptions, train_deltas

    deltas_options = DeltasOptions(**triphone_options(args))
    train_deltas(args.data_dir, args.lang_dir, args.alignment_dir, args.exp_dir, deltas_options)
