"""Write the words of lattices with times and confidences (a CTM file); align the lattices with lattice-align-words first."""

import sys

from asrtool.arguments import boolean
from asrtool.bin._ctm_options import add_ctm_options, recordings_of, symbol_of
from asrtool.bin._lattice_options import each_lattice, lattice_parser
from asrtool.errors import AsrtoolError
from asrtool.io.alignment import read_text_ints
from asrtool.io.ctm import write_ctm


def options():
    example = "asrtool lattice-to-ctm-conf --acoustic-scale 0.1 --word-symbol-table words.txt aligned.gz test.ctm"
    result = lattice_parser("lattice-to-ctm-conf", __doc__, example)
    result.add_argument("outputs", nargs="+", metavar="[BEST] CTM", help="word ids to begin with; CTM to write, - for stdout")
    result.add_argument("--inv-acoustic-scale", type=float, default=1.0, help="1 / acoustic scale, instead of --acoustic-scale")
    result.add_argument("--decode-mbr", type=boolean, default=True, help="least expected error, not the best path (default true)")
    result.add_argument("--confidence-digits", type=int, default=2, help="decimals (default 2)")
    add_ctm_options(result)
    return result


def main(arguments: list[str]) -> int:
    args = options().parse_args(arguments)
    if len(args.outputs) > 2:
        raise AsrtoolError(f"expected [BEST] CTM after the lattices, found {len(args.outputs)} arguments")
    if args.inv_acoustic_scale != 1.0:
        if args.acoustic_scale != 1.0 or args.inv_acoustic_scale == 0.0:
            raise AsrtoolError("--inv-acoustic-scale: not 0, and not together with --acoustic-scale")
        args.acoustic_scale = 1.0 / args.inv_acoustic_scale
    from asrtool.lattice.ctm import ctm_words, mbr_word_times
    from asrtool.lattice.mbr import mbr_decode

    symbol, recordings = symbol_of(args), recordings_of(args)
    one_best = read_text_ints(args.outputs[0]) if len(args.outputs) == 2 else None
    risk = num_words = num_lattices = 0

    def work(utterance, lattice):
        nonlocal risk, num_words, num_lattices
        if one_best is not None and utterance not in one_best:
            raise AsrtoolError(f"not in {args.outputs[0]}")
        words = one_best[utterance] if one_best is not None else None
        result = mbr_decode(lattice, args.acoustic_scale, args.lm_scale, args.decode_mbr, words, args.print_silence)
        risk, num_words, num_lattices = risk + result.risk, num_words + len(result.words), num_lattices + 1
        timed = ctm_words(utterance, mbr_word_times(result), args.frame_shift, symbol, confidences=True)
        return [recordings.place(word) for word in timed] if recordings else timed

    found = each_lattice(args.lattices, work, args.max_failed)
    write_ctm(args.outputs[-1], (word for _, timed in found for word in timed), args.confidence_digits)
    print(
        f"expected errors: {risk / max(num_lattices, 1):.6g} an utterance, {risk / max(num_words, 1):.6g} a word", file=sys.stderr
    )
    return 0
