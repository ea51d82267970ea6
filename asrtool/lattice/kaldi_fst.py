"""Kaldi's lattices in binary: OpenFst's `vector` files with arcs of type lattice4 or compactlattice44.

Layout: lib/fst.cc and vector-fst.h of OpenFst, fstext/lattice-weight.h of Kaldi.
"""

import struct

import numpy as np

from asrtool.fst.csr import MAGIC
from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.kaldi_arcs import KaldiArcs
from asrtool.lattice.lattice import Lattice
from asrtool.lattice.strings import begins, string_positions

MAGIC_BYTES = struct.pack("<i", MAGIC)
_ARC_TYPES = {"lattice4": False, "compactlattice44": True}
_NUMBERS = struct.Struct("<iiQqqq")
_HAS_SYMBOLS = 3
# properties: expanded, mutable; then pairs (holds, holds not) that the content decides
_STATIC, _ACCEPTOR, _NOT_ACCEPTOR, _WEIGHTED, _UNWEIGHTED = 0x3, 0x10000, 0x20000, 0x100000000, 0x200000000
_EPSILONS = {"both": (0x400000, 0x800000), "input": (0x1000000, 0x2000000), "output": (0x4000000, 0x8000000)}


class TruncatedError(Exception):
    """The bytes end before the lattice does."""


def parse_fst(data: bytes | bytearray, position: int) -> tuple[KaldiArcs, int]:
    """The lattice that begins at `position`, and the position after it.

    Raises:
        TruncatedError: `data` ends too early (or, in a damaged file, seems to).
        ValueError: not a lattice, or damaged.
    """
    from asrtool.lattice.kaldi_kernels import DAMAGED, TRUNCATED, scan_states

    compact, start, num_states, position = _parse_header(data, position)
    if 16 * num_states > len(data) - position:
        raise TruncatedError
    words = np.frombuffer(data, "<i4", (len(data) - position) // 4, position).copy()
    taken, state_at, num_arcs, arc_at = scan_states(words, num_states, compact)
    if taken == TRUNCATED:
        raise TruncatedError
    if taken == DAMAGED:
        raise ValueError("damaged: a negative number of arcs or transition-ids")
    floats = words.view(np.float32)
    arcs = KaldiArcs(
        start=start,
        source=np.repeat(np.arange(num_states, dtype=np.int32), num_arcs),
        end=words[arc_at + 4],
        word=words[arc_at + 1],
        graph=floats[arc_at + 2],
        acoustic=floats[arc_at + 3],
        final_graph=floats[state_at],
        final_acoustic=floats[state_at + 1],
    )
    if not compact:
        arcs.transition_id = words[arc_at]
    else:
        if np.any(words[arc_at] != arcs.word):
            raise ValueError("an arc of a compact lattice with different input and output labels")
        arcs.string_begin, arcs.string = _strings(words, arc_at + 4)
        arcs.final_begin, arcs.final_string = _strings(words, state_at + 2)
        arcs.end = words[arc_at + 5 + np.diff(arcs.string_begin)]
    return arcs, position + 4 * int(taken)


def _strings(words: np.ndarray, count_at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    lengths = words[count_at]
    return begins(lengths), words[string_positions(count_at + 1, lengths)]


def _parse_header(data: bytes | bytearray, position: int) -> tuple[bool, int, int, int]:
    """(compact, start state, number of states, position after the header)."""
    try:
        (magic,) = struct.unpack_from("<i", data, position)
        if magic != MAGIC:
            raise ValueError("not a lattice in Kaldi's binary format")
        fst_type, position = _string(data, position + 4)
        arc_type, position = _string(data, position)
        _, flags, _, start, num_states, _ = _NUMBERS.unpack_from(data, position)
    except struct.error:
        raise TruncatedError from None
    if fst_type != "vector" or arc_type not in _ARC_TYPES:
        raise ValueError(f"an FST of type {fst_type!r} with arcs of type {arc_type!r}, expected 'vector' and 'lattice4' or "
                         "'compactlattice44'")  # fmt: skip
    if flags & _HAS_SYMBOLS or num_states < 0 or not -1 <= start < 1 << 31:
        raise ValueError("damaged header of a lattice")
    return _ARC_TYPES[arc_type], start, num_states, position + _NUMBERS.size


def _string(data: bytes | bytearray, position: int) -> tuple[str, int]:
    (size,) = struct.unpack_from("<i", data, position)
    if not 0 <= size < 100:
        raise ValueError("damaged header of a lattice")
    end = position + 4 + size
    if end > len(data):
        raise TruncatedError
    return bytes(data[position + 4 : end]).decode("ascii", "replace"), end


def _properties(ilabel: np.ndarray, olabel: np.ndarray, weighted: bool) -> int:
    result = _STATIC | (_ACCEPTOR if np.array_equal(ilabel, olabel) else _NOT_ACCEPTOR) | (_WEIGHTED if weighted else _UNWEIGHTED)
    no_input, no_output = ilabel == 0, olabel == 0
    found = {"both": np.any(no_input & no_output), "input": np.any(no_input), "output": np.any(no_output)}
    return result | sum(some if found[name] else none for name, (some, none) in _EPSILONS.items())


def format_fst(lattice: Lattice | CompactLattice) -> bytes:
    """The bytes of a binary FST; the same lattice gives the same bytes, and those of Kaldi where Kaldi wrote it."""
    compact = isinstance(lattice, CompactLattice)
    num_states, num_arcs = lattice.num_states, lattice.num_arcs
    arcs_a_state = np.bincount(lattice.arc_start, minlength=num_states).astype(np.int64)
    arc_size = 5 + (1 + np.diff(lattice.tid_begin) if compact else np.zeros(num_arcs, np.int64))
    state_size = 4 + (1 + np.diff(lattice.final_tid_begin) if compact else np.zeros(num_states, np.int64))
    arc_words = begins(arc_size)
    arc_begin = begins(arcs_a_state)
    state_at = begins(state_size)[:-1] + arc_words[arc_begin[:-1]]
    arc_at = arc_words[:-1] + begins(state_size)[lattice.arc_start + 1]
    words = np.zeros(int(arc_words[-1] + state_size.sum()), np.int32)
    floats = words.view(np.float32)
    final_graph = lattice.final_graph_cost if compact else lattice.final_cost
    floats[state_at] = final_graph
    not_final = np.where(final_graph < np.inf, np.float32(0), np.float32(np.inf))
    floats[state_at + 1] = lattice.final_acoustic_cost if compact else not_final
    words[state_at + state_size - 2] = arcs_a_state
    ilabel = lattice.arc_word if compact else lattice.arc_transition_id
    words[arc_at], words[arc_at + 1] = ilabel, lattice.arc_word
    floats[arc_at + 2], floats[arc_at + 3] = lattice.arc_graph_cost, lattice.arc_acoustic_cost
    words[arc_at + arc_size - 1] = lattice.arc_end
    if compact:
        for at, begin, string in (
            (state_at + 2, lattice.final_tid_begin, lattice.final_transition_id),
            (arc_at + 4, lattice.tid_begin, lattice.transition_id),
        ):
            words[at] = np.diff(begin)
            words[string_positions(at + 1, np.diff(begin))] = string
    weighted = bool(lattice.arc_graph_cost.any() or lattice.arc_acoustic_cost.any() or np.any(final_graph[final_graph < np.inf]))
    weighted = weighted or (compact and num_arcs > 0)
    name = b"compactlattice44" if compact else b"lattice4"
    header = MAGIC_BYTES + struct.pack("<i", 6) + b"vector" + struct.pack("<i", len(name)) + name
    numbers = (2, 0, _properties(ilabel, lattice.arc_word, weighted), 0 if num_states else -1, num_states, 0)
    return header + _NUMBERS.pack(*numbers) + words.tobytes()
