"""Makes a batch of lattices ready to be summed level by level: near 0, and sorted by depth."""

import numpy as np
from numba import njit

IMPOSSIBLE = -1e30
"""Log weight of what cannot be: finite, so that sums over nothing but such arcs are not NaN."""


@njit(nogil=True, cache=True)
def reduce_scores(arc_start, arc_end, arc_score, arc_reference, final_score, state_begin):
    """Takes potentials of the states off the scores, so that the best path of each lattice has about 0 wherever it is.

    Args:
        arc_start, arc_end: int32 [A], sorted by arc_start, each arc leading to a later state.
        arc_score: float64 [A], log weights below +inf; reduced, and at least IMPOSSIBLE.
        arc_reference: float64 [A], finite: what will be added to the scores, about.
        final_score: float64 [S], -inf where not final; reduced.
        state_begin: int64 [L + 1], where the lattices begin.

    Returns:
        float64 [L]: the log weight that all whole paths of a lattice have lost; IMPOSSIBLE or less where it has none.
    """
    best, potential = np.full(len(final_score), IMPOSSIBLE), np.full(len(state_begin) - 1, IMPOSSIBLE)
    for lattice in range(len(potential)):
        if state_begin[lattice] < state_begin[lattice + 1]:
            best[state_begin[lattice]] = 0.0
    for arc in range(len(arc_start)):
        arc_score[arc] = max(arc_score[arc], IMPOSSIBLE)
        best[arc_end[arc]] = max(best[arc_end[arc]], best[arc_start[arc]] + arc_score[arc] + arc_reference[arc])
    for arc in range(len(arc_start)):
        arc_score[arc] += best[arc_start[arc]] - best[arc_end[arc]]
    for lattice in range(len(potential)):
        for state in range(state_begin[lattice], state_begin[lattice + 1]):
            potential[lattice] = max(potential[lattice], best[state] + final_score[state])
        for state in range(state_begin[lattice], state_begin[lattice + 1]):
            final_score[state] += best[state] - potential[lattice]
    return potential


@njit(nogil=True, cache=True)
def order_by_level(arc_start, arc_end, num_states):
    """Levels of states and arcs.

    The level of a state is the number of arcs, those that take no frame included, of the longest path that leads there; an arc's
    start is always of a lower level than its end.

    Args:
        arc_start, arc_end: int32 [A]; states in topological order, the arcs into a state before the arcs out of it.

    Returns:
        (number int32 [S]: a state's place by level; state_begin int64 [V + 1]: of the levels, in that order;
        into int32 [A]: the arcs by the number of their end; into_begin int64 [V + 1]: of the levels of the ends, in that order;
        out_of int32 [A]: places in `into`, by the number of the arc's start; out_begin int64 [V + 1]: of the levels of those).
    """
    num_arcs, num_levels = len(arc_start), 1
    level = np.zeros(num_states, np.int32)
    for arc in range(num_arcs):
        start, end = arc_start[arc], arc_end[arc]
        level[end] = max(level[end], level[start] + 1)
        num_levels = max(num_levels, level[end] + 1)
    state_begin, into_begin = np.zeros(num_levels + 1, np.int64), np.zeros(num_levels + 1, np.int64)
    out_begin = np.zeros(num_levels + 1, np.int64)
    for state in range(num_states):
        state_begin[level[state] + 1] += 1
    for number in range(num_levels):
        state_begin[number + 1] += state_begin[number]
    next_of_level, number = state_begin.copy(), np.empty(num_states, np.int32)
    for state in range(num_states):
        number[state] = next_of_level[level[state]]
        next_of_level[level[state]] += 1
    place = np.zeros(num_states + 1, np.int64)
    for arc in range(num_arcs):
        place[number[arc_end[arc]] + 1] += 1
    for state in range(num_states):
        place[state + 1] += place[state]
    for row in range(num_levels + 1):
        into_begin[row] = place[state_begin[row]]
    into = np.empty(num_arcs, np.int32)
    for arc in range(num_arcs):
        state = number[arc_end[arc]]
        into[place[state]] = arc
        place[state] += 1
    place[:] = 0
    for arc in range(num_arcs):
        place[number[arc_start[arc]] + 1] += 1
    for state in range(num_states):
        place[state + 1] += place[state]
    for row in range(num_levels + 1):
        out_begin[row] = place[state_begin[row]]
    out_of = np.empty(num_arcs, np.int32)
    for position in range(num_arcs):
        state = number[arc_start[into[position]]]
        out_of[place[state]] = position
        place[state] += 1
    return number, state_begin, into, into_begin, out_of, out_begin
