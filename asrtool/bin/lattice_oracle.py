"""Print the oracle error rate of lattices: of the path that is nearest to the reference; its words, and its lattice if asked."""

import sys
from pathlib import Path

from asrtool.arguments import existing_path
from asrtool.bin._lattice_options import each_lattice, lattice_parser, target, word_writer
from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text
from asrtool.io.symbols import SymbolTable
from asrtool.io.whole_file import read_bytes
from asrtool.lattice.archive import write_lattices
from asrtool.lattice.arrays import path_lattice
from asrtool.lattice.oracle import oracle


def _references(path: Path, symbols: SymbolTable | None) -> dict[str, list[int]]:
    """Utterance -> word ids; a word that words.txt lacks is -1, which nothing matches."""
    lines = [line.split() for line in bytes(read_bytes(path)).decode("utf-8", "replace").splitlines() if line.strip()]
    if symbols:
        return {line[0]: [symbols.symbol_to_id.get(word, -1) for word in line[1:]] for line in lines}
    try:
        return {line[0]: [int(word) for word in line[1:]] for line in lines}
    except ValueError as error:
        raise AsrtoolError(f"{path}: expected word ids ({error}); for words give --word-symbol-table") from None


def main(arguments: list[str]) -> int:
    example = "asrtool lattice-oracle --word-symbol-table words.txt exp/tri/decode data/test/text oracle.txt"
    options = lattice_parser("lattice-oracle", __doc__, example)
    options.add_argument("references", type=existing_path, help="an utterance and its words (or word ids) a line")
    options.add_argument("words", type=target, nargs="?", help="the nearest paths' words, an utterance a line")
    options.add_argument("--word-symbol-table", help="words.txt; without it, word ids are read and written")
    options.add_argument("--wildcard-symbols-list", default="", help="word ids that count on neither side, joined by ':'")
    options.add_argument("--write-lattices", type=target, help="archive of the nearest paths as lattices")
    args = options.parse_args(arguments)
    symbols = SymbolTable.read(args.word_symbol_table) if args.word_symbol_table else None
    to_line, references = word_writer(args.word_symbol_table), _references(args.references, symbols)
    ignored = [int(word) for word in args.wildcard_symbols_list.split(":") if word.isdecimal()]
    lines, nearest, results = [], [], []

    def work(utterance, lattice):
        if utterance not in references:
            raise AsrtoolError(f"not in {args.references}")
        result = oracle(lattice, references[utterance], args.acoustic_scale, args.lm_scale, ignored)
        if result is not None and args.write_lattices:
            nearest.append((utterance, path_lattice(lattice, result.arcs)))
        return result

    for utterance, result in each_lattice(args.lattices, work, args.max_failed):
        results.append(result)
        lines.append(f"{utterance} {to_line(result.path.words)}".rstrip() + "\n")
        print(f"{utterance}: {result.errors} errors in {result.num_words} words", file=sys.stderr)
    if args.write_lattices:
        write_lattices(args.write_lattices.path, nearest, not args.write_lattices.text)
    if args.words:
        write_text(args.words.path, "".join(lines))
    kinds = ("insertions", "deletions", "substitutions", "num_words")
    inserted, deleted, replaced, total = (sum(getattr(result, kind) for result in results) for kind in kinds)
    errors = inserted + deleted + replaced
    rate = 100 * errors / total if total else 0.0
    print(f"%WER {rate:.2f} [ {errors} / {total}, {inserted} ins, {deleted} del, {replaced} sub ] oracle")
    return 0
