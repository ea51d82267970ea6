"""Minimum Bayes risk decoding of lattices: words, expected errors, confusion networks and their times."""

import sys

from asrtool.arguments import boolean
from asrtool.bin._lattice_options import each_lattice, lattice_parser, target, word_writer
from asrtool.io.atomic_file import write_text


def main(arguments: list[str]) -> int:
    example = "asrtool lattice-mbr-decode --acoustic-scale 0.1 --word-symbol-table words.txt exp/tri/decode hyp.txt risk.txt"
    options = lattice_parser("lattice-mbr-decode", __doc__, example)
    options.add_argument("words", type=target, help="an utterance and its words a line")
    options.add_argument("risk", type=target, nargs="?", help="expected errors of each utterance, in text")
    options.add_argument("sausage", type=target, nargs="?", help="ids and probabilities at each place: [ id p id p ] [ ... ]")
    options.add_argument("times", type=target, nargs="?", help="begin and end of each place in frames, separated by ;")
    options.add_argument("--one-best-times", type=boolean, default=False, help="times of the words, not of all places")
    options.add_argument("--word-symbol-table", help="words.txt; without it, word ids are written")
    args = options.parse_args(arguments)

    from asrtool.lattice.mbr import mbr_decode

    to_line = word_writer(args.word_symbol_table)
    found = dict(
        each_lattice(args.lattices, lambda _, lattice: mbr_decode(lattice, args.acoustic_scale, args.lm_scale), args.max_failed)
    )

    def write(out, text_of):
        if out:
            write_text(out.path, "".join(f"{utterance} {text_of(result)}".rstrip() + "\n" for utterance, result in found.items()))

    def sausage_text(result):
        pairs = (" ".join(f"{word} {share:.6g}" for word, share in zip(*place)) for place in result.sausage)
        return " ".join(f"[ {place} ]" for place in pairs)

    def times_text(result):
        times = result.times if args.one_best_times else result.sausage_times
        return " ; ".join(f"{begin:.6g} {end:.6g}" for begin, end in times)

    write(args.words, lambda result: to_line(result.words))
    write(args.risk, lambda result: f"{result.risk:.6g}")
    write(args.sausage, sausage_text)
    write(args.times, times_text)
    risk, num_words = (sum(values) for values in zip(*((result.risk, len(result.words)) for result in found.values())))
    print(
        f"expected errors: {risk / len(found):.6g} an utterance, {risk / max(num_words, 1):.6g} a word; {len(found)} lattices",
        file=sys.stderr,
    )
    return 0
