"""Alignments of speed-perturbed data from those of the original data: the same states, over the new numbers of frames."""

from pathlib import Path

from asrtool.arguments import parser


def main(arguments: list[str]) -> int:
    example = "asrtool warp-alignment exp/tri_ali data/train data/train_sp exp/tri_ali_sp"
    options = parser("warp-alignment", __doc__, example)
    options.add_argument("ali_dir", type=Path, help="alignments of SRC_DATA: ali.*.gz, final.mdl, tree, phones.txt")
    options.add_argument("src_data", type=Path, help="the original data directory, with features")
    options.add_argument("dst_data", type=Path, help="the perturbed one, with features and utt2uniq")
    options.add_argument("out_dir", type=Path)
    options.add_argument("--max-failed", type=float, default=0.1, help="share of utterances that may fail (default: %(default)s)")
    args = options.parse_args(arguments)

    from asrtool.train.warp_alignments import warp_alignments

    warp_alignments(args.ali_dir, args.src_data, args.dst_data, args.out_dir, args.max_failed)
    return 0
