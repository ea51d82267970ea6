"""Summarise denominator lattices: depth, utterances without a lattice, and those whose reference is not in theirs."""

import sys
from pathlib import Path

from asrtool.arguments import existing_path, parser
from asrtool.data.data_dir import DataDir
from asrtool.errors import AsrtoolError
from asrtool.io.progress import progress
from asrtool.io.symbols import SymbolTable


def main(arguments: list[str]) -> int:
    options = parser("summarise-denlats", __doc__, "asrtool summarise-denlats data/train data/lang exp/lstm_denlats")
    options.add_argument("data_dir", type=existing_path, help="what was decoded, with its text")
    options.add_argument("lang_dir", type=existing_path, help="for words.txt, and oov.txt for words that are not in it")
    options.add_argument("denlats_dir", type=Path, help="with lat.*.gz; summary.json and lists of utterances appear here")
    options.add_argument("--max-failed", type=float, default=0.1, help="share of utterances that may lack a usable lattice")
    args = options.parse_args(arguments)

    from asrtool.lattice.archive import read_lattices
    from asrtool.lattice.denominators import summarise

    data, words = DataDir.load(args.data_dir), SymbolTable.read(args.lang_dir / "words.txt")
    oov = words.id((args.lang_dir / "oov.txt").read_text(encoding="utf-8").strip())
    references = {name: [words.symbol_to_id.get(word, oov) for word in line] for name, line in data.text.items()}
    utterances = data.utterances
    lattices = progress(read_lattices(args.denlats_dir), len(utterances), f"reading {args.denlats_dir}")
    summary = summarise(lattices, references, utterances)
    for utterance in sorted(summary.without_lattice)[:10]:
        print(f"WARNING: {utterance}: no lattice", file=sys.stderr)
    for utterance, why in sorted(summary.bad.items())[:10]:
        print(f"WARNING: {utterance}: bad lattice: {why}", file=sys.stderr)
    unfit = len(summary.without_lattice) + len(summary.bad)
    if unfit > args.max_failed * len(utterances):
        raise AsrtoolError(
            f"{args.denlats_dir}: {unfit} of {len(utterances)} utterances have no usable lattice (allowed: "
            f"{args.max_failed:.0%}); widen the beam or look into log/"
        )
    summary.write(args.denlats_dir)
    print("\n".join(f"{args.denlats_dir}: {line}" for line in summary.lines()))
    return 0
