"""Align a data directory with a GMM model, as Kaldi's steps/align_si.sh."""

from asrtool.arguments import parser
from asrtool.bin._alignment_options import add_align_options, align_options, run_options
from asrtool.bin._threads import one_blas_thread
from asrtool.errors import AsrtoolError


def main(arguments: list[str]) -> int:
    options = parser("align-gmm", __doc__, "asrtool align-gmm --nj 2 data/train data/lang exp/mono exp/mono_ali")
    add_align_options(options)
    options.add_argument("data_dir")
    options.add_argument("lang_dir")
    options.add_argument("source_dir", help="with final.mdl and tree")
    options.add_argument("out_dir")
    args = options.parse_args(arguments)
    if args.boost_silence <= 0:
        raise AsrtoolError("--boost-silence must be above 0")
    one_blas_thread()

    from asrtool.train.gmm_align import AlignSiOptions, align_si

    options = AlignSiOptions(align_options(args), run_options(args), args.max_failed, args.boost_silence)
    align_si(args.data_dir, args.lang_dir, args.source_dir, args.out_dir, options)
    return 0
