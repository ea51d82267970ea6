"""Prune lattices to a beam: keeps what is on some path that costs no more than the best one and the beam."""

from asrtool.bin._lattice_options import each_lattice, lattice_parser, target
from asrtool.lattice.archive import write_lattices
from asrtool.lattice.prune import prune


def main(arguments: list[str]) -> int:
    example = "asrtool lattice-prune --acoustic-scale 0.1 --beam 5 exp/tri/decode/lat.1.gz pruned.gz"
    options = lattice_parser("lattice-prune", __doc__, example)
    options.add_argument("pruned", type=target, help="archive to write; ark,t:FILE for text")
    options.add_argument("--beam", type=float, default=10.0)
    args = options.parse_args(arguments)

    def work(_, lattice):
        pruned = prune(lattice, args.beam, args.acoustic_scale, args.lm_scale)
        return pruned if pruned.num_states else None

    write_lattices(args.pruned.path, each_lattice(args.lattices, work, args.max_failed), not args.pruned.text)
    return 0
