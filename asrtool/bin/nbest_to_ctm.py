"""Write the words of aligned lattices of one path with times (a CTM file); of several paths, the best at scale 1."""

from asrtool.bin._ctm_options import add_ctm_options, recordings_of, symbol_of
from asrtool.bin._lattice_options import each_lattice, lattice_parser
from asrtool.io.ctm import write_ctm


def main(arguments: list[str]) -> int:
    example = "asrtool nbest-to-ctm --word-symbol-table words.txt aligned.gz test.ctm"
    options = lattice_parser("nbest-to-ctm", __doc__, example, scales=False)
    options.add_argument("ctm", help="file to write, - for standard output")
    options.add_argument("--precision", type=int, default=2, help="decimals; more where the frame shift needs them (default 2)")
    add_ctm_options(options)
    args = options.parse_args(arguments)

    from asrtool.lattice.convert import to_compact
    from asrtool.lattice.ctm import ctm_digits, ctm_words, path_word_times

    symbol, recordings = symbol_of(args), recordings_of(args)

    def work(utterance, lattice):
        times = path_word_times(to_compact(lattice), args.print_silence)
        words = ctm_words(utterance, times, args.frame_shift, symbol, confidences=False)
        return [recordings.place(word) for word in words] if recordings else words

    found = each_lattice(args.lattices, work, args.max_failed)
    write_ctm(args.ctm, (word for _, words in found for word in words), max(args.precision, ctm_digits(args.frame_shift)))
    return 0
