"""Write a data directory of a GMM's features with the speakers' fMLLR transforms, as Kaldi's steps/nnet/make_fmllr_feats.sh."""

from pathlib import Path

from asrtool.arguments import existing_path, parser
from asrtool.bin._threads import one_blas_thread


def main(arguments: list[str]) -> int:
    example = "asrtool make-fmllr-feats --transform-dir exp/tri3b_ali data-fmllr/train data/train exp/tri3b data-fmllr/train/data"
    options = parser("make-fmllr-feats", __doc__, example)
    options.add_argument("--transform-dir", type=existing_path, help="with trans.*; without it features are not transformed")
    options.add_argument("--max-failed", type=float, default=0.1, help="share of utterances that may fail (default 0.1)")
    options.add_argument("target", type=Path, help="data directory to write")
    options.add_argument("source", type=existing_path, help="data directory")
    options.add_argument("gmm_dir", type=existing_path, help="experiment directory: cmvn_opts, splice_opts, final.mat, ...")
    options.add_argument("feature_dir", type=Path, help="for the archive")
    args = options.parse_args(arguments)
    one_blas_thread()

    from asrtool.train.fmllr_data import write_fmllr_data

    write_fmllr_data(args.source, args.gmm_dir, args.transform_dir, args.target, args.feature_dir, args.max_failed)
    return 0
