"""Writes Kaldi's tokens and typed primitives, binary and text; see `kaldi_binary`."""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from asrtool.io.kaldi_matrix import matrix_bytes, vector_bytes
from asrtool.io.whole_file import write_bytes


class KaldiWriter:
    """Collects one object (or an archive) and writes it at a clean exit, whole or not at all; .gz by the suffix.

    `with KaldiWriter.open(path, binary=True) as writer: writer.write_token("<TransitionModel>")`.
    """

    def __init__(self, path: Path, binary: bool) -> None:
        self.path = path
        self.binary = binary
        self.parts: list[bytes] = []

    @classmethod
    def open(cls, path: str | Path, binary: bool = True) -> Self:
        writer = cls(Path(path), binary)
        writer.start_object()
        return writer

    def start_object(self) -> None:
        """Writes the binary marker; for archives, after each key."""
        if self.binary:
            self.parts.append(b"\0B")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, *exception: Any) -> None:
        if kind is None:
            write_bytes(self.path, b"".join(self.parts))

    def write_token(self, token: str) -> None:
        self.parts.append(token.encode("utf-8") + b" ")

    def write_int(self, value: int, num_bytes: int = 4, unsigned: bool = False) -> None:
        """An int32 unless told otherwise (the table event map's size is a uint32)."""
        if self.binary:
            size = struct.pack("b", -num_bytes if unsigned else num_bytes)
            self.parts.append(size + int(value).to_bytes(num_bytes, "little", signed=not unsigned))
        else:
            self.parts.append(b"%d " % value)

    def write_float(self, value: float) -> None:
        self.parts.append(b"\4" + struct.pack("<f", value) if self.binary else b"%.7g " % value)

    def write_double(self, value: float) -> None:
        self.parts.append(b"\10" + struct.pack("<d", value) if self.binary else b"%.7g " % value)

    def write_bool(self, value: bool) -> None:
        self.parts.append((b"T" if value else b"F") + (b"" if self.binary else b" "))

    def write_int_vector(self, values: Sequence[int] | np.ndarray) -> None:
        values = np.asarray(values, dtype="<i4")
        if self.binary:
            self.parts.append(b"\4" + struct.pack("<i", len(values)) + values.tobytes())
        else:
            self.parts.append(b"[ " + b"".join(b"%d " % value for value in values.tolist()) + b"]\n")

    def write_float_vector(self, values: np.ndarray) -> None:
        """FV, or DV for float64."""
        self.parts.append(vector_bytes(np.asarray(values), self.binary))

    def write_matrix(self, matrix: np.ndarray) -> None:
        """FM, or DM for float64."""
        self.parts.append(matrix_bytes(np.asarray(matrix), self.binary))

    def newline(self) -> None:
        """A line end in text, nothing in binary."""
        if not self.binary:
            self.parts.append(b"\n")
