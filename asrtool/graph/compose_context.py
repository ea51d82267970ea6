"""C o LG over arrays: each phone gets a label for itself in its context, once what follows it is known.

What fstcomposecontext does with Kaldi's InverseContextFst. A state of the result is a state of LG and the last N - 1 phones on
the way to it, 0 before the first and one symbol of its own, the end, after the last. An arc of a phone completes the window of
the phone that is P places from the window's start; at the ends of a sentence, windows hold zeros. Where the window's place P has
no phone yet, the arc has the symbol #-1 instead, which keeps the result determinizable.
"""

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph
from asrtool.fst.minimize import trim
from asrtool.graph.h_transducer import Meanings

EPSILON, SYMBOL, PHONE, END = range(4)  # kinds of arcs


def compose_context(
    graph: CsrGraph, disambiguation: list[int], context_width: int, central_position: int
) -> tuple[CsrGraph, Meanings]:
    """C o graph, and what its input labels stand for.

    Args:
        graph: phones and symbols of `disambiguation` on the input side.

    Raises:
        AsrtoolError: a context too wide for the number of phones and states.
    """
    from asrtool.graph.compose_context_kernels import reach

    if graph.num_states == 0:
        return graph, Meanings(np.zeros(0, np.int64), np.zeros((0, context_width), np.int64), np.zeros(0, np.int64))
    last = central_position == context_width - 1
    end = int(max(graph.arc_ilabel.max(initial=0), *disambiguation, 0)) + 1
    base = end + 1  # of the numbers whose digits are the phones of a window
    if not last:
        graph = _with_ends(graph, end)
    if base**context_width * max(graph.num_states, base) >= 1 << 62:
        raise AsrtoolError(f"a context of {context_width} phones is too wide for {end} phones and {graph.num_states} states")
    kind = np.where(graph.arc_ilabel == end, END, PHONE)
    kind[np.isin(graph.arc_ilabel, disambiguation)] = SYMBOL
    kind[graph.arc_ilabel == 0] = EPSILON
    room = base ** (context_width - 1)
    centre = base ** max(context_width - 2 - central_position, 0)  # the digit of a history that is the next window's centre
    keys, target = reach(
        graph.start, graph.arc_begin, graph.arc_ilabel, graph.arc_nextstate, kind.astype(np.int8), base, room, centre, end
    )  # fmt: skip

    state, history = keys // room, keys % room
    counts = np.diff(graph.arc_begin)[state]
    source = np.repeat(np.arange(len(keys)), counts)
    arc = np.arange(len(source)) + np.repeat(graph.arc_begin[state] - (np.cumsum(counts) - counts), counts)
    kept = target >= 0
    source, arc, target = source[kept], arc[kept], target[kept]
    labels, meanings = _labels(kind[arc], graph.arc_ilabel[arc], history[source], base, context_width, central_position)
    final = graph.final_cost[state]
    if not last:
        final = np.where(history // centre % base == end, final, np.float32(np.inf))
    result = CsrGraph.from_arcs(0, source, labels, graph.arc_olabel[arc], target, graph.arc_cost[arc], final)
    return trim(result), meanings


def _with_ends(graph: CsrGraph, end: int) -> CsrGraph:
    """With arcs of the end out of final states to a new one, which has a loop of it."""
    finals = np.flatnonzero(graph.final_cost < np.inf)
    number, ends = graph.num_states, np.full(len(finals) + 1, end)
    return CsrGraph.from_arcs(
        graph.start,
        np.concatenate([graph.arc_source, finals, [number]]),
        np.concatenate([graph.arc_ilabel, ends]),
        np.concatenate([graph.arc_olabel, np.zeros_like(ends)]),
        np.concatenate([graph.arc_nextstate, np.full_like(ends, number)]),
        np.concatenate([graph.arc_cost, graph.final_cost[finals], [0]]),
        np.append(graph.final_cost, np.float32(0)),
    )


def _labels(
    kind: np.ndarray, ilabel: np.ndarray, history: np.ndarray, base: int, width: int, position: int
) -> tuple[np.ndarray, Meanings]:
    """The input label of each arc: 0 epsilon, 1 the symbol #-1 where there may be one, then the other symbols, then windows."""
    first = 2 if position < width - 1 else 1
    labels = np.zeros(len(kind), np.int64)
    symbols, which = np.unique(ilabel[kind == SYMBOL], return_inverse=True)
    labels[kind == SYMBOL] = first + which
    is_window = kind >= PHONE
    windows, which = np.unique(history[is_window] * base + ilabel[is_window], return_inverse=True)
    digits = windows[:, None] // base ** np.arange(width - 1, -1, -1) % base
    digits[digits == base - 1] = 0  # the end
    has_centre = digits[:, position] > 0
    number = np.where(has_centre, first + len(symbols) - 1 + np.cumsum(has_centre), 1)
    labels[is_window] = number[which]
    return labels, Meanings(number[has_centre], digits[has_centre], np.arange(1, first + len(symbols)))
