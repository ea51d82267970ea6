"""Make a compact n-gram model, mapped into memory for lattice rescoring and decoding, of an ARPA file of any size."""

import sys

from asrtool.arguments import parser


def main(arguments: list[str]) -> int:
    options = parser("build-lm-binary", __doc__, "asrtool build-lm-binary --bits 8 lm5.arpa.gz lm5.bin")
    options.add_argument("--bits", type=int, default=0, help="bits of a cost or back-off weight, 2 to 16 (default 0: float32)")
    options.add_argument("--unknown-word", help="stands for words that the model lacks (default: <unk> or <UNK> if there)")
    options.add_argument("arpa", help="the model, gzipped or not")
    options.add_argument("out", help="the file to write")
    args = options.parse_args(arguments)

    from asrtool.lm.compact_arpa import build_from_arpa
    from asrtool.lm.compact_model import CompactNgram

    build_from_arpa(args.arpa, args.out, args.bits, args.unknown_word)
    model = CompactNgram.load(args.out, verify=False)
    sizes = " ".join(f"ngram{order}={number}" for order, number in enumerate(model.num_ngrams(), 1))
    print(f"{args.out}: {sizes} states={model.num_states} bytes_per_ngram={model.bytes_per_ngram:.2f}", file=sys.stderr)
    return 0
