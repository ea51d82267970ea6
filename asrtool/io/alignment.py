"""Alignments and other lists of integers by utterance: Kaldi's binary BasicVectorHolder archives, or text lines.

Binary, an utterance is its key, a space, `\\0B`, a 4-byte count and the elements, each of these with a size byte
before it: read here as one array of five-byte records (kaldi/src/util/kaldi-holder-inl.h).
"""

import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text
from asrtool.io.whole_file import read_bytes, write_bytes

_ELEMENT = np.dtype([("size", "i1"), ("value", "<i4")])


def alignment_files(directory: str | Path) -> list[Path]:
    """The ali.N.gz (or ali.N.ark, ali.N) files of an alignment directory, by number.

    Raises:
        AsrtoolError: none there, or not 1 to num_jobs where the file num_jobs says how many.
    """
    directory = Path(directory)
    numbered = {}
    for path in directory.glob("ali.*"):
        if match := re.fullmatch(r"ali\.(\d+)(\.gz|\.ark|\.ark\.gz)?", path.name):
            numbered[int(match[1])] = path
    if not numbered:
        raise AsrtoolError(f"{directory}: no alignments (ali.*.gz); is it an alignment directory?")
    if (directory / "num_jobs").is_file():
        num_jobs = int((directory / "num_jobs").read_text())
        missing = sorted(set(range(1, num_jobs + 1)) - set(numbered))
        if missing:
            raise AsrtoolError(f"{directory}: ali.{missing[0]}.gz is missing, num_jobs says {num_jobs}; align again")
    return [numbered[number] for number in sorted(numbered)]


def read_alignments(path: str | Path) -> dict[str, np.ndarray]:
    """Utterance -> int32 [T]: of all ali.*.gz in a directory, or of one file (binary or text, .gz or not).

    Raises:
        AsrtoolError: missing, truncated or of another kind, or an utterance that occurs twice.
    """
    alignments: dict[str, np.ndarray] = {}
    for file in alignment_files(path) if Path(path).is_dir() else [Path(path)]:
        for utterance, values in _read_archive(file):
            if utterance in alignments:
                raise AsrtoolError(f"{file}: {utterance}: occurs twice")
            alignments[utterance] = values
    return alignments


def _read_archive(path: Path) -> list[tuple[str, np.ndarray]]:
    data = read_bytes(path)
    first_space = data.find(b" ")
    if data[first_space + 1 : first_space + 3] != b"\0B":
        return _parse_text(path, bytes(data))
    entries, position, size = [], 0, len(data)
    while position < size:
        space = data.find(b" ", position, position + 4096)
        if space < 0 or data[space + 1 : space + 4] != b"\0B\4":
            raise AsrtoolError(f"{path}: byte {position}: not an archive of integers; make it again")
        utterance = data[position:space].decode("utf-8", "replace")
        start = space + 8
        count = struct.unpack_from("<i", data, space + 4)[0] if start <= size else size
        end = start + 5 * count
        if count < 0 or end > size:
            raise AsrtoolError(f"{path}: {utterance}: truncated or damaged; make the file again")
        elements = np.frombuffer(data[start:end], _ELEMENT)
        if (elements["size"] != 4).any():
            raise AsrtoolError(f"{path}: {utterance}: elements are not 4-byte integers; make the file again")
        entries.append((utterance, elements["value"].astype(np.int32)))
        position = end
    return entries


def _parse_text(path: Path, data: bytes) -> list[tuple[str, np.ndarray]]:
    entries = []
    for number, line in enumerate(data.split(b"\n"), 1):
        fields = line.split()
        if not fields:
            continue
        try:
            utterance = fields[0].decode("utf-8")
            entries.append((utterance, np.array(fields[1:], dtype=np.int32)))
        except (ValueError, OverflowError):
            raise AsrtoolError(f"{path}: line {number}: expected 'utterance integers...', found '{line[:60]!r}'") from None
    return entries


def write_alignments(path: str | Path, alignments: Mapping[str, Sequence[int] | np.ndarray]) -> None:
    """Writes a binary archive, .gz by the suffix, whole or not at all; the same content gives the same bytes."""
    parts = []
    for utterance, values in alignments.items():
        elements = np.empty(len(values), _ELEMENT)
        elements["size"] = 4
        elements["value"] = values
        parts.append(utterance.encode("utf-8") + b" \0B\4" + struct.pack("<i", len(values)) + elements.tobytes())
    write_bytes(path, b"".join(parts))


def read_text_ints(path: str | Path) -> dict[str, np.ndarray]:
    """ "utterance 1 2 3" lines (.gz too) -> int32 arrays."""
    return read_alignments(path)


def write_text_ints(path: str | Path, values: Mapping[str, Sequence[int] | np.ndarray]) -> None:
    """Writes "utterance 1 2 3 " lines, a space after each number as Kaldi does; .gz by the suffix."""
    lines = [" ".join([utterance, *map(str, np.asarray(row).tolist())]) for utterance, row in values.items()]
    text = "".join(f"{line} \n" for line in lines)
    if str(path).endswith(".gz"):
        write_bytes(path, text.encode("utf-8"))
    else:
        write_text(path, text)
