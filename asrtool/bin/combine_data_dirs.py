"""Write one data directory of the utterances of several."""

import sys
from pathlib import Path

from asrtool.arguments import boolean, parser
from asrtool.data.combine import combine
from asrtool.data.fix import fix


def main(arguments: list[str]) -> int:
    options = parser("combine-data-dirs", __doc__, "asrtool combine-data-dirs data/train_sp data/train data/train_sp0.9")
    options.add_argument("destination", type=Path)
    options.add_argument("sources", type=Path, nargs="+")
    options.add_argument("--extra-files", default="", help='further files to combine, "file1 file2"')
    options.add_argument("--skip-fix", type=boolean, default=False, help="leave out fix-data-dir at the end")
    args = options.parse_args(arguments)
    number, left_out = combine(args.destination, args.sources, args.extra_files.split())
    if left_out:
        print(f"WARNING: left out, as not all directories have them (or not alike): {', '.join(left_out)}", file=sys.stderr)
    if not args.skip_fix:
        number = fix(args.destination)[1]
    print(f"{args.destination}: {number} utterances of {len(args.sources)} directories")
    return 0
