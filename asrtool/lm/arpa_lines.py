"""Lines of a large text file, gzipped or not, held in memory in blocks of whole lines."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.io.whole_file import opened

LONGEST_LINE = 1 << 20  # bytes; longer ones are no lines of an ARPA file, and would take memory without end


class Lines:
    """A cursor over the lines of a file.

    Args:
        block_bytes: about how much is held at a time.

    Attributes:
        data: the block, whole lines with their ends; empty at the end of the file. array: the same, uint8, read-only.
        position: where in the block the line at the cursor begins.
        line: its number, from 1.
    """

    def __init__(self, path: str | Path, block_bytes: int) -> None:
        self.path = path
        self.line = 1
        self._lacks_end = False
        self._blocks = self._read(block_bytes)
        self._next_block()

    def _read(self, block_bytes: int) -> Iterator[bytes]:
        path = self.path
        with opened(path) as file:
            while data := file.read(block_bytes):
                if not data.endswith(b"\n"):
                    data += file.readline(LONGEST_LINE)
                if not data.endswith(b"\n"):
                    if len(data) >= LONGEST_LINE and file.read(1):
                        raise AsrtoolError(f"{path}: a line of more than {LONGEST_LINE} bytes; not an ARPA file")
                    self._lacks_end = True
                    data += b"\n"
                yield data

    def _next_block(self) -> None:
        self.data, self.position = next(self._blocks, b""), 0
        self.array = np.frombuffer(self.data or b"\n", np.uint8)

    def peek(self, may_be_other: bool = False) -> bytes | None:
        """The line at the cursor without white space around it, None at the end; blank lines are passed over.

        Args:
            may_be_other: the file may not be of our kind at all, so a carriage return at the line's end means nothing.
        """
        while self.data:
            line = self.data[self.position : self.data.index(b"\n", self.position)]
            if line.endswith(b"\r") and not may_be_other:
                raise self.carriage_return(self.position)
            if line := line.strip():
                return line
            self.skip()
        return None

    def skip(self) -> None:
        """Past the line at the cursor."""
        self.move_to(self.data.index(b"\n", self.position) + 1)

    def move_to(self, position: int) -> None:
        """Past whole lines of the block."""
        self.line += self.data.count(b"\n", self.position, position)
        self.position = position
        if self.position >= len(self.data):
            self._next_block()

    def fields(self, byte: int) -> list[bytes]:
        """Those of the block's line that begins at `byte`."""
        return self.data[byte : self.data.index(b"\n", byte)].split()

    def error(self, byte: int, message: str) -> AsrtoolError:
        """About the block's line that begins at `byte`, which does not come before the cursor; says so if the line has no end."""
        line = self.line + self.data.count(b"\n", self.position, byte)
        cut = "; the file is truncated" if self._lacks_end and self.data.index(b"\n", byte) == len(self.data) - 1 else ""
        return AsrtoolError(f"{self.path}: line {line}: {message}{cut}")

    def carriage_return(self, byte: int) -> AsrtoolError:
        return self.error(byte, "a carriage return; convert the file to Unix line ends")
