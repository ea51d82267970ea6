"""Long arrays that are written once, block by block, and read in slices: in memory, or in files of a scratch folder."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

BLOCK = 1 << 20  # entries that are worked on at a time


class FileColumn:
    """An array in a file without a name; `column[low:high]` reads a part of it, `column[:]` all."""

    def __init__(self, path: Path, dtype: np.dtype) -> None:
        self.dtype = np.dtype(dtype)
        self._file = open(path, "x+b", buffering=0)  # noqa: SIM115 - lives as long as the column
        path.unlink()  # the space is free again as soon as nothing holds the column
        self._length = 0

    def append(self, values: np.ndarray) -> None:
        values = np.ascontiguousarray(values, dtype=self.dtype)
        self._file.seek(0, 2)
        view = memoryview(values).cast("B") if len(values) else b""
        while len(view):
            view = view[self._file.write(view) :]
        self._length += len(values)

    def finish(self) -> "FileColumn":
        return self

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, part: slice) -> np.ndarray:
        low, high, _ = part.indices(self._length)
        values = np.empty(max(high - low, 0), self.dtype)
        self._file.seek(low * self.dtype.itemsize)
        view = memoryview(values).cast("B") if len(values) else b""
        while len(view):
            count = self._file.readinto(view)
            if not count:
                raise OSError("a scratch file could not be read back")
            view = view[count:]
        return values

    def map(self) -> np.ndarray:
        """All of it mapped into memory, read-only; it stays after the column is gone."""
        if not self._length:  # an empty file cannot be mapped
            return np.empty(0, self.dtype)
        return np.asarray(np.memmap(self._file, self.dtype, "r"))

    def __del__(self) -> None:
        self._file.close()


class MemoryColumn:
    """The same in memory; `finish` gives the array."""

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = np.dtype(dtype)
        self._parts: list[np.ndarray] = []

    def append(self, values: np.ndarray) -> None:
        self._parts.append(np.asarray(values, dtype=self.dtype))

    def finish(self) -> np.ndarray:
        return np.concatenate(self._parts) if self._parts else np.empty(0, self.dtype)


Column = FileColumn | np.ndarray


class Scratch:
    """Makes columns.

    Args:
        folder: where their files go; it belongs to the caller, who removes it. None: in memory.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = None if folder is None else Path(folder)
        self._number = 0

    def column(self, dtype: np.dtype) -> FileColumn | MemoryColumn:
        """An empty one, to be filled by `append` and closed by `finish`."""
        if self.folder is None:
            return MemoryColumn(dtype)
        self._number += 1
        return FileColumn(self.folder / f"column.{id(self):x}.{self._number}", dtype)


def blocks(length: int, size: int | None = None) -> Iterator[tuple[int, int]]:
    """(low, high) of consecutive parts of `size` (BLOCK)."""
    size = size or BLOCK
    for low in range(0, length, size):
        yield low, min(low + size, length)


def history_blocks(keys: Column, num_words: int) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
    """Parts of an order's n-grams that hold all n-grams of each of their histories.

    Yields:
        low, high; the keys int64; the places int64 in them where a history begins.
    """
    low, wanted = 0, BLOCK
    while low < len(keys):
        part = keys[low : low + wanted]
        starts = np.flatnonzero(np.diff(part // num_words, prepend=-1))
        high = low + len(part)
        if high < len(keys):  # the last history may go on
            if len(starts) == 1:
                wanted *= 2
                continue
            high = low + int(starts[-1])
            part, starts = part[: starts[-1]], starts[:-1]
        yield low, high, part, starts
        low, wanted = high, BLOCK


def load(column: Column, dtype: np.dtype | None = None) -> np.ndarray:
    """All of it in memory, converted part by part."""
    result = np.empty(len(column), dtype or column.dtype)
    for low, high in blocks(len(column)):
        result[low:high] = column[low:high]
    return result


def counts_of_counts(column: Column, greatest: int) -> np.ndarray:
    """float64 [greatest + 1]: how many entries are 0, 1, ...; greater ones are left out."""
    number = np.zeros(greatest + 2)
    for low, high in blocks(len(column)):
        number += np.bincount(np.minimum(column[low:high], greatest + 1), minlength=greatest + 2)
    return number[:-1]


def total(column: Column) -> float:
    return float(sum(int(column[low:high].sum()) for low, high in blocks(len(column))))


Columns = Sequence[Column]
