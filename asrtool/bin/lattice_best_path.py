"""Write the words of the best paths of lattices, and their alignments."""

import sys

from asrtool.bin._lattice_options import each_lattice, lattice_parser, target, word_writer
from asrtool.io.alignment import write_alignments, write_text_ints
from asrtool.io.atomic_file import write_text
from asrtool.lattice.arrays import topology, weighed_costs
from asrtool.lattice.lattice import best_path


def main(arguments: list[str]) -> int:
    example = "asrtool lattice-best-path --acoustic-scale 0.1 --word-symbol-table words.txt exp/decode/lat.1.gz hyp.txt ali.gz"
    options = lattice_parser("lattice-best-path", __doc__, example)
    options.add_argument("words", type=target, help="an utterance and its words a line")
    options.add_argument("alignments", type=target, nargs="?", help="transition-ids; ark,t:FILE for text")
    options.add_argument("--word-symbol-table", help="words.txt; without it, word ids are written")
    options.add_argument("--word-ins-penalty", type=float, default=0.0, help="for every word")
    args = options.parse_args(arguments)
    to_line = word_writer(args.word_symbol_table)

    def work(_, lattice):
        topology(lattice)
        weighed_costs(lattice, args.acoustic_scale, args.lm_scale, args.word_ins_penalty)  # a bad lattice is named
        return best_path(lattice, args.acoustic_scale, args.lm_scale, args.word_ins_penalty)

    paths = dict(each_lattice(args.lattices, work, args.max_failed))
    if args.alignments:
        write = write_text_ints if args.alignments.text else write_alignments
        write(args.alignments.path, {utterance: path.transition_ids for utterance, path in paths.items()})
    lines = [f"{utterance} {to_line(path.words)}".rstrip() + "\n" for utterance, path in paths.items()]
    write_text(args.words.path, "".join(lines))
    graph, acoustic = (sum(getattr(path, f"{kind}_cost") for path in paths.values()) for kind in ("graph", "acoustic"))
    frames = max(1, sum(len(path.transition_ids) for path in paths.values()))
    graph, acoustic = args.lm_scale * graph / frames, args.acoustic_scale * acoustic / frames
    print(
        f"cost per frame {graph + acoustic:.6g} = {graph:.6g} [graph] + {acoustic:.6g} [acoustic] over {frames} frames",
        file=sys.stderr,
    )
    return 0
