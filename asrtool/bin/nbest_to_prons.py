"""Write the words of word-aligned lattices of one path with their phones: utterance first-frame frames word phone phone ..."""

from pathlib import Path

from asrtool.arguments import boolean, existing_path, parser
from asrtool.bin._lattice_options import each_lattice, source


def main(arguments: list[str]) -> int:
    options = parser("nbest-to-prons", __doc__, "asrtool nbest-to-prons exp/tri/final.mdl aligned.gz test.prons")
    options.add_argument("model", type=existing_path, help="final.mdl that the lattices were made with")
    options.add_argument("lattices", type=source, help="archive that lattice-align-words wrote; of several paths the best")
    options.add_argument("prons", type=Path, help="file to write, words and phones as ids; .gz by its name")
    options.add_argument(
        "--print-lengths-per-phone", type=boolean, default=False, help="frames of each phone, with commas between"
    )
    options.add_argument("--max-failed", type=float, default=0.0, help="share of lattices that may be bad (default 0)")
    args = options.parse_args(arguments)

    from asrtool.hmm.transition_model import TransitionModel
    from asrtool.lattice.convert import to_compact
    from asrtool.lattice.pron_files import write_prons
    from asrtool.lattice.pronunciations import spoken_words

    model = TransitionModel.read_file(args.model)
    spoken = each_lattice(args.lattices, lambda _, lattice: spoken_words(to_compact(lattice), model), args.max_failed)
    write_prons(args.prons, spoken, args.print_lengths_per_phone)
    return 0
