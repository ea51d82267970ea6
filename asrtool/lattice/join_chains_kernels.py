"""A lattice with fewer states for determinisation: chains of arcs without words become one arc with a string."""

import numpy as np
from numba import njit

CHAIN = np.dtype(
    [
        ("start", "i4"), ("end", "i4"), ("word", "i4"), ("length", "i4"), ("string", "i8"),
        ("cost", "f8"), ("graph", "f8"), ("acoustic", "f8"),
    ]
)  # fmt: skip
"""An arc with `length` transition-ids from `string` on; its weighed cost, and the same split in two."""


@njit(nogil=True, cache=True)
def join_chains(arc_start, arc_end, arc_word, arc_tid, arc_graph, arc_acoustic, final_cost, scales):
    """Leaves out states that are not final and that one arc without a word leaves, or that one such arc leads to.

    arc_start, arc_end, arc_word, arc_tid int32 [A], in topological order; arc_graph, arc_acoustic float32 [A]; final_cost
    float32 [S]; scales: (acoustic scale, cost of a word).

    Returns (arcs CHAIN, sorted by start; their transition-ids int32; the states that are left, int32, whose positions are the
    numbers that arcs go by).
    """
    num_states, num_arcs = len(final_cost), len(arc_start)
    into, only, after_graph, after_acoustic, after_size = behind_chains(
        arc_start, arc_end, arc_word, arc_tid, arc_graph, arc_acoustic, final_cost
    )
    by_arc, origin, graph, acoustic, length = before_chains(
        arc_start, arc_end, arc_word, arc_tid, arc_graph, arc_acoustic, final_cost, into, after_graph, after_acoustic, after_size
    )
    number, states = np.full(num_states, -1, np.int32), np.empty(num_states, np.int32)
    count = 0
    for state in range(num_states):
        if into[state] == state and by_arc[state] < 0:
            number[state], states[count] = count, state
            count += 1
    position = np.zeros(count + 1, np.int64)
    num_strings = 0
    for arc in range(num_arcs):
        if origin[arc] >= 0:
            position[number[origin[arc]] + 1] += 1
            num_strings += length[arc]
    for state in range(count):
        position[state + 1] += position[state]
    joined, strings = np.empty(position[count], CHAIN), np.empty(num_strings, np.int32)
    string = 0
    for arc in range(num_arcs):
        if origin[arc] < 0:
            continue
        start = number[origin[arc]]
        at = position[start]
        position[start] += 1
        joined[at].start, joined[at].end, joined[at].word = start, number[into[arc_end[arc]]], arc_word[arc]
        joined[at].length, joined[at].string = length[arc], string
        joined[at].graph, joined[at].acoustic = graph[arc], acoustic[arc]
        joined[at].cost = graph[arc] + scales[0] * acoustic[arc]
        if arc_word[arc]:
            joined[at].cost += scales[1]
        string += length[arc]
        write_back(arc_start, arc_end, arc_tid, into, only, by_arc, after_size, strings, arc, string)
    return joined, strings, states[:count]


@njit(nogil=True, cache=True)
def behind_chains(arc_start, arc_end, arc_word, arc_tid, arc_graph, arc_acoustic, final_cost):
    """Finds the chain behind each state.

    Returns (into int32 [S]: the state that it leads to, or the state itself; only int32 [S]: an arc that leaves the state; graph,
    acoustic float64 [S], length int32 [S]: costs and number of transition-ids of the chain).
    """
    num_states = len(final_cost)
    graph, acoustic, length = np.zeros(num_states), np.zeros(num_states), np.zeros(num_states, np.int32)
    into, only, num_out = np.empty(num_states, np.int32), np.full(num_states, -1, np.int32), np.zeros(num_states, np.int32)
    for arc in range(len(arc_start)):
        only[arc_start[arc]] = arc
        num_out[arc_start[arc]] += 1
    for state in range(num_states - 1, -1, -1):
        into[state] = state
        if state > 0 and num_out[state] == 1 and arc_word[only[state]] == 0 and not final_cost[state] < np.inf:
            arc = only[state]
            end = arc_end[arc]
            into[state] = into[end]
            graph[state] = arc_graph[arc] + graph[end]
            acoustic[state] = arc_acoustic[arc] + acoustic[end]
            length[state] = (arc_tid[arc] != 0) + length[end]
    return into, only, graph, acoustic, length


@njit(nogil=True, cache=True)
def before_chains(
    arc_start, arc_end, arc_word, arc_tid, arc_graph, arc_acoustic, final_cost, into, after_graph, after_acoustic, after_size
):
    """Joins arcs with what is behind them and, where one arc without a word leads to a state, what leaves it with that arc.

    Returns (by_arc int32 [S]: that arc, -1 for a state that stays; origin int32 [A]: the state that an arc now leaves, -1 where
    the arc is gone; graph, acoustic float64 [A], length int32 [A]: of the whole).
    """
    num_states, num_arcs = len(final_cost), len(arc_start)
    num_in = np.zeros(num_states, np.int32)
    for arc in range(num_arcs):
        if into[arc_start[arc]] == arc_start[arc]:
            num_in[into[arc_end[arc]]] += 1
    by_arc, origin = np.full(num_states, -1, np.int32), np.full(num_arcs, -1, np.int32)
    graph, acoustic, length = np.empty(num_arcs), np.empty(num_arcs), np.empty(num_arcs, np.int32)
    for arc in range(num_arcs):
        start, end = arc_start[arc], arc_end[arc]
        if into[start] != start:
            continue
        graph[arc] = arc_graph[arc] + after_graph[end]
        acoustic[arc] = arc_acoustic[arc] + after_acoustic[end]
        length[arc] = (arc_tid[arc] != 0) + after_size[end]
        origin[arc] = start
        if by_arc[start] >= 0:
            before = by_arc[start]
            graph[arc] += graph[before]
            acoustic[arc] += acoustic[before]
            length[arc] += length[before]
            origin[arc] = origin[before]
        to = into[end]
        if num_in[to] == 1 and arc_word[arc] == 0 and not final_cost[to] < np.inf:
            by_arc[to] = arc
    for state in range(num_states):
        if by_arc[state] >= 0:
            origin[by_arc[state]] = -1
    return by_arc, origin, graph, acoustic, length


@njit(nogil=True, cache=True)
def write_back(arc_start, arc_end, arc_tid, into, only, by_arc, after_size, strings, arc, end):
    """Writes the transition-ids of an arc with what is behind and before it; `end` is the position after the last."""
    while arc >= 0:
        state = arc_end[arc]
        end -= after_size[state]
        at = end
        while into[state] != state:
            tid = arc_tid[only[state]]
            if tid:
                strings[at] = tid
                at += 1
            state = arc_end[only[state]]
        if arc_tid[arc]:
            end -= 1
            strings[end] = arc_tid[arc]
        arc = by_arc[arc_start[arc]]
