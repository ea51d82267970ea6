"""A compact n-gram model's file: a head and arrays that are mapped into memory, little-endian.

bytes 0-15   "asrtool n-gram\\n\\0"
16-27        uint32: format version, length of the head's JSON, CRC-32 of the JSON
28-          JSON: byte order, unknown word's id (or -1), size of the file, and each array's type, shape, place and CRC-32
4096-        data; then, each at a multiple of 64 bytes, meta, tables, and the words but <s> and </s> (UTF-8, a line each)
"""

import json
import os
import struct
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import atomic_path
from asrtool.lm.compact_kernels import META_COLUMNS, NUM_WORDS
from asrtool.lm.text import BOS, EOS, Vocabulary

MAGIC = b"asrtool n-gram\n\0"
VERSION = 1
HEAD_BYTES = 4096
VERIFY_BELOW = 1 << 28
_FIXED = struct.Struct("<16sIII")
_CHUNK = 1 << 21
_DTYPES = {"data": "<u8", "meta": "<i8", "tables": "<f4", "words": "|u1"}
REMEDY = "make it again with build-lm-binary"


class ModelFile:
    """A file that is being written; see `new_model_file`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data: np.ndarray | None = None

    def allocate(self, size: int) -> np.ndarray:
        """data: uint64 zeros [size], in the file."""
        with open(self.path, "wb") as file:  # room on the disk now, for a mapped write cannot say that it is full
            os.posix_fallocate(file.fileno(), 0, HEAD_BYTES + 8 * size)
        self.data = np.memmap(self.path, "<u8", "r+", HEAD_BYTES, (size,))
        return self.data

    def finish(self, meta: np.ndarray, tables: np.ndarray, vocabulary: Vocabulary) -> None:
        """Writes all but data."""
        if sys.byteorder != "little":
            raise AsrtoolError(f"{self.path}: compact models are written on little-endian machines only")
        self.data.flush()
        text = np.frombuffer("\n".join(vocabulary.words[2:]).encode(), np.uint8)
        sections, end = {}, HEAD_BYTES
        with open(self.path, "rb+") as file:
            for name, array in (("data", self.data), ("meta", meta), ("tables", tables), ("words", text)):
                at = -(-end // 64) * 64
                end = at + array.nbytes
                sections[name] = {"dtype": _DTYPES[name], "shape": array.shape, "at": at, "crc32": checksum(array)}
                if name != "data":
                    file.seek(at)
                    file.write(np.ascontiguousarray(array, dtype=_DTYPES[name]).tobytes())
            file.truncate(end)
            head = {"byteorder": "little", "unknown_id": vocabulary.unknown_id, "file_bytes": end, "arrays": sections}
            text = json.dumps(head).encode()
            file.seek(0)
            file.write(_FIXED.pack(MAGIC, VERSION, len(text), zlib.crc32(text)) + text)


@contextmanager
def new_model_file(path: str | Path) -> Iterator[ModelFile]:
    """The file appears whole, at the end, or not at all."""
    with atomic_path(path) as temporary:
        file = ModelFile(temporary)
        yield file
        file.data = None


def checksum(array: np.ndarray) -> int:
    """CRC-32 of an array's bytes, read in parts."""
    flat, crc = array.reshape(-1), 0
    for first in range(0, len(flat), _CHUNK):
        crc = zlib.crc32(np.ascontiguousarray(flat[first : first + _CHUNK]), crc)
    return crc


def read_model(path: str | Path, verify: bool | None) -> tuple[np.ndarray, np.ndarray, np.ndarray, Vocabulary]:
    """(meta, data, tables, vocabulary); data is mapped. Arguments and errors as those of `CompactNgram.load`."""
    head = _read_head(path)
    size = os.path.getsize(path)
    if size != head["file_bytes"]:
        raise AsrtoolError(f"{path}: {size} bytes, {head['file_bytes']} are due; truncated: {REMEDY}")
    if head["byteorder"] != sys.byteorder:
        raise AsrtoolError(f"{path}: of a {head['byteorder']}-endian machine; {REMEDY} here")
    arrays = {}
    for name, section in head["arrays"].items():
        shape = tuple(section["shape"])
        mapped = np.memmap(path, section["dtype"], "r", section["at"], shape) if 0 not in shape else np.empty(shape, np.uint8)
        array = np.asarray(mapped)
        if name != "data":
            array = array.copy()
        is_checked = verify or name != "data" or (verify is None and array.nbytes < VERIFY_BELOW)
        if is_checked and checksum(array) != section["crc32"]:
            raise AsrtoolError(f"{path}: damaged (checksum of {name}); {REMEDY}")
        arrays[name] = array
    vocabulary = Vocabulary(())
    words = bytes(arrays["words"]).decode()
    vocabulary.words = [BOS, EOS, *(words.split("\n") if words else ())]
    vocabulary.ids = {word: number for number, word in enumerate(vocabulary.words)}
    vocabulary.unknown_id = head["unknown_id"]
    meta = arrays["meta"]
    if meta.ndim != 2 or meta.shape[1] != META_COLUMNS or meta[0, NUM_WORDS] != len(vocabulary):
        raise AsrtoolError(f"{path}: damaged ({len(vocabulary)} words); {REMEDY}")
    return meta, arrays["data"], arrays["tables"], vocabulary


def _read_head(path: str | Path) -> dict:
    try:
        with open(path, "rb") as file:
            start = file.read(HEAD_BYTES)
    except FileNotFoundError:
        raise AsrtoolError(f"{path}: no such model; make it with build-lm-binary") from None
    except IsADirectoryError:
        raise AsrtoolError(f"{path}: a directory, expected a compact n-gram model") from None
    if start[:16] != MAGIC:
        raise AsrtoolError(f"{path}: not a compact n-gram model; make one of an ARPA file with build-lm-binary")
    if len(start) < HEAD_BYTES:
        raise AsrtoolError(f"{path}: truncated; {REMEDY}")
    _, version, length, crc = _FIXED.unpack_from(start)
    if version != VERSION:
        raise AsrtoolError(f"{path}: version {version} of the format, expected {VERSION}; {REMEDY}")
    text = start[_FIXED.size :][:length]
    if not text or zlib.crc32(text) != crc:
        raise AsrtoolError(f"{path}: damaged (checksum of the head); {REMEDY}")
    return json.loads(text)
