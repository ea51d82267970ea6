"""Mend a data directory: sort, drop doubles and incomplete utterances, write spk2utt; the old files go to .backup."""

from pathlib import Path

from asrtool.arguments import parser
from asrtool.data.fix import fix


def main(arguments: list[str]) -> int:
    options = parser("fix-data-dir", __doc__, "asrtool fix-data-dir data/train")
    options.add_argument("data_dir", type=Path)
    args = options.parse_args(arguments)
    before, after = fix(args.data_dir)
    print(f"{args.data_dir}: {after} of {before} utterances kept; the old files are in {args.data_dir}/.backup")
    return 0
