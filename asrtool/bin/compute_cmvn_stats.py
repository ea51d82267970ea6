"""Compute CMVN statistics of a data directory's features: by speaker (cmvn.scp), or over all (global_cmvn)."""

from pathlib import Path

from asrtool.arguments import boolean, parser
from asrtool.data.data_dir import DataDir
from asrtool.feat.corpus_stats import write_stats


def main(arguments: list[str]) -> int:
    options = parser("compute-cmvn-stats", __doc__, "asrtool compute-cmvn-stats data/train fbank")
    options.add_argument("data_dir", type=Path, help="with feats.scp and utt2spk")
    options.add_argument("out_dir", type=Path, nargs="?", help="for the archive (default: DATA_DIR/data)")
    options.add_argument("--global", type=boolean, default=False, dest="global_stats", help="write DATA_DIR/global_cmvn instead")
    args = options.parse_args(arguments)
    speakers = write_stats(DataDir.load(args.data_dir), args.out_dir, args.global_stats)
    print(f"{args.data_dir}/{'global_cmvn' if args.global_stats else 'cmvn.scp'}: statistics of {speakers} speakers")
    return 0
