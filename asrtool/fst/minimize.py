"""Minimisation of an FST as an acceptor of (input label, output label, cost): Kaldi's fstminimizeencoded, on arrays.

States are told apart by what follows within 1, 2, 3, ... arcs (Moore 1956) until no more are, where the set of what follows is
kept as a 64-bit hash. A state that differs from all others is done with. OpenFst, with a table of all different arcs and queues,
takes several times the time and memory.
"""

import numpy as np

from asrtool.fst.csr import CsrGraph

_DELTA = 1.0 / 1024  # costs are rounded to multiples, as Kaldi's kDelta
_INTERVAL = 4  # rounds between two counts of classes


def minimize(graph: CsrGraph, round_costs: bool = True) -> CsrGraph:
    """The graph with equivalent states united, without those that are on no path.

    Takes the arrays of `graph` over: it is empty afterwards.

    Args:
        round_costs: to multiples of 1/1024, first; else arcs are the same only where their costs are to the last bit.
    """
    from asrtool.fst.minimize_kernels import number_classes, refine

    graph = trim(graph)
    if graph.num_states == 0:
        return graph
    if round_costs:
        _round(graph.arc_cost)
        _round(graph.final_cost)
    arc_cost, final_cost = graph.arc_cost.view(np.int32), graph.final_cost.view(np.int32)
    old, new = np.zeros(graph.num_states, np.uint64), np.empty(graph.num_states, np.uint64)
    table = np.empty(1 << (2 * graph.num_states - 1).bit_length(), np.int32)
    class_of = np.empty(graph.num_states, np.int32)
    states, alone, before = np.arange(graph.num_states, dtype=np.int32), 0, 0
    while True:
        for _ in range(_INTERVAL):
            refine(
                states, graph.arc_begin, graph.arc_ilabel, graph.arc_olabel, arc_cost, graph.arc_nextstate, final_cost, old, new
            )  # fmt: skip
            old, new = new, old
        count = number_classes(old[states], table, class_of)
        if alone + count == before:  # classes only ever split: as many after some rounds as before them says that none did
            break
        before, its = alone + count, class_of[: len(states)]
        is_alone = np.bincount(its, minlength=count) == 1
        alone += np.count_nonzero(is_alone)
        states = states[~is_alone[its]]
        new[:] = old
    count = number_classes(old, table, class_of)
    del old, new, table, states
    first = np.full(count, graph.num_states, np.int32)
    np.minimum.at(first, class_of, np.arange(graph.num_states, dtype=np.int32))
    return _part(graph, first, class_of)


def trim(graph: CsrGraph) -> CsrGraph:
    """Without the states that are on no path from the start to a final state; the same graph where all are."""
    from asrtool.fst.minimize_kernels import useful_states

    seen = np.zeros(graph.num_states, np.uint8)
    if graph.start >= 0:
        useful_states(graph.start, graph.arc_begin, graph.arc_nextstate, graph.final_cost < np.inf, seen)
    if graph.num_states == 0 or seen[graph.start] != 3:
        return CsrGraph.from_arcs(-1, [], [], [], [], [], [])
    kept = np.flatnonzero(seen == 3).astype(np.int32)
    if len(kept) == graph.num_states:
        return graph
    number = np.full(graph.num_states, -1, np.int32)
    number[kept] = np.arange(len(kept), dtype=np.int32)
    return _part(graph, kept, number)


def _round(costs: np.ndarray) -> None:
    """To the nearest multiples of _DELTA, in place; 0 has one sign."""
    costs /= np.float32(_DELTA)
    costs += np.float32(0.5)
    np.floor(costs, out=costs)
    costs *= np.float32(_DELTA)
    costs += np.float32(0)


def _part(graph: CsrGraph, states: np.ndarray, number: np.ndarray) -> CsrGraph:
    """The graph of `states`, where arcs lead to number[next state] (-1: dropped)."""
    from asrtool.fst.minimize_kernels import list_arcs

    arc_begin = np.empty(len(states) + 1, np.int64)
    arcs = np.empty(int(np.diff(graph.arc_begin)[states].sum()), np.int64)
    list_arcs(graph.arc_begin, states, arc_begin, arcs)
    nextstate = number[graph.arc_nextstate[arcs]]
    if nextstate.min(initial=0) < 0:
        kept = nextstate >= 0
        arc_begin = np.concatenate([[0], np.cumsum(kept)])[arc_begin]
        arcs, nextstate = arcs[kept], nextstate[kept]
    return CsrGraph(
        start=int(number[graph.start]),
        arc_begin=arc_begin,
        arc_ilabel=graph.arc_ilabel[arcs],
        arc_olabel=graph.arc_olabel[arcs],
        arc_nextstate=nextstate,
        arc_cost=graph.arc_cost[arcs],
        final_cost=graph.final_cost[states],
    )
