"""Write the N best different word sequences of lattices, a lattice of one path each: UTTERANCE-1, UTTERANCE-2, ..."""

from asrtool.bin._lattice_options import each_lattice, lattice_parser, target
from asrtool.lattice.archive import write_lattices
from asrtool.lattice.arrays import path_lattice
from asrtool.lattice.nbest import nbest_arcs


def main(arguments: list[str]) -> int:
    example = "asrtool lattice-nbest --acoustic-scale 0.1 --n 10 exp/tri/decode/lat.1.gz nbest.gz"
    options = lattice_parser("lattice-nbest", __doc__, example)
    options.add_argument("nbest", type=target, help="archive to write; ark,t:FILE for text; nbest-to-linear takes it apart")
    options.add_argument("--n", type=int, default=1)
    options.add_argument("--beam", type=float, default=float("inf"), help="leave out what costs so much more than the best")
    args = options.parse_args(arguments)

    def work(_, lattice):
        paths = nbest_arcs(lattice, args.n, args.acoustic_scale, args.lm_scale, beam=args.beam)
        return [path_lattice(lattice, arcs) for arcs in paths] or None

    lists = each_lattice(args.lattices, work, args.max_failed)
    single = ((f"{utterance}-{rank}", path) for utterance, paths in lists for rank, path in enumerate(paths, 1))
    write_lattices(args.nbest.path, single, not args.nbest.text)
    return 0
