"""Archives of lattices, as Kaldi reads and writes them: lat.N.gz, binary or text, state-level or compact."""

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO

from asrtool.errors import AsrtoolError
from asrtool.io.whole_file import opened, opened_to_write
from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.kaldi_arcs import KaldiArcs, to_lattice_arrays
from asrtool.lattice.kaldi_fst import MAGIC_BYTES, TruncatedError, format_fst, parse_fst
from asrtool.lattice.kaldi_text import format_text, parse_text
from asrtool.lattice.lattice import Lattice

_CHUNK = 1 << 20
_COMPRESSION = 3  # half again as large as at 9, at a tenth of the time
# a name and, in text, the end of its line, in binary a space and the first bytes of the lattice
_NAME = re.compile(rb"\s*([^\s\0]{1,4096})([ \t\r]*\n| (?=" + re.escape(MAGIC_BYTES) + rb"))")
_BLANK_LINE = re.compile(rb"\n[ \t\r]*\n")


def lattice_files(directory: str | Path) -> list[Path]:
    """The lat.N.gz files of a decoding directory, by number.

    Raises:
        AsrtoolError: none there.
    """
    numbered = {}
    for path in Path(directory).glob("lat.*.gz"):
        if match := re.fullmatch(r"lat\.(\d+)\.gz", path.name):
            numbered[int(match[1])] = path
    if not numbered:
        raise AsrtoolError(f"{directory}: no lat.*.gz in it; decode first")
    return [numbered[number] for number in sorted(numbered)]


Convert = Callable[[KaldiArcs], Lattice | CompactLattice]


def read_lattices(path: str | Path, convert: Convert = to_lattice_arrays) -> Iterator[tuple[str, Lattice | CompactLattice]]:
    """Yields (utterance, lattice) of an archive, or of all lat.N.gz of a decoding directory, in the order of the file.

    Binary or text, .gz or not, is seen from the content. Little more than a lattice is held at a time. See
    `kaldi_arcs.to_lattice_arrays` for the order of states; Kaldi's files do not tell `reached_final`: it is True.

    Args:
        path: "-" is standard input.
        convert: what makes a lattice of what a file holds; raises ValueError.

    Raises:
        AsrtoolError: no such file, something else than lattices, damaged or truncated; the line names file and utterance.
    """
    path = "/dev/stdin" if str(path) == "-" else path
    for file in lattice_files(path) if Path(path).is_dir() else [Path(path)]:
        yield from _read_file(file, convert)


def _read_file(path: Path, convert: Convert) -> Iterator[tuple[str, Lattice | CompactLattice]]:
    with opened(path, "no such lattice archive; decode first") as file:
        source = _Source(file, path, convert)
        if not source.more():
            raise AsrtoolError(f"{path}: an empty file; make it again")
        while (item := source.next_lattice()) is not None:
            yield item


class _Source:
    """What was read of a file and not used yet."""

    def __init__(self, file: BinaryIO, path: Path, convert: Convert) -> None:
        self.file, self.path, self.convert = file, path, convert
        self.data, self.position, self.ended = b"", 0, False

    def more(self) -> bool:
        """Reads on, as much again as is held; False at the end of the file."""
        held = self.data[self.position :]
        new = b"" if self.ended else self.file.read(max(_CHUNK, len(held)))
        self.data, self.position, self.ended = held + new, 0, not new
        return bool(new)

    def error(self, utterance: str, message: str) -> AsrtoolError:
        return AsrtoolError(f"{self.path}: {utterance}: {message}; make the file again")

    def next_lattice(self) -> tuple[str, Lattice | CompactLattice] | None:
        """The utterance at the position, None at the end of the file."""
        while (match := _NAME.match(self.data, self.position)) is None and self.more():
            pass
        if match is None:
            if self.data[self.position :].strip():
                raise AsrtoolError(f"{self.path}: not an archive of lattices: no utterance's name was found; make the file again")
            return None
        utterance = match[1].decode("utf-8", "replace")
        self.position = match.end()
        try:
            arcs = self._text() if match[2].endswith(b"\n") else self._binary(utterance)
            return utterance, self.convert(arcs)
        except ValueError as error:
            raise self.error(utterance, str(error)) from None

    def _binary(self, utterance: str):
        while True:
            try:
                arcs, self.position = parse_fst(self.data, self.position)
                return arcs
            except TruncatedError:
                if not self.more():
                    raise self.error(utterance, "truncated") from None

    def _text(self):
        # the name's line counts as the line before a lattice without any
        self.position -= 1
        while (end := _BLANK_LINE.search(self.data, self.position)) is None and self.more():
            pass
        stop = end.start() if end else len(self.data)
        body = self.data[self.position : stop]
        self.position = end.end() if end else stop
        if end is None and body.strip():
            raise ValueError("truncated: no empty line after it")
        return parse_text(body)


def write_lattices(path: str | Path, items: Iterable[tuple[str, Lattice | CompactLattice]], binary: bool = True) -> None:
    """Writes (utterance, lattice) pairs in order, .gz by the suffix; the file appears when all are written.

    "-" is standard output. The same lattices give the same bytes. Text keeps six digits of a cost, as Kaldi's does.
    """
    with nullcontext(sys.stdout.buffer) if str(path) == "-" else opened_to_write(path, _COMPRESSION) as file:
        for utterance, lattice in items:
            name = utterance.encode("utf-8") + b" "
            file.write(name + format_fst(lattice) if binary else name + b"\n" + format_text(lattice) + b"\n")
