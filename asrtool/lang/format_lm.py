"""A lang directory with a grammar: a copy of `lang` and G.fst made of an ARPA file (utils/format_lm.sh)."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph
from asrtool.fst.grammar_fst import BACKOFF_SYMBOL, GrammarSums, check_grammar, compile_grammar
from asrtool.io.atomic_file import atomic_path
from asrtool.io.symbols import SymbolTable
from asrtool.io.whole_file import is_gzipped, opened
from asrtool.lang.class_symbols import add_class_symbols
from asrtool.lang.classes import ClassGrammar, Entries, expand_classes, read_classes
from asrtool.lm.arpa import read_arpa
from asrtool.lm.text import BOS, EOS

COPIED = ("phones.txt", "words.txt", "topo", "oov.txt", "oov.int", "L.fst", "L_disambig.fst")


@dataclass
class FormatReport:
    """What became of the model: its words not in words.txt, n-grams of all orders that hold one, n-grams in all."""

    unknown_words: list[str]
    num_dropped: int
    num_ngrams: int
    num_states: int
    num_arcs: int
    sums: GrammarSums

    def summary(self) -> str:
        """One line."""
        some = f" (first: {', '.join(self.unknown_words[:5])})" if self.unknown_words else ""
        dropped = f"{len(self.unknown_words)} words of the ARPA file are not in words.txt{some}, "
        dropped += f"{self.num_dropped} of {self.num_ngrams} n-grams dropped"
        stochastic = f"{self.sums.least:.6g} {self.sums.greatest:.6g}"
        return f"states={self.num_states} arcs={self.num_arcs}; {dropped}; stochastic: {stochastic}"


def format_lm(
    lang_dir: str | Path, arpa_path: str | Path, out_dir: str | Path, classes_path: str | Path | None = None
) -> FormatReport:
    """Makes `out_dir`, which may be `lang_dir` itself.

    Args:
        classes_path: the words of symbols of the model that stand for classes, see `lang.classes`; `out_dir` gets a
            disambiguation symbol for each class.

    Raises:
        AsrtoolError: the ARPA file or the lang directory is unfit, or they have no word in common.
    """
    lang_dir, out_dir = Path(lang_dir), Path(out_dir)
    words = SymbolTable.read(lang_dir / "words.txt")
    for symbol in (BACKOFF_SYMBOL, BOS, EOS):
        if symbol not in words:
            raise AsrtoolError(f"{lang_dir}/words.txt: no symbol '{symbol}'; make the lang directory with prepare-lang")
    classes = read_classes(classes_path) if classes_path else {}
    for name in classes:
        if name in words:
            raise AsrtoolError(f"{classes_path}: the class '{name}' is a word of {lang_dir}/words.txt; rename it")
    last_id = max(words.id_to_symbol) + len(classes)  # the ids between are for the classes' disambiguation symbols
    class_ids = {name: last_id + number for number, name in enumerate(classes, 1)}
    all_words = SymbolTable(words.symbol_to_id | class_ids, words.name)
    unknown_words, num_dropped, num_ngrams = _compare(arpa_path, all_words, f"{lang_dir}/words.txt")
    _copy_lang(lang_dir, out_dir)
    with _unpacked(arpa_path, out_dir) as plain, atomic_path(out_dir / "G.fst") as temporary:
        with _table_file(all_words, out_dir) as words_file:
            compile_grammar(plain, words_file, temporary)
        graph = CsrGraph.from_fst_file(temporary)
        if classes:
            graph = _expand(graph, classes, class_ids, out_dir, str(classes_path))
            graph.write_fst_file(temporary, "vector")
        sums = check_grammar(graph, words.id(BACKOFF_SYMBOL), f"{out_dir}/G.fst")
    report = FormatReport(unknown_words, num_dropped, num_ngrams, graph.num_states, graph.num_arcs, sums)
    print(f"{out_dir}/G.fst: {report.summary()}", file=sys.stderr)
    return report


def _expand(graph: CsrGraph, classes: dict[str, Entries], ids: dict[str, int], out_dir: Path, name: str) -> CsrGraph:
    """The grammar with the words of the classes, whose disambiguation symbols are added to `out_dir`."""
    used = {symbol for symbol in classes if np.any(graph.arc_ilabel == ids[symbol])}
    if not used:
        raise AsrtoolError(f"{name}: none of its classes is in the ARPA file; is it a model of text with class symbols?")
    symbols = add_class_symbols(out_dir, used)
    words = SymbolTable.read(out_dir / "words.txt")
    grammars, num_unknown = {}, 0
    for symbol in sorted(used):
        entries = {entry: weight for entry, weight in classes[symbol].items() if all(word in words for word in entry)}
        num_unknown += len(classes[symbol]) - len(entries)
        if not entries:
            raise AsrtoolError(
                f"{name}: class '{symbol}': none of its entries has all its words in words.txt; add them to the lexicon"
            )
        by_id = {tuple(map(words.id, entry)): weight for entry, weight in entries.items()}
        grammars[ids[symbol]] = ClassGrammar.make(by_id, words.id(symbols[symbol]))
    unused = ", ".join(sorted(set(classes) - used)) or "none"
    print(f"{name}: {len(used)} classes expanded (not in the model: {unused}), ", end="", file=sys.stderr)
    print(f"{num_unknown} entries with words that are not in words.txt left out", file=sys.stderr)
    return expand_classes(graph, grammars)


@contextmanager
def _table_file(words: SymbolTable, directory: Path) -> Iterator[Path]:
    """A file with the table, removed afterwards."""
    path = directory / ".words_and_classes.txt"
    try:
        words.write(path)
        yield path
    finally:
        path.unlink(missing_ok=True)


def _compare(arpa_path: str | Path, words: SymbolTable, words_name: str) -> tuple[list[str], int, int]:
    """The ARPA file's words that are not in words.txt, the number of n-grams with one, the number of n-grams."""
    model = read_arpa(arpa_path)
    for symbol in ("<eps>", BACKOFF_SYMBOL):
        if symbol in model.vocabulary.ids:
            raise AsrtoolError(f"{arpa_path}: the unigram '{symbol}' is a reserved symbol; take it out of the text")
    known = np.array([word in words for word in model.vocabulary.words])
    if known.sum() <= 2:  # <s> and </s>
        raise AsrtoolError(f"{arpa_path}: none of its words is in {words_name}")
    num_dropped = sum(int((~known[model.ngram_words(order)].all(axis=1)).sum()) for order in range(1, model.order + 1))
    unknown_words = [word for word, is_known in zip(model.vocabulary.words, known) if not is_known]
    return unknown_words, num_dropped, sum(model.num_ngrams())


def _copy_lang(lang_dir: Path, out_dir: Path) -> None:
    sources = [lang_dir / name for name in COPIED] + sorted((lang_dir / "phones").glob("*"))
    for source in sources:
        if not source.is_file():
            raise AsrtoolError(f"{source}: no such file; make the lang directory with prepare-lang")
        target = out_dir / source.relative_to(lang_dir)
        if target.exists() and target.samefile(source):
            continue
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)


@contextmanager
def _unpacked(path: str | Path, directory: Path) -> Iterator[Path]:
    """A plain file's own path; of a gzipped one that of an unpacked copy in `directory`, removed afterwards."""
    copy = directory / f".{Path(path).stem}.unpacked"
    try:
        packed = is_gzipped(path)
        if packed:
            with opened(path) as file, open(copy, "wb") as plain:
                shutil.copyfileobj(file, plain)
        yield copy if packed else Path(path)
    finally:
        copy.unlink(missing_ok=True)
