"""H o CLG over arrays: each phone in context that an arc of CLG stands for, replaced by its HMM.

H (see h_transducer) writes a phone only on leaving its state 0, the loop state; its other arcs have no output. So an arc of CLG
leads into one HMM, whose arcs are copied for the state of CLG that follows: nothing has to be searched for.
"""

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph
from asrtool.fst.minimize import minimize


def compose_h(h_graph: CsrGraph, clg: CsrGraph) -> CsrGraph:
    """The composition. Its first states are CLG's, with H in its loop state; the start is CLG's.

    Raises:
        AsrtoolError: an input label of CLG that H does not write.
    """
    begin, unit_of_state = _units(h_graph)
    phones = np.flatnonzero(clg.arc_ilabel > 0)
    entry = _entry_arcs(h_graph, clg.arc_ilabel[phones])
    # a copy of an HMM for each pair of it and a state of CLG that follows
    into, following = h_graph.arc_nextstate[entry], clg.arc_nextstate[phones]
    inside = np.flatnonzero(into > 0)  # the others are whole phones by themselves
    pairs, copy = np.unique(
        unit_of_state[into[inside]].astype(np.int64) * clg.num_states + following[inside], return_inverse=True
    )
    unit, c_state = pairs // clg.num_states, pairs % clg.num_states
    sizes = np.diff(begin)[unit]
    base = clg.num_states + np.cumsum(sizes) - sizes - begin[unit]  # plus a state of H: its number in the copy
    nextstate = following.copy()
    nextstate[inside] = base[copy] + into[inside]
    inner = _inner_arcs(h_graph, begin, unit, base, c_state)
    epsilons = np.flatnonzero(clg.arc_ilabel == 0)
    outer_arcs = np.concatenate([phones, epsilons])
    nothing = np.zeros(len(epsilons), np.int32)
    final = np.full(clg.num_states + int(sizes.sum()), np.inf, np.float32)
    final[: clg.num_states] = clg.final_cost + h_graph.final_cost[0]
    return CsrGraph.from_arcs(
        clg.start,
        np.concatenate([clg.arc_source[outer_arcs], inner[0]]),
        np.concatenate([h_graph.arc_ilabel[entry], nothing, inner[1]]),
        np.concatenate([clg.arc_olabel[outer_arcs], np.zeros(len(inner[0]), np.int32)]),
        np.concatenate([nextstate, clg.arc_nextstate[epsilons], inner[2]]),
        np.concatenate([clg.arc_cost[phones] + h_graph.arc_cost[entry], clg.arc_cost[epsilons], inner[3]]),
        final,
    )


def share_hmms(clg: CsrGraph, h_graph: CsrGraph) -> CsrGraph:
    """CLG where phones in context that have the same HMM have the same label, one of theirs, and states that no longer differ are
    one: far less is left to be composed and determinized. Takes the arrays of `clg` over."""
    leaving = np.arange(h_graph.arc_begin[0], h_graph.arc_begin[1])
    into = h_graph.arc_nextstate[leaving].astype(np.int64) << 32 | h_graph.arc_ilabel[leaving]
    _, first, which = np.unique(into, return_index=True, return_inverse=True)
    label = h_graph.arc_olabel[leaving]
    shared = np.arange(max(label.max(initial=0), clg.arc_ilabel.max(initial=0)) + 1, dtype=np.int32)
    shared[label] = label[first][which]
    clg.arc_ilabel = shared[clg.arc_ilabel]
    return minimize(clg, round_costs=False)


def _units(h_graph: CsrGraph) -> tuple[np.ndarray, np.ndarray]:
    """First state of each HMM in H, and one past the last at the end; the HMM of each state, -1 for the loop state.

    The states of an HMM follow each other: one begins where no arc leads across.
    """
    size = h_graph.num_states
    inner = np.flatnonzero((h_graph.arc_source > 0) & (h_graph.arc_nextstate > 0))
    ends = np.sort([h_graph.arc_source[inner], h_graph.arc_nextstate[inner]], axis=0)
    across = np.cumsum(np.bincount(ends[0] + 1, minlength=size + 1) - np.bincount(ends[1] + 1, minlength=size + 1))
    is_first = across[:size] == 0
    is_first[0] = False
    return np.append(np.flatnonzero(is_first), size), np.cumsum(is_first) - 1


def _entry_arcs(h_graph: CsrGraph, labels: np.ndarray) -> np.ndarray:
    """int64: the arc of H, out of the loop state, that writes each label."""
    leaving = np.arange(h_graph.arc_begin[0], h_graph.arc_begin[1])
    arc_of_label = np.full(max(labels.max(initial=0), h_graph.arc_olabel.max(initial=0)) + 1, -1, np.int64)
    arc_of_label[h_graph.arc_olabel[leaving]] = leaving
    entry = arc_of_label[labels]
    if entry.min(initial=0) < 0:
        raise AsrtoolError(f"no HMM for the phone in context {labels[entry.argmin()]}: lang, tree and model do not fit")
    return entry


def _inner_arcs(h_graph, begin, unit, base, c_state) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The arcs of all copies: (source, ilabel, next state, cost)."""
    first, last = h_graph.arc_begin[begin[unit]], h_graph.arc_begin[begin[unit + 1]]
    counts = last - first
    before = np.cumsum(counts) - counts
    arcs = np.arange(int(counts.sum())) + np.repeat(first - before, counts)
    base = np.repeat(base, counts)
    nextstate = h_graph.arc_nextstate[arcs]
    nextstate = np.where(nextstate > 0, base + nextstate, np.repeat(c_state, counts))
    return base + h_graph.arc_source[arcs], h_graph.arc_ilabel[arcs], nextstate, h_graph.arc_cost[arcs]
