"""Kaldi's tokens and typed primitives, binary and text (kaldi/src/base/io-funcs.h, matrix/*.cc).

A binary object starts with `\\0B`; a basic type is a size byte (negative when unsigned) and the value in little
endian; a token ends with one space. In text, everything is separated by white space.
"""

import mmap
import re
import struct
from pathlib import Path
from typing import Any, Self

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.io.kaldi_matrix import HEADER_BYTES, compressed_num_bytes, decompress
from asrtool.io.kaldi_writer import KaldiWriter
from asrtool.io.whole_file import read_bytes

__all__ = ["LARGEST_ID", "KaldiReader", "KaldiWriter"]

LARGEST_ID = 1 << 24
"""Phones, pdfs and pdf classes above it are damage: tables over them would take memory without end."""

_WHITE = b" \t\n\r"
_SPACES = re.compile(rb"[ \t\n\r]*")
_INTEGERS = {1: "i1", 2: "<i2", 4: "<i4", 8: "<i8"}
_FLOATS = {"F": "<f4", "D": "<f8"}
_LOWEST, _HIGHEST = -(1 << 31), (1 << 31) - 1  # of the integers in Kaldi's objects


class KaldiReader:
    """A cursor over the bytes of one file.

    Args:
        data: bytes, or a memory map.
        name: named in errors.
        position: where to start.

    Attributes:
        binary: whether the object at the cursor is binary; set at construction and by `start_object`.
        context: an utterance, say, that errors name as well.
    """

    def __init__(self, data: bytes | mmap.mmap, name: str, position: int = 0) -> None:
        self.data = data
        self.name = name
        self.position = position
        self.context = ""
        self.start_object()

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """The object in a whole file (plain or .gz)."""
        return cls(read_bytes(path), str(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: Any) -> None:
        pass

    def start_object(self) -> None:
        """Looks for the binary marker at the cursor and steps over it."""
        self.binary = self.data[self.position : self.position + 2] == b"\0B"
        self.position += 2 * self.binary

    def error(self, message: str) -> AsrtoolError:
        where = f"{self.name}: {self.context}" if self.context else self.name
        return AsrtoolError(f"{where}: {message} (at byte {self.position})")

    def read_raw(self, count: int) -> bytes:
        """The next `count` bytes."""
        raw = self.data[self.position : self.position + count]
        if count < 0 or len(raw) < count:
            raise self.error(f"truncated: {count} bytes are due, {len(raw)} are left; make the file again")
        self.position += count
        return raw

    def _skip_white(self) -> None:
        self.position = _SPACES.match(self.data, self.position).end()

    @property
    def eof(self) -> bool:
        """Whether nothing (in text: nothing but white space) is left."""
        if not self.binary:
            self._skip_white()
        return self.position >= len(self.data)

    def read_token(self) -> str:
        """The next word; the one white space after it is consumed."""
        if not self.binary:
            self._skip_white()
        start = end = self.position
        data, size = self.data, len(self.data)
        while end < size and data[end] not in _WHITE:
            end += 1
            if end - start > 4096:
                raise self.error("expected a token, found other data: not the kind of Kaldi file that was asked for")
        if end == start:
            raise self.error("expected a token, found the end or white space")
        self.position = min(end + 1, size)
        try:
            return data[start:end].decode("utf-8")
        except UnicodeDecodeError:
            self.position = start
            raise self.error("expected a token, found other data: not the kind of Kaldi file that was asked for") from None

    def peek_token(self) -> str:
        """The next word, not consumed."""
        position = self.position
        token = self.read_token()
        self.position = position
        return token

    def expect_token(self, *names: str) -> str:
        """Reads a token that must be one of `names`; returns it."""
        position = self.position
        token = self.read_token()
        if token not in names:
            self.position = position
            raise self.error(f"expected {' or '.join(names)}, found '{token[:40]}'")
        return token

    def _text_number(self, kind: type) -> Any:
        token = self.read_token()
        try:
            return kind(token)
        except ValueError:
            raise self.error(f"expected {'an integer' if kind is int else 'a number'}, found '{token[:40]}'") from None

    def read_int(self) -> int:
        """An integer of 1, 2, 4 or 8 bytes, signed or not, that an int32 can hold."""
        if not self.binary:
            value = self._text_number(int)
        else:
            size = struct.unpack("b", self.read_raw(1))[0]
            if abs(size) not in _INTEGERS:
                self.position -= 1
                raise self.error(f"expected an integer, found size byte {size}")
            value = int.from_bytes(self.read_raw(abs(size)), "little", signed=size > 0)
        if not _LOWEST <= value <= _HIGHEST:
            raise self.error("an integer that 32 bits cannot hold: the file is damaged")
        return value

    def read_float(self) -> float:
        """A float or double."""
        if not self.binary:
            return self._text_number(float)
        size = self.read_raw(1)[0]
        if size not in (4, 8):
            self.position -= 1
            raise self.error(f"expected a float, found size byte {size}")
        return struct.unpack("<f" if size == 4 else "<d", self.read_raw(size))[0]

    def read_bool(self) -> bool:
        if not self.binary:
            self._skip_white()
        value = self.read_raw(1)
        if value not in (b"T", b"F"):
            raise self.error(f"expected T or F, found {value!r}")
        return value == b"T"

    def read_int_vector(self) -> np.ndarray:
        """What WriteIntegerVector wrote: int32 (or the integer type of the file)."""
        if not self.binary:
            try:
                return np.array(self._bracketed().split(), dtype=np.int32)
            except (ValueError, OverflowError) as error:
                raise self.error(f"not a vector of integers: {str(error)[:80]}") from None
        size = self.read_raw(1)[0]
        if size not in _INTEGERS:
            self.position -= 1
            raise self.error(f"expected a vector of integers, found size byte {size}")
        (count,) = struct.unpack("<i", self.read_raw(4))
        return np.frombuffer(self.read_raw(count * size), _INTEGERS[size]).copy()

    def _bracketed(self) -> bytes:
        """In text: what stands between the next [ and ]."""
        self.expect_token("[")
        end = self.data.find(b"]", self.position)
        if end < 0:
            raise self.error("truncated: a ']' is missing; make the file again")
        raw = self.data[self.position : end]
        self.position = min(end + 2, len(self.data))
        return raw

    def _binary_int(self) -> int:
        if self.read_raw(1) != b"\4":
            self.position -= 1
            raise self.error("expected a 4-byte integer")
        return struct.unpack("<i", self.read_raw(4))[0]

    def read_float_vector(self, dtype: Any = np.float32) -> np.ndarray:
        """An FV or DV vector, [N]; dtype None keeps the file's."""
        if not self.binary:
            return self._parsed(self._bracketed().split(), "a vector", dtype)
        kind = self.expect_token("FV", "DV")
        file_dtype = np.dtype(_FLOATS[kind[0]])
        vector = np.frombuffer(self.read_raw(self._binary_int() * file_dtype.itemsize), file_dtype)
        return self._converted(vector, dtype)

    def read_matrix(self, dtype: Any = np.float32) -> np.ndarray:
        """An FM, DM, CM, CM2, CM3 or text matrix, [rows, columns]; dtype None keeps the file's."""
        if not self.binary:
            return self._text_matrix(dtype or np.float32)
        kind = self.expect_token("FM", "DM", "CM", "CM2", "CM3")
        if kind.startswith("C"):
            header = self._compressed_header()
            matrix = decompress(kind, header, self.read_raw(compressed_num_bytes(kind, header)))
            return matrix.astype(dtype or np.float32, copy=False)
        rows, columns = self._binary_int(), self._binary_int()
        self._check_shape(rows, columns)
        file_dtype = np.dtype(_FLOATS[kind[0]])
        flat = np.frombuffer(self.read_raw(rows * columns * file_dtype.itemsize), file_dtype)
        return self._converted(flat.reshape(rows, columns), dtype)

    def _compressed_header(self) -> bytes:
        header = self.read_raw(HEADER_BYTES)
        self._check_shape(*struct.unpack_from("<ii", header, 8))
        return header

    def _check_shape(self, rows: int, columns: int) -> None:
        if min(rows, columns) < 0 or (rows == 0) != (columns == 0):
            raise self.error(f"a matrix of {rows} rows and {columns} columns: the file is damaged")

    def _converted(self, values: np.ndarray, dtype: Any) -> np.ndarray:
        if dtype is None or values.dtype == dtype:
            return values if dtype is None else values.astype(dtype, copy=False)
        try:
            with np.errstate(over="raise", invalid="ignore"):
                return values.astype(dtype)
        except FloatingPointError:
            raise self.error(f"a number beyond the range of {np.dtype(dtype).name}; make the file again") from None

    def _parsed(self, words: Any, what: str, dtype: Any) -> np.ndarray:
        """Words, or rows of words, as an array."""
        try:
            with np.errstate(over="raise"):
                return np.array(words, dtype=dtype or np.float32)
        except (ValueError, FloatingPointError) as error:
            raise self.error(f"not {what} of numbers: {str(error)[:80]}") from None

    def skip_matrix(self) -> None:
        """Steps over a matrix and does not decode it."""
        if not self.binary:
            self._bracketed()
            return
        kind = self.expect_token("FM", "DM", "CM", "CM2", "CM3")
        if kind.startswith("C"):
            count = compressed_num_bytes(kind, self._compressed_header())
        else:
            rows, columns = self._binary_int(), self._binary_int()
            self._check_shape(rows, columns)
            count = rows * columns * np.dtype(_FLOATS[kind[0]]).itemsize
        if self.position + count > len(self.data):
            self.read_raw(count)  # raises
        self.position += count

    def _text_matrix(self, dtype: Any) -> np.ndarray:
        rows = [row.split() for row in self._bracketed().split(b"\n")]
        rows = [row for row in rows if row]
        if len({len(row) for row in rows}) > 1:
            raise self.error("the rows of a matrix differ in length")
        return self._parsed(rows, "a matrix", dtype).reshape(len(rows), len(rows[0]) if rows else 0)
