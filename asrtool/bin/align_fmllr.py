"""Align a data directory with a GMM and a transform of each speaker (fMLLR), as Kaldi's steps/align_fmllr.sh."""

from asrtool.arguments import parser
from asrtool.bin._alignment_options import add_align_options, align_options, run_options
from asrtool.bin._fmllr_options import add_fmllr_options, fmllr_options
from asrtool.bin._threads import one_blas_thread
from asrtool.errors import AsrtoolError


def main(arguments: list[str]) -> int:
    options = parser("align-fmllr", __doc__, "asrtool align-fmllr --nj 2 data/train data/lang exp/tri3b exp/tri3b_ali")
    add_align_options(options)
    add_fmllr_options(options, silence_weight=0.0)
    options.add_argument("data_dir")
    options.add_argument("lang_dir")
    options.add_argument("source_dir", help="with final.mdl, tree and, after speaker adaptive training, final.alimdl")
    options.add_argument("out_dir")
    args = options.parse_args(arguments)
    if args.boost_silence <= 0:
        raise AsrtoolError("--boost-silence must be above 0")
    one_blas_thread()

    from asrtool.train.align_fmllr import AlignFmllrOptions, align_fmllr

    settings = AlignFmllrOptions(
        align_options(args), run_options(args), args.max_failed, args.boost_silence, fmllr_options(args), args.silence_weight
    )  # fmt: skip
    align_fmllr(args.data_dir, args.lang_dir, args.source_dir, args.out_dir, settings)
    return 0
