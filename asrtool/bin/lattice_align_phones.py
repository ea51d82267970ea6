"""Cut lattices so that an arc is a phone with its frames."""

from asrtool.arguments import boolean
from asrtool.bin._align_options import align_parser, write_aligned


def main(arguments: list[str]) -> int:
    example = "asrtool lattice-align-phones --replace-output-symbols true exp/tri/final.mdl exp/tri/decode phones.gz"
    options = align_parser("lattice-align-phones", __doc__, example)
    options.add_argument("--replace-output-symbols", type=boolean, default=False, help="phones as labels, instead of words")
    args = options.parse_args(arguments)

    from asrtool.hmm.transition_model import TransitionModel
    from asrtool.lattice.phone_alignment import align_phones

    model = TransitionModel.read_file(args.model)

    def align(lattice):
        return align_phones(lattice, model, args.replace_output_symbols, args.reorder)

    write_aligned(args.lattices, args.aligned, align, args.max_failed, args.output_error_lats)
    return 0
