"""Cut lattices so that an arc is a word with its frames, by the places of phones in words (word_boundary.int)."""

from asrtool.bin._align_options import add_word_options, align_parser, write_word_aligned


def main(arguments: list[str]) -> int:
    example = "asrtool lattice-align-words lang/phones/word_boundary.int final.mdl exp/tri/decode aligned.gz"
    options = align_parser("lattice-align-words", __doc__, example, "phones/word_boundary.int of a lang directory")
    options.add_argument("--silence-label", type=int, default=0, help="word id of silence (default 0)")
    add_word_options(options)
    args = options.parse_args(arguments)

    from asrtool.lattice.align_words_files import WordBoundary

    write_word_aligned(args, WordBoundary.read, args.silence_label)
    return 0
