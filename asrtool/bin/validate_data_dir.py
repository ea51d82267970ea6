"""Check a data directory; each finding is a line, and the exit status is 1 if one is an error."""

import sys
from pathlib import Path

from asrtool.arguments import boolean, parser
from asrtool.data.validate import validate


def main(arguments: list[str]) -> int:
    options = parser("validate-data-dir", __doc__, "asrtool validate-data-dir --feats false data/train")
    options.add_argument("data_dir", type=Path)
    options.add_argument("--text", type=boolean, default=True, help="text must be there (default: true)")
    options.add_argument("--feats", type=boolean, default=True, help="feats.scp must be there (default: true)")
    options.add_argument("--wav", type=boolean, default=True, help="look at the headers of the wav files (default: true)")
    options.add_argument("--sample-frequency", type=int, help="what wav files must have, in Hz (default: as the first)")
    options.add_argument("--strict-prefix", type=boolean, default=False, help="utterances must begin with their speaker")
    options.add_argument("--max-lines", type=int, default=30, help="findings to print (default: %(default)s)")
    args = options.parse_args(arguments)
    findings = validate(args.data_dir, args.text, args.feats, args.wav, args.sample_frequency, args.strict_prefix)
    for kind, lines in (("WARNING", findings.warnings), ("ERROR", findings.errors)):
        for line in lines[: args.max_lines]:
            print(f"asrtool validate-data-dir: {kind}: {line}", file=sys.stderr)
        if len(lines) > args.max_lines:
            print(f"asrtool validate-data-dir: {kind}: and {len(lines) - args.max_lines} more", file=sys.stderr)
    if not findings.errors:
        print(f"{args.data_dir}: fit for use")
    return 1 if findings.errors else 0
