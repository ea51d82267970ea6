"""Copy lattices, in binary or text, as state-level or compact ones; all, or those of some utterances."""

from collections.abc import Iterator
from pathlib import Path

from asrtool.arguments import boolean
from asrtool.bin._lattice_options import lattice_parser, target
from asrtool.data.subset import read_list
from asrtool.errors import AsrtoolError
from asrtool.io.tally import Tally
from asrtool.lattice.archive import read_lattices, write_lattices
from asrtool.lattice.as_stored import as_stored
from asrtool.lattice.convert import to_compact, to_lattice

CONVERT = {None: lambda lattice: lattice, True: to_compact, False: to_lattice}


def main(arguments: list[str]) -> int:
    example = "asrtool lattice-copy --write-compact false exp/tri/decode/lat.1.gz ark,t:lat.txt"
    options = lattice_parser("lattice-copy", __doc__, example, scales=False)
    options.add_argument("copy", type=target, help='archive to write; ark,t:FILE for text; "-": standard output')
    options.add_argument(
        "--write-compact", type=boolean, help="true: compact lattices, false: state-level (default: as they are)"
    )
    options.add_argument("--include", type=Path, help="file whose lines begin with the utterances to copy")
    options.add_argument("--exclude", type=Path, help="file whose lines begin with the utterances to leave out")
    options.add_argument("--ignore-missing", type=boolean, default=False, help="it is no error if nothing is copied")
    args = options.parse_args(arguments)
    if args.include and args.exclude:
        raise AsrtoolError("give --include or --exclude, not both")
    listed = set(read_list(args.include or args.exclude)) if args.include or args.exclude else set()
    tally = Tally(max_failed=args.max_failed)

    def copies() -> Iterator:
        for utterance, lattice in read_lattices(args.lattices, as_stored):
            if (args.include and utterance not in listed) or (args.exclude and utterance in listed):
                continue
            try:
                copy = CONVERT[args.write_compact](lattice)
            except ValueError as error:
                tally.failed(f"{args.lattices}: {utterance}", str(error))
                continue
            tally.ok()
            yield utterance, copy

        if not (args.ignore_missing and not tally.done and not tally.failures):
            tally.close()

    write_lattices(args.copy.path, copies(), not args.copy.text)
    return 0
