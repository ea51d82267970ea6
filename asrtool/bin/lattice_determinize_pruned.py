"""Determinize lattices: every word sequence within a beam once, with its best alignment."""

import sys

from asrtool.bin._lattice_options import each_lattice, lattice_parser, target
from asrtool.errors import AsrtoolError
from asrtool.lattice.archive import write_lattices


def main(arguments: list[str]) -> int:
    example = "asrtool lattice-determinize-pruned --acoustic-scale 0.1 --beam 6 raw/lat.1.gz lat.1.gz"
    options = lattice_parser("lattice-determinize-pruned", __doc__, example, scales=False)
    options.add_argument("determinized", type=target, help="archive to write; ark,t:FILE for text")
    options.add_argument("--acoustic-scale", type=float, default=1.0)
    options.add_argument("--beam", type=float, default=10.0)
    options.add_argument("--word-insertion-penalty", type=float, default=0.0, help="as the lattices were decoded with")
    options.add_argument("--max-mem", type=int, help="bytes; where they do not do, the beam is made smaller")
    args = options.parse_args(arguments)

    from asrtool.lattice.convert import to_lattice
    from asrtool.lattice.determinize import determinize_within

    def work(utterance, lattice):
        try:
            lattice = to_lattice(lattice)
        except ValueError as error:
            raise AsrtoolError(str(error)) from None
        result, beam = determinize_within(lattice, args.acoustic_scale, args.beam, args.word_insertion_penalty, args.max_mem)
        if beam < args.beam:
            print(f"WARNING: {utterance}: too large to keep more than a beam of {beam:.2f}; see --max-mem", file=sys.stderr)
        return result if result.num_states else None

    write_lattices(args.determinized.path, each_lattice(args.lattices, work, args.max_failed), not args.determinized.text)
    return 0
