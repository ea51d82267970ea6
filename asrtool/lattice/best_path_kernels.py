"""The best path of a lattice: one pass over its arcs in topological order."""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def best_path_arcs(arc_start, arc_end, arc_cost, final_cost):
    """The arcs of the cheapest path from state 0 to a final state.

    Args:
        arc_start, arc_end: int32 [A], arcs sorted by start state, each leading to a later state.
        arc_cost: float64 [A].
        final_cost: float64 [S], inf where not final.

    Returns:
        (int32 arcs in path order, total cost): an empty path and inf where no final state can be reached.
    """
    num_states = len(final_cost)
    cost = np.full(num_states, np.inf)
    came_by = np.full(num_states, -1, np.int32)
    if num_states > 0:
        cost[0] = 0.0
    for arc in range(len(arc_start)):
        new_cost = cost[arc_start[arc]] + arc_cost[arc]
        if new_cost < cost[arc_end[arc]]:
            cost[arc_end[arc]] = new_cost
            came_by[arc_end[arc]] = arc
    best, best_cost = -1, np.inf
    for state in range(num_states):
        if cost[state] + final_cost[state] < best_cost:
            best, best_cost = state, cost[state] + final_cost[state]
    length = 0
    state = best
    while state > 0:
        state = arc_start[came_by[state]]
        length += 1
    path = np.empty(length, np.int32)
    state = best
    while state > 0:
        length -= 1
        path[length] = came_by[state]
        state = arc_start[came_by[state]]
    return path, best_cost
