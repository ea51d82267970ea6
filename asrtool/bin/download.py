"""Fetch a file, or a corpus's archive and unpack it: goes on after a break, tries mirrors, verifies the checksum."""

import sys
from pathlib import Path

from asrtool.arguments import boolean, parser
from asrtool.data.download import fetch, file_name, parse_checksum, verify
from asrtool.data.unpack import unpack


def main(arguments: list[str]) -> int:
    example = "asrtool download --unpack true https://www.openslr.org/resources/31/dev-clean-2.tar.gz corpora"
    options = parser("download", __doc__, example)
    options.add_argument("url", help="http://, https:// or file://")
    options.add_argument("dir", type=Path, help="where the file is kept (and unpacked)")
    options.add_argument("--checksum", default="", help="md5:HEX or sha256:HEX of the file")
    options.add_argument("--mirrors", default="", help="other addresses of the folder that holds the file, in quotes")
    options.add_argument("--unpack", type=boolean, default=False, help="unpack a .tar, .tar.gz, .tgz, .tar.bz2, .tar.xz or .zip")
    options.add_argument("--provides", help="what is in DIR afterwards; where it is there already, nothing is done")
    options.add_argument("--remove-archive", type=boolean, default=False, help="remove the archive when it is unpacked")
    options.add_argument("--tries", type=int, default=4, help="rounds in vain before it gives up (default: %(default)s)")
    args = options.parse_args(arguments)
    name = file_name(args.url)
    if args.checksum:
        parse_checksum(args.checksum)
    marker = args.dir / f".{name}.unpacked"  # stands for what an archive holds where --provides does not say
    wanted = args.dir / args.provides if args.provides else marker if args.unpack else None
    if wanted is not None and wanted.exists():
        print(f"{args.dir / (args.provides or name)}: is there already", file=sys.stderr)
        return 0
    path = fetch(args.url, args.dir, args.mirrors.split(), args.tries)
    if args.checksum:
        verify(path, args.checksum)
    if args.unpack:
        unpack(path, args.dir, args.provides)
        if not args.provides:
            marker.touch()
        if args.remove_archive:
            path.unlink()
    return 0
