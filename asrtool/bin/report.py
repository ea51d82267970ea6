"""Make one HTML page of a training: results, curves, confusions, data, speed, settings."""

import sys
from pathlib import Path

from asrtool.arguments import parser


def main(arguments: list[str]) -> int:
    options = parser("report", __doc__, "asrtool report exp/lstm    (then open exp/lstm/report.html in a browser)")
    options.add_argument("exp_dir", type=Path, help="directory of a network's training, finished or not")
    options.add_argument("--out", type=Path, help="the page to write (default: EXP_DIR/report.html)")
    given = options.parse_args(arguments)

    from asrtool.io.atomic_file import write_text
    from asrtool.report.page import report_page

    out = given.out or given.exp_dir / "report.html"
    text = report_page(given.exp_dir)
    write_text(out, text)
    print(f"{out}: {len(text.encode()) / 1024:.0f} kB", file=sys.stderr)
    return 0
