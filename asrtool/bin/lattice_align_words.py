"""Cut lattices so that an arc is a word with its frames, by the places of phones in words (word_boundary.int)."""

from asrtool.bin._align_options import align_parser, write_aligned


def main(arguments: list[str]) -> int:
    example = "asrtool lattice-align-words lang/phones/word_boundary.int final.mdl exp/tri/decode aligned.gz"
    options = align_parser("lattice-align-words", __doc__, example, "phones/word_boundary.int of a lang directory")
    options.add_argument("--silence-label", type=int, default=0, help="word id of silence (default 0)")
    options.add_argument("--partial-word-label", type=int, default=0, help="word id of a word without label that is cut off")
    options.add_argument("--max-expand", type=float, default=0.0, help="fail beyond 1000 + this x the states; 0: no limit")
    args = options.parse_args(arguments)

    from asrtool.hmm.transition_model import TransitionModel
    from asrtool.lattice.align_words import AlignOptions, align_words
    from asrtool.lattice.align_words_files import WordBoundary

    places, model = WordBoundary.read(args.places), TransitionModel.read_file(args.model)
    settings = AlignOptions(
        reorder=args.reorder,
        silence_label=args.silence_label,
        partial_word_label=args.partial_word_label,
        max_expand=args.max_expand,
    )

    def align(lattice):
        return align_words(lattice, model, places, settings)

    write_aligned(args.lattices, args.aligned, align, args.max_failed, args.output_error_lats)
    return 0
