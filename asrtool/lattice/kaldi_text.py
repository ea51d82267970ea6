"""Kaldi's lattices in text: a line an arc, "start end transition-id word graph,acoustic", or for compact lattices
"start end word graph,acoustic,transition-ids joined by _"; a line a final state, "state weight"; weights of nothing left out.
"""

import re

import numpy as np

from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.kaldi_arcs import KaldiArcs
from asrtool.lattice.lattice import Lattice
from asrtool.lattice.strings import begins

_GAP, _INT, _COST = rb"[ \t]+", rb"(\d{1,10})", rb"([^\s,]+),([^\s,]+)"
_STRING = rb",((?:\d{1,10}(?:_\d{1,10})*)?)"
_END = rb"[ \t\r]*$"


def _pattern(*parts: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"^[ \t]*" + b"".join(parts) + _END, re.MULTILINE)


_ARC = _pattern(_INT, _GAP, _INT, _GAP, _INT, _GAP, _INT, rb"(?:", _GAP, _COST, rb")?")
_FINAL = _pattern(_INT, rb"(?:", _GAP, _COST, rb")?")
_COMPACT_ARC = _pattern(_INT, _GAP, _INT, _GAP, _INT, rb"(?:", _GAP, _COST, _STRING, rb")?")
_COMPACT_FINAL = _pattern(_INT, rb"(?:", _GAP, _COST, _STRING, rb")?")
_LINES = re.compile(rb"^.*\S.*$", re.MULTILINE)


def parse_text(body: bytes) -> KaldiArcs:
    """The lattice of these lines.

    Raises:
        ValueError: a line that is neither an arc nor a final state, or numbers out of range.
    """
    num_lines = len(_LINES.findall(body))
    kinds = [(False, _ARC.findall(body), _FINAL.findall(body))]
    if not kinds[0][1]:  # compact, or no arcs at all
        kinds.append((True, _COMPACT_ARC.findall(body), _COMPACT_FINAL.findall(body)))
    compact, arcs, finals = max(kinds, key=lambda kind: len(kind[1]) + len(kind[2]))
    bad = num_lines - len(arcs) - len(finals)
    if bad:
        raise ValueError(f"{bad} of {num_lines} lines are neither arcs nor final states")
    return _arrays(arcs, finals, compact)


def _columns(rows: list, count: int) -> list[list[bytes]]:
    return [list(column) for column in zip(*rows)] if rows else [[] for _ in range(count)]


def _ints(column: list[bytes]) -> np.ndarray:
    values = np.array(column, dtype="S10").astype(np.int64) if column else np.zeros(0, np.int64)
    if values.max(initial=0) >= 1 << 31:
        raise ValueError("a state, word or transition-id above 2,147,483,647")
    return values.astype(np.int32)


def _floats(column: list[bytes]) -> np.ndarray:
    values = np.array([value.replace(b"Infinity", b"inf") or b"0" for value in column], dtype="S")
    with np.errstate(over="ignore"):  # to infinity
        return values.astype(np.float32)


def _strings(column: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    joined = b"_".join(filter(None, column))
    lengths = np.array([string.count(b"_") + 1 if string else 0 for string in column], np.int64)
    return begins(lengths), _ints(joined.split(b"_") if joined else [])


def _arrays(arcs: list, finals: list, compact: bool) -> KaldiArcs:
    *labels, graph, acoustic = _columns([row[: 5 if compact else 6] for row in arcs], 5 if compact else 6)
    state, final_graph_text, final_acoustic_text = _columns(
        [row[:3] if isinstance(row, tuple) else (row, b"", b"") for row in finals], 3
    )
    source, end = _ints(labels[0]), _ints(labels[1])
    states = _ints(state)
    used = [int(values.max()) for values in (source, end, states) if len(values)]
    num_states = 1 + max(used, default=-1)
    # ids run to the number of lines at most, unless states were left out
    if num_states > 2 * (2 * len(source) + len(states)) + 2:
        raise ValueError(f"{num_states} states, but only {len(source)} arcs and {len(states)} final states")
    if len(np.unique(states)) < len(states):
        raise ValueError("a state is final twice")
    order = np.argsort(source, kind="stable")
    final_graph, final_acoustic = np.full((2, num_states), np.inf, np.float32)
    final_graph[states], final_acoustic[states] = _floats(final_graph_text), _floats(final_acoustic_text)
    result = KaldiArcs(
        start=-1 if not num_states else int(source[0] if len(source) else states[0]),
        source=source[order],
        end=end[order],
        word=_ints(labels[-1])[order],
        graph=_floats(graph)[order],
        acoustic=_floats(acoustic)[order],
        final_graph=final_graph,
        final_acoustic=final_acoustic,
    )
    if not compact:
        result.transition_id = _ints(labels[2])[order]
        return result
    text = np.array([row[5] for row in arcs], object)[order].tolist()
    result.string_begin, result.string = _strings(text)
    final_text = [b""] * num_states
    for row, number in zip(finals, states.tolist()):
        final_text[number] = row[3]
    result.final_begin, result.final_string = _strings(final_text)
    return result


def format_text(lattice: Lattice | CompactLattice) -> bytes:
    """The lines of a lattice, with six digits as Kaldi's."""
    compact = isinstance(lattice, CompactLattice)
    final_graph = lattice.final_graph_cost if compact else lattice.final_cost
    (final,) = np.nonzero(final_graph < np.inf)
    final_acoustic = lattice.final_acoustic_cost[final] if compact else np.zeros(len(final), np.float32)
    weights = _weights(lattice.arc_graph_cost, lattice.arc_acoustic_cost, compact and (lattice.tid_begin, lattice.transition_id))
    if compact:
        final_strings = (lattice.final_tid_begin, lattice.final_transition_id)
        final_weights = _weights(final_graph[final], final_acoustic, final_strings, final)
        columns = [lattice.arc_start, lattice.arc_end, lattice.arc_word]
    else:
        final_weights = _weights(final_graph[final], final_acoustic, False)
        columns = [lattice.arc_start, lattice.arc_end, lattice.arc_transition_id, lattice.arc_word]
    template = "\t".join(["%d"] * len(columns)) + "%s\n"
    lines = list(map(template.__mod__, zip(*(column.tolist() for column in columns), weights)))
    lines += map("%d%s\n".__mod__, zip(final.tolist(), final_weights))
    order = np.lexsort((np.arange(len(lines)), np.concatenate([lattice.arc_start, final])))
    return "".join(map(lines.__getitem__, order.tolist())).encode("ascii")


def _weights(graph: np.ndarray, acoustic: np.ndarray, strings: tuple | bool, chosen: np.ndarray | None = None) -> list[str]:
    texts = map("\t%g,%g".__mod__, zip(graph.tolist(), acoustic.tolist()))
    nothing = (graph == 0) & (acoustic == 0)
    if strings:
        begin, values = strings
        ends = begin.tolist()
        symbols = list(map(str, values.tolist()))
        chosen = range(len(graph)) if chosen is None else chosen.tolist()
        joined = ["_".join(symbols[ends[i] : ends[i + 1]]) for i in chosen]
        texts = map("%s,%s".__mod__, zip(texts, joined))
        nothing &= np.array([not text for text in joined], bool)
    return ["" if empty else text for text, empty in zip(texts, nothing.tolist())]
