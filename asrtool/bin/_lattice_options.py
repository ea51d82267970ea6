"""What the commands on lattices share: Kaldi's options, archives in and out, and bad lattices that are counted and named."""

import re
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

from asrtool.arguments import parser
from asrtool.errors import AsrtoolError
from asrtool.io.progress import progress
from asrtool.io.symbols import SymbolTable
from asrtool.io.tally import Tally
from asrtool.lattice.archive import read_lattices

Result = TypeVar("Result")


class Target(NamedTuple):
    """An archive to write: "FILE", "ark:FILE" or, in text, "ark,t:FILE"."""

    path: Path
    text: bool


def source(text: str) -> Path:
    """An archive to read, .gz or not, or a decoding directory: "PATH" or "ark:PATH"."""
    return Path(re.sub(r"^ark(,\w+)*:", "", text))


def target(text: str) -> Target:
    options = re.match(r"^ark((,\w+)*):", text)
    return Target(source(text), bool(options) and "t" in options[1].split(","))


def lattice_parser(verb: str, doc: str, example: str, scales: bool = True) -> ArgumentParser:
    """A parser with the lattices to read, and with Kaldi's scales of costs."""
    options = parser(verb, doc, example)
    options.add_argument("lattices", type=source, help="archive of lattices, .gz or not, or a decoding directory (all lat.N.gz)")
    if scales:
        options.add_argument("--acoustic-scale", type=float, default=1.0)
        options.add_argument("--lm-scale", type=float, default=1.0)
    options.add_argument("--max-failed", type=float, default=0.0, help="share of lattices that may be bad (default 0)")
    return options


def each_lattice(path: Path, work: Callable[[str, object], Result | None], max_failed: float) -> Iterator[tuple[str, Result]]:
    """Yields (utterance, work(utterance, lattice)); bad lattices, and those without a result (None), are counted and named.

    Raises:
        AsrtoolError: an archive that cannot be read, or more bad lattices than the share `max_failed`.
    """
    tally = Tally(max_failed=max_failed)
    for utterance, lattice in progress(read_lattices(path), num_decoded(path), f"lattices of {path}", end=False):
        try:
            result = work(utterance, lattice)
        except AsrtoolError as error:
            tally.failed(f"{path}: {utterance}", str(error))
            continue
        if result is None:
            tally.failed(f"{path}: {utterance}", "no path reaches a final state; decode with a wider beam")
            continue
        tally.ok()
        yield utterance, result
    tally.close()


def num_decoded(path: Path) -> int | None:
    """Utterances of a decoding directory by its hyp.txt; None of an archive."""
    hypotheses = path / "hyp.txt"
    if not hypotheses.is_file():
        return None
    with open(hypotheses, "rb") as file:
        return sum(1 for _ in file)


def word_writer(table: str | None) -> Callable[[object], str]:
    """Turns word ids into a line: numbers, or words of a symbol table."""
    symbols = SymbolTable.read(table) if table else None
    return lambda words: " ".join(symbols.symbol(int(word)) if symbols else str(word) for word in words)
