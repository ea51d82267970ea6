"""Copy lattices, in binary or text, as state-level or compact ones."""

from asrtool.arguments import boolean
from asrtool.bin._lattice_options import each_lattice, lattice_parser, target
from asrtool.errors import AsrtoolError
from asrtool.lattice.archive import write_lattices
from asrtool.lattice.convert import to_compact, to_lattice


def main(arguments: list[str]) -> int:
    example = "asrtool lattice-copy --write-compact false exp/tri/decode/lat.1.gz ark,t:lat.txt"
    options = lattice_parser("lattice-copy", __doc__, example, scales=False)
    options.add_argument("copy", type=target, help="archive to write; ark,t:FILE for text")
    options.add_argument(
        "--write-compact", type=boolean, help="true: compact lattices, false: state-level (default: as they are)"
    )
    args = options.parse_args(arguments)
    convert = {None: lambda lattice: lattice, True: to_compact, False: to_lattice}[args.write_compact]

    def work(_, lattice):
        try:
            return convert(lattice)
        except ValueError as error:
            raise AsrtoolError(str(error)) from None

    write_lattices(args.copy.path, each_lattice(args.lattices, work, args.max_failed), not args.copy.text)
    return 0
