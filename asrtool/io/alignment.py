"""Alignments and other lists of integers by utterance: Kaldi's binary BasicVectorHolder archives, or text lines.

Binary, an utterance is its key, a space, `\\0B`, a 4-byte count and the elements, each of these with a size byte
before it: read here as one array of five-byte records (kaldi/src/util/kaldi-holder-inl.h).
"""

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text
from asrtool.io.whole_file import opened, opened_to_write, write_bytes

_ELEMENT = np.dtype([("size", "i1"), ("value", "<i4")])
_CHUNK = 4 << 20
_LONGEST_NAME = 4096
_COMPRESSION = 6


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
        for utterance, values in iterate_alignments(file):
            if utterance in alignments:
                raise AsrtoolError(f"{file}: {utterance}: occurs twice")
            alignments[utterance] = values
    return alignments


def iterate_alignments(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """(utterance, int32 [T]) of one file, in its order; little of a binary archive is held at a time.

    Raises:
        AsrtoolError: missing, truncated or of another kind.
    """
    with opened(path) as file:
        data = file.read(_CHUNK)
        first_space = data.find(b" ")
        if data[first_space + 1 : first_space + 3] != b"\0B":
            yield from _parse_text(path, data + file.read())
            return
        position, before = 0, 0  # in `data`, which begins at byte `before` of the file
        while True:
            found = _parse_entry(path, data, position, before)
            if found is None:
                more = file.read(max(_CHUNK, len(data) - position))
                before, data, position = before + position, data[position:] + more, 0
                if not more:
                    break
                continue
            utterance, values, position = found
            yield utterance, values
        if data:
            space = data.find(b" ")
            if data[space : space + 4] != b" \0B\4":
                raise AsrtoolError(f"{path}: byte {before}: not an archive of integers; make it again")
            utterance = data[:space].decode("utf-8", "replace")
            raise AsrtoolError(f"{path}: {utterance}: truncated or damaged; make the file again")


def _parse_entry(path: Path, data: bytes, position: int, before: int) -> tuple[str, np.ndarray, int] | None:
    """Utterance, values and where the next entry begins; None where `data` ends before."""
    space = data.find(b" ", position, position + _LONGEST_NAME)
    if space < 0 and len(data) - position < _LONGEST_NAME:
        return None
    if space < 0 or not b" \0B\4".startswith(data[space : space + 4]):
        raise AsrtoolError(f"{path}: byte {before + position}: not an archive of integers; make it again")
    start = space + 8
    if start > len(data):
        return None
    utterance = data[position:space].decode("utf-8", "replace")
    count = struct.unpack_from("<i", data, space + 4)[0]
    if count < 0:
        raise AsrtoolError(f"{path}: {utterance}: truncated or damaged; make the file again")
    end = start + 5 * count
    if end > len(data):
        return None
    elements = np.frombuffer(data, _ELEMENT, count, start)
    if (elements["size"] != 4).any():
        raise AsrtoolError(f"{path}: {utterance}: elements are not 4-byte integers; make the file again")
    return utterance, elements["value"].astype(np.int32), end


def _parse_text(path: Path, data: bytes) -> Iterator[tuple[str, np.ndarray]]:
    for number, line in enumerate(data.split(b"\n"), 1):
        fields = line.split()
        if not fields:
            continue
        try:
            utterance = fields[0].decode("utf-8")
            values = np.array(fields[1:], dtype=np.int32)
        except (ValueError, OverflowError):
            raise AsrtoolError(f"{path}: line {number}: expected 'utterance integers...', found '{line[:60]!r}'") from None
        yield utterance, values


def write_alignments(path: str | Path, alignments: Mapping[str, Sequence[int] | np.ndarray]) -> None:
    """Writes a binary archive, .gz by the suffix, whole or not at all; the same content gives the same bytes."""
    with opened_to_write(path, _COMPRESSION) as file:
        for utterance, values in alignments.items():
            elements = np.empty(len(values), _ELEMENT)
            elements["size"] = 4
            elements["value"] = values
            head = utterance.encode("utf-8") + b" \0B\4" + struct.pack("<i", len(values))
            file.write(head + elements.tobytes())


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
