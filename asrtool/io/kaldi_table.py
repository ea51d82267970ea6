"""Tables of matrices and vectors: Kaldi's archives and scp files.

Archives are mapped into memory, so that opening is cheap and random access costs no seek calls.
"""

import re
import subprocess
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import atomic_path, write_text
from asrtool.io.kaldi_binary import KaldiReader
from asrtool.io.kaldi_matrix import compress, matrix_bytes, vector_bytes
from asrtool.io.whole_file import read_bytes, text_lines, write_bytes


def read_scp(path: str | Path, allow_empty: bool = False, keep: Container[str] | None = None) -> dict[str, str]:
    """Key -> the rest of the line, in file order; a key alone is an error unless `allow_empty` (transcripts).

    Args:
        keep: these keys only; None: all.

    Raises:
        AsrtoolError: no such file, not UTF-8, a line without value, or a key that occurs twice.
    """
    entries: dict[str, str] = {}
    for number, line in enumerate(text_lines(path), 1):
        fields = line.split(None, 1)
        if not fields or (keep is not None and fields[0] not in keep):
            continue
        if len(fields) == 1 and not allow_empty:
            raise AsrtoolError(f"{path}: line {number}: {fields[0]}: expected 'key value'")
        if fields[0] in entries:
            raise AsrtoolError(f"{path}: line {number}: {fields[0]}: occurs twice; remove one")
        entries[fields[0]] = fields[1].strip() if len(fields) > 1 else ""
    return entries


def _archive_bytes(name: str) -> Any:
    """An archive's content: a file, or what a command ending in | prints."""
    if not name.endswith("|"):
        return read_bytes(name)
    finished = subprocess.run(name[:-1], shell=True, stdout=subprocess.PIPE, check=False)
    if finished.returncode != 0:
        raise AsrtoolError(f"'{name}': the command failed with status {finished.returncode}")
    return finished.stdout


def _archive_entries(data: Any, name: str) -> Iterator[tuple[str, KaldiReader]]:
    """Each key with a reader that stands at its object; the caller moves the reader past it."""
    reader = KaldiReader(data, name)
    while True:
        reader.binary = False  # keys are text; white space between text objects is skipped
        reader.context = ""
        if reader.eof:
            return
        utterance = reader.read_token()
        reader.context = utterance
        reader.start_object()
        yield utterance, reader


class MatrixReader:
    """Matrices by key from an scp file or an archive, binary (compressed or not) or text; `.gz` and "command |" too.

    Args:
        source: "feats.scp", "x.ark", "scp:...", "ark:...", "ark:gunzip -c x.gz |".
        dtype: of the arrays returned.
        check_finite: whether NaN and infinity are errors.
    """

    def __init__(self, source: str | Path, dtype: Any = np.float32, check_finite: bool = True) -> None:
        kind, colon, name = str(source).partition(":")
        if colon and kind.split(",")[0] in ("scp", "ark"):
            self.is_scp = kind.startswith("scp")
        else:
            name = str(source)
            self.is_scp = name.endswith(".scp")
        self.name = name
        self.dtype = dtype
        self.check_finite = check_finite
        self._archives: dict[str, Any] = {}
        self._entries = read_scp(name) if self.is_scp else None

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_archives": {}}  # memory maps do not travel to worker processes

    def _archive(self, name: str) -> Any:
        if name not in self._archives:
            self._archives[name] = _archive_bytes(name)
        return self._archives[name]

    def _index(self) -> dict[str, Any]:
        """Key -> scp value, or -> byte offset of the object in an archive."""
        if self._entries is None:
            self._entries = {}
            for utterance, reader in _archive_entries(self._archive(self.name), self.name):
                if utterance in self._entries:
                    raise AsrtoolError(f"{self.name}: {utterance}: occurs twice; remove one")
                self._entries[utterance] = reader.position - 2 * reader.binary
                reader.skip_matrix()
        return self._entries

    def keys(self) -> list[str]:
        return list(self._index())

    def __len__(self) -> int:
        return len(self._index())

    def __contains__(self, utterance: str) -> bool:
        return utterance in self._index()

    def __iter__(self) -> Iterator[str]:
        return iter(self._index())

    def __getitem__(self, utterance: str) -> np.ndarray:
        """The matrix, [T, D].

        Raises:
            AsrtoolError: no such utterance, or a missing, truncated or damaged archive, or NaN.
        """
        index = self._index()
        if utterance not in index:
            raise AsrtoolError(f"{self.name}: {utterance}: not in this table")
        if not self.is_scp:
            reader = KaldiReader(self._archive(self.name), self.name, index[utterance])
            return self._read(reader, utterance)
        value, rows = index[utterance], None
        if value.endswith("]"):
            value, _, rows = value[:-1].rpartition("[")
        try:
            if value.endswith("|"):
                reader = KaldiReader(_archive_bytes(value), value)
            else:
                name, _, offset = value.rpartition(":")
                position = int(offset) if name and offset.isdecimal() and len(offset) < 19 else None  # fits 64 bits
                name = value if position is None else name
                reader = KaldiReader(self._archive(name), name, position or 0)
        except AsrtoolError as error:
            raise AsrtoolError(f"{self.name}: {utterance}: {error}") from None
        matrix = self._read(reader, utterance)
        return matrix if rows is None else matrix[self._row_range(rows, utterance, len(matrix))]

    def _row_range(self, text: str, utterance: str, num_rows: int) -> slice:
        """Kaldi's "[first:last]", both included."""
        match = re.fullmatch(r"(\d+):(\d+)", text)
        if not match or not int(match[1]) <= int(match[2]) < num_rows:
            raise AsrtoolError(f"{self.name}: {utterance}: range '[{text}]' does not fit {num_rows} rows")
        return slice(int(match[1]), int(match[2]) + 1)

    def _read(self, reader: KaldiReader, utterance: str) -> np.ndarray:
        reader.context = utterance
        matrix = reader.read_matrix(self.dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            total = matrix.sum() if self.check_finite else 0.0
        if not np.isfinite(total) and not np.isfinite(matrix).all():
            frame = int(np.argmax(~np.isfinite(matrix).all(axis=1)))
            raise AsrtoolError(f"{reader.name}: {utterance}: NaN or infinity in frame {frame}; compute it again or leave it out")
        return matrix

    def items(self) -> Iterator[tuple[str, np.ndarray]]:
        """All (key, matrix), in file order; an archive is read once from front to back."""
        if self.is_scp or self._entries is not None:
            for utterance in self.keys():
                yield utterance, self[utterance]
            return
        for utterance, reader in _archive_entries(self._archive(self.name), self.name):
            yield utterance, self._read(reader, utterance)


class MatrixWriter:
    """Writes an archive and, if asked, its scp file; both appear at a clean exit, the scp last.

    Args:
        ark: path of the archive; the scp holds it as given.
        scp: path of the scp file, or None.
        compression_method: Kaldi's number (`kaldi_matrix`), or None for uncompressed (FM; DM for float64).
        text: text format, not compressed.
    """

    def __init__(self, ark: str | Path, scp: str | Path | None = None, compression_method: int | None = None, text: bool = False):
        self.ark, self.scp = str(ark), scp
        self.compression_method = compression_method
        self.text = text
        self.offsets: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._context = atomic_path(self.ark)
        self._file = open(self._context.__enter__(), "wb")
        return self

    def write(self, utterance: str, matrix: np.ndarray) -> None:
        """Appends one [T, D] matrix."""
        if utterance in self.offsets:
            raise AsrtoolError(f"{self.ark}: {utterance}: occurs twice in what is to be written")
        key = utterance.encode("utf-8") + b" "
        self.offsets[utterance] = self._file.tell() + len(key)
        if self.text:
            self._file.write(key + matrix_bytes(matrix, binary=False))
        elif self.compression_method is None:
            self._file.write(key + b"\0B" + matrix_bytes(matrix))
        else:
            self._file.write(key + b"\0B" + compress(matrix, self.compression_method))

    def __exit__(self, *exception: Any) -> None:
        self._file.close()
        self._context.__exit__(*exception)
        if exception[0] is None and self.scp is not None:
            write_text(self.scp, "".join(f"{utterance} {self.ark}:{offset}\n" for utterance, offset in self.offsets.items()))


def read_matrix_file(path: str | Path, dtype: Any = np.float32) -> np.ndarray:
    """A file that holds one matrix (final.mat, global CMVN statistics), binary or text."""
    return KaldiReader.open(path).read_matrix(dtype)


def write_matrix_file(path: str | Path, matrix: np.ndarray, binary: bool = True) -> None:
    """FM, or DM for float64."""
    write_bytes(path, (b"\0B" if binary else b"") + matrix_bytes(matrix, binary))


def read_vectors(path: str | Path, dtype: Any = np.float32) -> dict[str, np.ndarray]:
    """Key -> float vector of an archive, binary or text."""
    return {key: reader.read_float_vector(dtype) for key, reader in _archive_entries(_archive_bytes(str(path)), str(path))}


def write_vectors(path: str | Path, vectors: Mapping[str, np.ndarray], binary: bool = True) -> None:
    """Writes an archive of FV (DV for float64) vectors, or text."""
    marker = b"\0B" if binary else b""
    write_bytes(path, b"".join(key.encode() + b" " + marker + vector_bytes(vector, binary) for key, vector in vectors.items()))
