"""FSTs as flat numpy arrays, read from and written to OpenFst's binary files without OpenFst.

Formats: `vector` (version 2) and `const` (version 2, version 1 when aligned) with `standard` arcs, as OpenFst's
lib/fst.cc, vector-fst.h and const-fst.h lay them out. Costs are negative natural logs (tropical weights).
"""

import json
import os
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import atomic_path
from asrtool.io.whole_file import read_bytes, write_bytes

MAGIC = 2125659606
_HAS_SYMBOLS = 3  # flag bits: input, output symbol table follows the header
_IS_ALIGNED = 4
_ARC = np.dtype([("ilabel", "<i4"), ("olabel", "<i4"), ("cost", "<f4"), ("nextstate", "<i4")])
_BLOCK = 1 << 20  # states, arcs or words at a time, when files are read and written
_CONST_STATE = np.dtype([("final", "<f4"), ("pos", "<u4"), ("narcs", "<u4"), ("niepsilons", "<u4"), ("noepsilons", "<u4")])


@dataclass
class CsrGraph:
    """An FST with S states and A arcs; the arcs of state s are arc_begin[s] to arc_begin[s + 1].

    start: start state, -1 for an empty FST.
    arc_begin int64 [S + 1]; arc_ilabel, arc_olabel, arc_nextstate int32 [A] (label 0 is epsilon); arc_cost float32 [A];
    final_cost float32 [S], infinity for a state that is not final.
    """

    start: int
    arc_begin: np.ndarray
    arc_ilabel: np.ndarray
    arc_olabel: np.ndarray
    arc_nextstate: np.ndarray
    arc_cost: np.ndarray
    final_cost: np.ndarray

    @property
    def num_states(self) -> int:
        return len(self.final_cost)

    @property
    def num_arcs(self) -> int:
        return len(self.arc_ilabel)

    @property
    def arc_source(self) -> np.ndarray:
        """int32 [A]: the state that an arc leaves (computed at each call)."""
        return np.repeat(np.arange(self.num_states, dtype=np.int32), np.diff(self.arc_begin))

    @classmethod
    def from_arcs(cls, start, source, ilabel, olabel, nextstate, cost, final_cost) -> "CsrGraph":
        """From arcs in any order (int [A] each; cost float [A]; final_cost float [S]); a state's arcs keep their order."""
        source = np.asarray(source, dtype=np.int32)
        order = np.argsort(source, kind="stable")
        counts = np.bincount(source, minlength=len(final_cost))
        return cls(
            start=int(start),
            arc_begin=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            arc_ilabel=np.asarray(ilabel, dtype=np.int32)[order],
            arc_olabel=np.asarray(olabel, dtype=np.int32)[order],
            arc_nextstate=np.asarray(nextstate, dtype=np.int32)[order],
            arc_cost=np.asarray(cost, dtype=np.float32)[order],
            final_cost=np.asarray(final_cost, dtype=np.float32),
        )

    @classmethod
    def from_fst_file(cls, path: str | Path) -> "CsrGraph":
        """Reads a binary vector or const FST with standard arcs (.gz too).

        Raises:
            AsrtoolError: missing, truncated, of another type, or with arcs to states that do not exist.
        """
        return cls.from_fst_bytes(read_bytes(path), str(path))

    @classmethod
    def from_fst_bytes(cls, data: bytes, name: str = "FST") -> "CsrGraph":
        """As `from_fst_file`, from a file's content."""
        header = _Header(data, name)
        if header.fst_type == "vector":
            graph = cls._from_vector(header, data)
        elif header.fst_type == "const":
            graph = cls._from_const(header, data)
        else:
            raise AsrtoolError(f"{name}: an FST of type '{header.fst_type}'; convert it: fstconvert --fst_type=const")
        graph.check(name)
        return graph

    @classmethod
    def _from_vector(cls, header: "_Header", data: bytes) -> "CsrGraph":
        empty, no_offsets = np.empty(0, np.int32), np.empty(0, np.int64)
        num_states, num_arcs = _unpack(header, data, False, no_offsets, empty, empty, empty, empty, empty)
        graph = cls(
            header.start,
            np.zeros(num_states + 1, np.int64),
            *(np.empty(num_arcs, dtype) for dtype in (np.int32, np.int32, np.int32, np.float32)),
            np.empty(num_states, np.float32),
        )
        _unpack(
            header, data, True, graph.arc_begin, graph.final_cost.view(np.int32),
            graph.arc_ilabel, graph.arc_olabel, graph.arc_cost.view(np.int32), graph.arc_nextstate,
        )  # fmt: skip
        return graph

    @classmethod
    def _from_const(cls, header: "_Header", data: bytes) -> "CsrGraph":
        aligned = header.version == 1 or header.flags & _IS_ALIGNED
        position = _align(header.end) if aligned else header.end
        after_states = position + header.num_states * _CONST_STATE.itemsize
        arcs_at = _align(after_states) if aligned else after_states
        if header.num_states < 0 or header.num_arcs < 0 or arcs_at + header.num_arcs * _ARC.itemsize > len(data):
            raise AsrtoolError(f"{header.name}: truncated; make the file again")
        states = np.frombuffer(data, _CONST_STATE, header.num_states, position)
        arcs = np.frombuffer(data, _ARC, header.num_arcs, arcs_at)
        arc_begin = np.append(states["pos"], header.num_arcs).astype(np.int64)
        if header.num_states and (arc_begin[0] != 0 or np.any(np.diff(arc_begin) != states["narcs"])):
            raise AsrtoolError(f"{header.name}: the states do not account for the arcs; the file is damaged")
        return cls._from_records(header.start, arc_begin, arcs, states["final"])

    @classmethod
    def _from_records(cls, start: int, arc_begin: np.ndarray, arcs: np.ndarray, finals: np.ndarray) -> "CsrGraph":
        copies = {name: np.ascontiguousarray(arcs[name]) for name in _ARC.names}
        return cls(
            start,
            arc_begin,
            copies["ilabel"],
            copies["olabel"],
            copies["nextstate"],
            copies["cost"],
            np.ascontiguousarray(finals),
        )

    def check(self, name: str) -> None:
        """AsrtoolError where the start state or an arc's end does not exist, or a cost is not a number."""
        if not -1 <= self.start < max(self.num_states, 1):
            raise AsrtoolError(f"{name}: the start state {self.start} does not exist; the file is damaged")
        if self.num_arcs and (self.arc_nextstate.min() < 0 or self.arc_nextstate.max() >= self.num_states):
            raise AsrtoolError(f"{name}: an arc leads to a state that does not exist; the file is damaged")
        if np.isnan(self.arc_cost).any() or np.isnan(self.final_cost).any():
            raise AsrtoolError(f"{name}: a cost is not a number; make the file again")

    def to_fst_bytes(self, fst_type: str = "const") -> bytes:
        """An OpenFst binary file, `const` or `vector`, unaligned."""
        return b"".join(self.fst_parts(fst_type))

    def fst_parts(self, fst_type: str = "const") -> Iterator[bytes]:
        """The same in parts of some megabytes."""
        yield _header_bytes(fst_type, self.start, self.num_states, self.num_arcs)
        blocks = [slice(low, min(low + _BLOCK, self.num_states)) for low in range(0, self.num_states, _BLOCK)]
        if fst_type == "const":
            yield from map(self._const_states, blocks)
            for low in range(0, self.num_arcs, _BLOCK):
                yield self._arc_records(low, min(low + _BLOCK, self.num_arcs)).tobytes()
        else:
            yield from map(self._vector_states, blocks)

    def _arc_records(self, first: int, last: int) -> np.ndarray:
        arcs = np.empty(last - first, _ARC)
        arcs["ilabel"], arcs["olabel"] = self.arc_ilabel[first:last], self.arc_olabel[first:last]
        arcs["cost"], arcs["nextstate"] = self.arc_cost[first:last], self.arc_nextstate[first:last]
        return arcs

    def _const_states(self, block: slice) -> bytes:
        states = np.empty(block.stop - block.start, _CONST_STATE)
        begin = self.arc_begin[block.start : block.stop + 1]
        states["final"], states["pos"], states["narcs"] = self.final_cost[block], begin[:-1], np.diff(begin)
        for name, labels in (("niepsilons", self.arc_ilabel), ("noepsilons", self.arc_olabel)):
            epsilons = np.concatenate([[0], np.cumsum(labels[begin[0] : begin[-1]] == 0)])
            states[name] = np.diff(epsilons[begin - begin[0]])
        return states.tobytes()

    def _vector_states(self, block: slice) -> bytes:
        begin = self.arc_begin[block.start : block.stop + 1]
        num_states, num_arcs = len(begin) - 1, int(begin[-1] - begin[0])
        words = np.zeros(3 * num_states + 4 * num_arcs, dtype=np.int32)
        first = 3 * np.arange(num_states) + 4 * (begin[:-1] - begin[0])
        words[first] = np.ascontiguousarray(self.final_cost[block], dtype=np.float32).view(np.int32)
        words[first + 1] = np.diff(begin)
        is_arc = np.ones(len(words), dtype=bool)
        is_arc[first] = is_arc[first + 1] = is_arc[first + 2] = False
        words[is_arc] = self._arc_records(begin[0], begin[-1]).view(np.int32)
        return words.tobytes()

    def write_fst_file(self, path: str | Path, fst_type: str = "const") -> None:
        """Writes the file whole or not at all; .gz by the suffix."""
        if str(path).endswith(".gz"):
            write_bytes(path, self.to_fst_bytes(fst_type))
            return
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            file.writelines(self.fst_parts(fst_type))

    def save(self, directory: str | Path) -> None:
        """Writes a directory of .npy files, whole or not at all, that `load` maps into memory."""
        directory = Path(directory)
        temporary = directory.with_name(f".{directory.name}.tmp{os.getpid()}")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            for field in fields(self)[1:]:
                np.save(temporary / f"{field.name}.npy", getattr(self, field.name))
            (temporary / "graph.json").write_text(json.dumps({"start": self.start, "states": self.num_states}))
            shutil.rmtree(directory, ignore_errors=True)
            os.replace(temporary, directory)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    @classmethod
    def load(cls, directory: str | Path) -> "CsrGraph":
        """Maps what `save` wrote into memory, read-only.

        Raises:
            AsrtoolError: no such graph, or files of it missing or damaged.
        """
        directory = Path(directory)
        try:
            start = json.loads((directory / "graph.json").read_text())["start"]
            arrays = [np.load(directory / f"{field.name}.npy", mmap_mode="r") for field in fields(cls)[1:]]
        except FileNotFoundError as error:
            raise AsrtoolError(f"{error.filename}: no such file; make the graph again") from None
        except (ValueError, KeyError) as error:
            raise AsrtoolError(f"{directory}: damaged ({error}); make the graph again") from None
        return cls(start, *(np.asarray(array) for array in arrays))


class _Header:
    """The header of an OpenFst file; `end` is the byte after it."""

    def __init__(self, data: bytes, name: str) -> None:
        self.name = name
        try:
            (magic,) = struct.unpack_from("<i", data, 0)
            if magic != MAGIC:
                raise AsrtoolError(f"{name}: not a binary OpenFst file")
            self.fst_type, position = self._string(data, 4)
            arc_type, position = self._string(data, position)
            values = struct.unpack_from("<iiQqqq", data, position)
        except (struct.error, UnicodeDecodeError):
            raise AsrtoolError(f"{name}: not a binary OpenFst file, or truncated") from None
        self.version, self.flags, _, self.start, self.num_states, self.num_arcs = values
        self.end = position + struct.calcsize("<iiQqqq")
        if arc_type != "standard":
            raise AsrtoolError(f"{name}: arcs of type '{arc_type}', expected 'standard'")
        if self.version not in (1, 2) or self.num_states < -1 or (self.fst_type == "vector" and self.version != 2):
            raise AsrtoolError(f"{name}: a header of version {self.version} for {self.num_states} states; the file is damaged")
        if self.flags & _HAS_SYMBOLS:
            raise AsrtoolError(f"{name}: it carries symbol tables; drop them: fstsymbols --clear_isymbols --clear_osymbols")

    @staticmethod
    def _string(data: bytes, position: int) -> tuple[str, int]:
        (size,) = struct.unpack_from("<i", data, position)
        if not 0 <= size < 100:
            raise struct.error
        end = position + 4 + size
        return bytes(data[position + 4 : end]).decode("ascii"), end


def _header_bytes(fst_type: str, start: int, num_states: int, num_arcs: int) -> bytes:
    strings = b"".join(struct.pack("<i", len(text)) + text.encode() for text in (fst_type, "standard"))
    properties = {"const": 0x1, "vector": 0x3}[fst_type]  # expanded; mutable. The rest counts as unknown
    return struct.pack("<i", MAGIC) + strings + struct.pack("<iiQqqq", 2, 0, properties, start, num_states, num_arcs)


def _unpack(header: _Header, data: bytes, fill: bool, *arrays: np.ndarray) -> tuple[int, int]:
    """Takes the states of a vector FST to `arrays` (see `unpack_states`), or counts; returns (states, arcs)."""
    from asrtool.fst.csr_kernels import unpack_states

    progress = np.zeros(3, np.int64)
    position = header.end
    while True:
        count = min(_BLOCK, (len(data) - position) // 4)
        words = np.frombuffer(data, "<i4", count, position).copy()  # at an address that divides by four
        taken = unpack_states(words, progress, fill, *arrays)
        if taken <= 0:
            break
        position += 4 * taken
    is_whole = progress[2] == 0 and (fill or position == len(data))
    if taken < 0 or not is_whole or 0 <= header.num_states != progress[0]:
        raise AsrtoolError(f"{header.name}: truncated; make the file again")
    return int(progress[0]), int(progress[1])


def _align(position: int) -> int:
    return -(-position // 16) * 16
