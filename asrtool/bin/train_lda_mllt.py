"""Train triphone GMMs on spliced features with LDA and MLLT, as Kaldi's steps/train_lda_mllt.sh."""

import argparse

from asrtool.arguments import existing_path, parser
from asrtool.bin._gmm_options import add_run_options, add_triphone_options, iterations, triphone_options
from asrtool.bin._threads import one_blas_thread


def main(arguments: list[str]) -> int:
    example = "asrtool train-lda-mllt --nj 2 2000 12000 data/train data/lang exp/tri1_ali exp/tri2b"
    options = parser("train-lda-mllt", __doc__, example)
    add_run_options(options, num_iters=35, max_iter_inc=25, boost_silence=1.0)
    options.add_argument("--cmvn-opts", default="", help="--cmvn-opts=--norm-vars=true (default: means of each speaker)")
    options.add_argument(
        "--splice-opts", default="", help='"--left-context=3 --right-context=3" (default: 4 frames to each side)'
    )
    options.add_argument("--dim", type=int, default=40, help="dimensions after LDA (default 40)")
    options.add_argument("--mllt-iters", default="2 4 6 12", help='iterations that estimate MLLT (default "2 4 6 12")')
    options.add_argument("--randprune", type=float, default=4.0, help="random pruning of statistics; 0: none (default 4)")
    options.add_argument("--use-lda-mat", type=existing_path, help="a transform to begin with, instead of LDA")
    add_triphone_options(options)
    args = options.parse_args(arguments)
    one_blas_thread()
    train(args)
    return 0


def train(args: argparse.Namespace) -> None:
    from asrtool.train.gmm_lda_mllt import LdaMlltOptions, train_lda_mllt

    lda_mllt_options = LdaMlltOptions(
        **triphone_options(args),
        dim=args.dim,
        splice_opts=args.splice_opts,
        mllt_iters=iterations(args.mllt_iters, "--mllt-iters"),
        rand_prune=args.randprune,
        lda_matrix=args.use_lda_mat,
    )
    train_lda_mllt(args.data_dir, args.lang_dir, args.alignment_dir, args.exp_dir, lda_mllt_options)
