"""Add a word insertion penalty to the graph costs of lattices."""

from asrtool.bin._lattice_options import each_lattice, lattice_parser, target
from asrtool.lattice.archive import write_lattices
from asrtool.lattice.scale import add_penalty


def main(arguments: list[str]) -> int:
    example = "asrtool lattice-add-penalty --word-ins-penalty 0.5 exp/tri/decode/lat.1.gz penalised.gz"
    options = lattice_parser("lattice-add-penalty", __doc__, example, scales=False)
    options.add_argument("penalised", type=target, help="archive to write; ark,t:FILE for text")
    options.add_argument("--word-ins-penalty", type=float, default=0.0, help="for every word")
    args = options.parse_args(arguments)
    penalised = each_lattice(args.lattices, lambda _, lattice: add_penalty(lattice, args.word_ins_penalty), args.max_failed)
    write_lattices(args.penalised.path, penalised, not args.penalised.text)
    return 0
