"""Disambiguation symbols of word classes in a lang directory (Kaldi's prepare_lang.sh --extra-word-disambig-syms)."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph
from asrtool.fst.grammar_fst import BACKOFF_SYMBOL
from asrtool.io.atomic_file import write_text
from asrtool.io.symbols import SymbolTable

CLASS_FILE = "class_disambig.txt"
"""In lang/phones: a class and its symbol a line."""


def add_class_symbols(lang_dir: Path, names: Iterable[str]) -> dict[str, str]:
    """Gives each class a symbol: the next free #N, in words.txt, phones.txt, phones/*disambig* and the loops of L_disambig.fst.

    Classes that have one keep it.

    Returns:
        class -> symbol.
    """
    words, phones = SymbolTable.read(lang_dir / "words.txt"), SymbolTable.read(lang_dir / "phones.txt")
    known_path = lang_dir / "phones" / CLASS_FILE
    symbols = dict(line.split() for line in known_path.read_text(encoding="utf-8").splitlines()) if known_path.is_file() else {}
    new = sorted(set(names) - set(symbols))
    if not new:
        return symbols
    number = 0
    for name in new:
        while f"#{number}" in phones or f"#{number}" in words:
            number += 1
        symbols[name] = f"#{number}"
        words = _append(words, f"#{number}")
        phones = _append(phones, f"#{number}")
    added = [symbols[name] for name in new]
    _add_loops(lang_dir / "L_disambig.fst", phones, words, added)
    _write_lists(lang_dir / "phones", phones, words, added)
    phones.write(lang_dir / "phones.txt")
    words.write(lang_dir / "words.txt")
    write_text(known_path, "".join(f"{name} {symbol}\n" for name, symbol in sorted(symbols.items())))
    return symbols


def _append(table: SymbolTable, symbol: str) -> SymbolTable:
    return SymbolTable(table.symbol_to_id | {symbol: max(table.id_to_symbol) + 1}, table.name)


def _write_lists(directory: Path, phones: SymbolTable, words: SymbolTable, added: list[str]) -> None:
    """The lists of phones and words that are disambiguation symbols."""
    for name in ("disambig", "wdisambig"):
        path = directory / f"{name}.txt"
        if not path.is_file():
            raise AsrtoolError(f"{path}: no such file; make the lang directory with prepare-lang")
        listed = path.read_text(encoding="utf-8").split() + added
        write_text(path, "".join(f"{symbol}\n" for symbol in listed))
        ids = [str(phones.id(symbol)) for symbol in listed]
        if name == "disambig":
            write_text(directory / "disambig.int", "".join(f"{number}\n" for number in ids))
            write_text(directory / "disambig.csl", ":".join(ids) + "\n")
        else:
            write_text(directory / "wdisambig_phones.int", "".join(f"{number}\n" for number in ids))
            write_text(directory / "wdisambig_words.int", "".join(f"{words.id(symbol)}\n" for symbol in listed))


def _add_loops(path: Path, phones: SymbolTable, words: SymbolTable, added: list[str]) -> None:
    """Self-loops that let the symbols through, where that of the back-off symbol is."""
    lexicon = CsrGraph.from_fst_file(path)
    source = lexicon.arc_source
    loop = (lexicon.arc_olabel == words.id(BACKOFF_SYMBOL)) & (lexicon.arc_nextstate == source)
    states = np.unique(source[loop])
    if len(states) == 0:
        raise AsrtoolError(f"{path}: no loop lets {BACKOFF_SYMBOL} through; make the lang directory with prepare-lang")
    columns = [[source, lexicon.arc_ilabel, lexicon.arc_olabel, lexicon.arc_nextstate, lexicon.arc_cost]]
    for symbol in added:
        size = len(states)
        columns.append(
            [states, np.full(size, phones.id(symbol)), np.full(size, words.id(symbol)), states, np.zeros(size, np.float32)]
        )
    source, ilabel, olabel, nextstate, cost = (np.concatenate(column) for column in zip(*columns))
    order = np.lexsort((olabel, source))
    graph = CsrGraph.from_arcs(
        lexicon.start, source[order], ilabel[order], olabel[order], nextstate[order], cost[order], lexicon.final_cost
    )
    graph.write_fst_file(path, "vector")
