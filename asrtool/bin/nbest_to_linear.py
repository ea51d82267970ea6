"""Take lattices of one path each (of lattice-nbest) apart: alignments, words, graph and acoustic costs."""

from asrtool.bin._lattice_options import each_lattice, lattice_parser, target
from asrtool.errors import AsrtoolError
from asrtool.io.alignment import write_alignments, write_text_ints
from asrtool.io.atomic_file import write_text
from asrtool.lattice.lattice import best_path


def main(arguments: list[str]) -> int:
    example = "asrtool nbest-to-linear nbest.gz ali.gz words.txt lm_cost.txt acoustic_cost.txt"
    options = lattice_parser("nbest-to-linear", __doc__, example, scales=False)
    options.add_argument("alignments", type=target, help="transition-ids; ark,t:FILE for text")
    options.add_argument("words", type=target, help="word ids; in text, unless it ends in .ark or .gz")
    options.add_argument("lm_costs", type=target, nargs="?", help="graph costs, in text")
    options.add_argument("acoustic_costs", type=target, nargs="?", help="in text, not scaled")
    args = options.parse_args(arguments)

    def work(_, lattice):
        if lattice.num_arcs != lattice.num_states - 1:
            raise AsrtoolError("not a lattice of one path; asrtool lattice-nbest makes them")
        return best_path(lattice)

    paths = dict(each_lattice(args.lattices, work, args.max_failed))
    alignments = {utterance: path.transition_ids for utterance, path in paths.items()}
    words = {utterance: path.words for utterance, path in paths.items()}
    (write_text_ints if args.alignments.text else write_alignments)(args.alignments.path, alignments)
    (write_alignments if args.words.path.suffix in (".ark", ".gz") else write_text_ints)(args.words.path, words)
    for out, name in ((args.lm_costs, "graph_cost"), (args.acoustic_costs, "acoustic_cost")):
        if out:
            write_text(out.path, "".join(f"{utterance} {getattr(path, name):.7g}\n" for utterance, path in paths.items()))
    return 0
