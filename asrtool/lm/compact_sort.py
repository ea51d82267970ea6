"""Sorting of n-grams by key, on disk: they are dealt out by key to parts that fit in memory, and each part is sorted."""

from pathlib import Path

import numpy as np

from asrtool.lm.columns import FileColumn

PART_ROWS = 1 << 23
SAMPLE = 1 << 18
_DTYPES = {"keys": np.dtype("<i8"), "costs": np.dtype("<f4"), "weights": np.dtype("<f4")}


class _Columns:
    """Three columns in files: keys int64, costs float32, weights float32."""

    def __init__(self, path: Path) -> None:
        self._columns = [FileColumn(path.with_name(f"{path.name}.{name}"), dtype) for name, dtype in _DTYPES.items()]

    def add(self, *columns: np.ndarray) -> None:
        for column, values in zip(self._columns, columns):
            column.append(values)

    def map(self) -> list[np.ndarray]:
        return [column.map() for column in self._columns]


class KeyFile:
    """n-grams on disk: written part after part, then read in the order of their keys.

    Args:
        path: begin of the names of files, which are gone when nothing holds them any more.
        part_rows: how many are sorted at once.

    Attributes:
        repeated: a key that occurs twice, or -1; after `sorted`.
    """

    def __init__(self, path: Path, part_rows: int = PART_ROWS) -> None:
        self.path, self.part_rows = path, part_rows
        self.columns = _Columns(path)
        self.is_sorted, self.last_key = True, -1
        self.repeated = -1

    def add(self, keys: np.ndarray, costs: np.ndarray, weights: np.ndarray) -> None:
        """Appends n-grams."""
        if not len(keys):
            return
        if self.is_sorted:
            self.is_sorted = keys[0] > self.last_key and bool(np.all(keys[1:] > keys[:-1]))
            self.last_key = keys[-1]
        self.columns.add(keys, costs, weights)

    def sorted(self) -> list[np.ndarray]:
        """Keys, costs, weights: arrays that are mapped into memory."""
        columns = self.columns.map()
        if self.is_sorted:
            return columns
        result = _Columns(self.path.with_name(f"{self.path.name}.sorted"))
        for part in self._parts(columns):
            rank = np.argsort(part[0], kind="stable")
            keys = part[0][rank]
            repeated = np.flatnonzero(keys[1:] == keys[:-1])
            if len(repeated):
                self.repeated = int(keys[repeated[0]])
            result.add(keys, part[1][rank], part[2][rank])
        self.columns = result  # the files in the other order are gone with `columns`
        return result.map()

    def _parts(self, columns: list[np.ndarray]):
        """Yields columns of at most about `part_rows`, each with keys above those of the one before."""
        keys = columns[0]
        if len(keys) <= self.part_rows:
            yield columns
            return
        count = 1 + 2 * len(keys) // self.part_rows
        sample = np.sort(keys[:: max(1, len(keys) // SAMPLE)])
        bounds = sample[np.arange(1, count) * len(sample) // count]
        parts = [_Columns(self.path.with_name(f"{self.path.name}.part{number}")) for number in range(count)]
        for first in range(0, len(keys), self.part_rows):
            chunk = [column[first : first + self.part_rows] for column in columns]
            part_of = np.searchsorted(bounds, chunk[0], side="right")
            for number in np.unique(part_of):
                chosen = part_of == number
                parts[number].add(*(column[chosen] for column in chunk))
        while parts:  # each file's space is free again after its turn
            yield parts.pop(0).map()
