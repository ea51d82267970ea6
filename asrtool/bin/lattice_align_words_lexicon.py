"""Cut lattices so that an arc is a word with its frames, by the pronunciations of words (align_lexicon.int)."""

from asrtool.bin._align_options import add_word_options, align_parser, write_word_aligned


def main(arguments: list[str]) -> int:
    example = "asrtool lattice-align-words-lexicon lang/phones/align_lexicon.int final.mdl exp/tri/decode aligned.gz"
    options = align_parser("lattice-align-words-lexicon", __doc__, example, "phones/align_lexicon.int of a lang directory")
    add_word_options(options)
    args = options.parse_args(arguments)

    from asrtool.lattice.align_words_files import AlignLexicon

    write_word_aligned(args, AlignLexicon.read)
    return 0
