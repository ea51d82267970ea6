"""Print what lattices hold: frames, states, arcs, final states, paths, depth, and word sequences within a beam."""

from asrtool.bin._lattice_options import each_lattice, lattice_parser
from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.density import count
from asrtool.lattice.nbest import count_words_within


def main(arguments: list[str]) -> int:
    options = lattice_parser("lattice-info", __doc__, "asrtool lattice-info --acoustic-scale 0.1 --beam 6 exp/decode/lat.1.gz")
    options.add_argument("--beam", type=float, help="also count the different word sequences within this beam")
    options.add_argument("--max-sequences", type=int, default=100_000, help="stop counting at this number")
    args = options.parse_args(arguments)

    def work(_, lattice):
        within = ""
        if args.beam is not None:
            words = count_words_within(lattice, args.beam, args.acoustic_scale, args.lm_scale, args.max_sequences)
            within = f"{words}{'+' if words == args.max_sequences else ''}"
        return "word" if isinstance(lattice, CompactLattice) else "state", count(lattice), within

    print("utterance level frames states arcs word-arcs final-states paths depth" + " sequences" * (args.beam is not None))
    for utterance, (level, counts, within) in each_lattice(args.lattices, work, args.max_failed):
        numbers = f"{counts.frames} {counts.states} {counts.arcs} {counts.word_arcs} {counts.final_states}"
        print(f"{utterance} {level} {numbers} {counts.paths:.6g} {counts.depth:.2f} {within}".rstrip())
    return 0
