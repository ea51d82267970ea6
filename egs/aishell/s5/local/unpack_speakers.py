"""Unpacks the speakers' archives, `python local/unpack_speakers.py DIR`: each DIR/<speaker>.tar.gz into DIR; then it is gone."""

import sys
from pathlib import Path

from asrtool.arguments import existing_path, parser
from asrtool.cli import guarded
from asrtool.data.unpack import unpack
from asrtool.io.progress import progress


def unpack_all(directory: Path) -> int:
    """How many archives there were; one that is damaged stops all, those before it are done and gone."""
    archives = sorted(directory.glob("*.tar.gz"))
    for archive in progress(archives, len(archives), "speakers") if archives else ():
        unpack(archive, directory)
        archive.unlink()
    return len(archives)


def main(arguments: list[str]) -> int:
    options = parser("unpack_speakers.py", __doc__)
    options.add_argument("directory", type=existing_path)
    unpack_all(options.parse_args(arguments).directory)
    return 0


if __name__ == "__main__":
    sys.exit(guarded("unpack_speakers.py", main, sys.argv[1:]))
