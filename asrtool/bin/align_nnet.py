"""Align a data directory with a network, as Kaldi's steps/nnet/align.sh."""

from asrtool.arguments import parser
from asrtool.bin._alignment_options import add_align_options, align_options, run_options
from asrtool.bin._threads import one_blas_thread


def main(arguments: list[str]) -> int:
    example = "asrtool align-nnet --nj 2 --ali-dir exp/tri_ali data/train data/lang exp/lstm/final_ema.pt exp/lstm_ali"
    options = parser("align-nnet", __doc__, example)
    add_align_options(options, boost_silence=None)
    options.add_argument("--ali-dir", help="final.mdl and tree that the network was trained on (default: the model's directory)")
    options.add_argument("data_dir")
    options.add_argument("lang_dir")
    options.add_argument("model", help="model file, or a directory with final_ema.pt or one final*.pt")
    options.add_argument("out_dir")
    args = options.parse_args(arguments)
    one_blas_thread()

    import torch

    from asrtool.train.align_data import AlignDataOptions
    from asrtool.train.align_nnet import align_nnet

    torch.set_num_threads(1)  # our threads do the work
    data_options = AlignDataOptions(align_options(args), run_options(args), args.max_failed)
    align_nnet(args.data_dir, args.lang_dir, args.model, args.out_dir, data_options, args.ali_dir)
    return 0
