"""A lang directory with a grammar: a copy of `lang` and G.fst made of an ARPA file (utils/format_lm.sh)."""

import gzip
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


def format_lm(lang_dir: str | Path, arpa_path: str | Path, out_dir: str | Path) -> FormatReport:
    """Makes `out_dir`, which may be `lang_dir` itself.

    Raises:
        AsrtoolError: the ARPA file or the lang directory is unfit, or they have no word in common.
    """
    lang_dir, out_dir = Path(lang_dir), Path(out_dir)
    words = SymbolTable.read(lang_dir / "words.txt")
    for symbol in (BACKOFF_SYMBOL, BOS, EOS):
        if symbol not in words:
            raise AsrtoolError(f"{lang_dir}/words.txt: no symbol '{symbol}'; make the lang directory with prepare-lang")
    unknown_words, num_dropped, num_ngrams = _compare(arpa_path, words, f"{lang_dir}/words.txt")
    _copy_lang(lang_dir, out_dir)
    with _unpacked(arpa_path, out_dir) as plain, atomic_path(out_dir / "G.fst") as temporary:
        compile_grammar(plain, lang_dir / "words.txt", temporary)
        graph = CsrGraph.from_fst_file(temporary)
        sums = check_grammar(graph, words.id(BACKOFF_SYMBOL), f"{out_dir}/G.fst")
    report = FormatReport(unknown_words, num_dropped, num_ngrams, graph.num_states, graph.num_arcs, sums)
    print(f"{out_dir}/G.fst: {report.summary()}", file=sys.stderr)
    return report


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
        with open(path, "rb") as file:
            is_packed = file.read(2) == b"\x1f\x8b"
        if is_packed:
            with gzip.open(path) as packed, open(copy, "wb") as plain:
                shutil.copyfileobj(packed, plain)
        yield copy if is_packed else Path(path)
    finally:
        copy.unlink(missing_ok=True)
