"""Which states of a lattice lie on whole paths, after how many frames, and at what best cost."""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def frames_before_states(arc_start, arc_end, arc_frames, num_states):
    """Frames from the start to every state.

    Args:
        arc_start, arc_end: int32 [A], topological and sorted by arc_start; state 0 is the start.
        arc_frames: int64 [A].

    Returns:
        (int32 [S], -1 where no path leads; whether two paths to one state differ).
    """
    frames = np.full(num_states, -1, np.int32)
    frames[:1] = 0
    bad = False
    for arc in range(len(arc_start)):
        before = frames[arc_start[arc]]
        if before < 0:
            continue
        after = before + arc_frames[arc]
        if frames[arc_end[arc]] < 0:
            frames[arc_end[arc]] = after
        elif frames[arc_end[arc]] != after:
            bad = True
    return frames, bad


@njit(nogil=True, cache=True)
def best_costs(arc_start, arc_end, arc_cost, final_cost):
    """The cost of the cheapest path from the start to every state, and from it to the end (final cost included).

    Args:
        arc_start, arc_end: int32 [A], topological and sorted by arc_start; state 0 is the start.
        arc_cost: float64 [A]; final_cost: float64 [S], inf where not final.

    Returns:
        (float64 [S], float64 [S]), inf where there is no path. With costs of 0: who is reached, and who reaches the end.
    """
    num_states = len(final_cost)
    forward = np.full(num_states, np.inf)
    forward[:1] = 0.0
    for arc in range(len(arc_start)):
        cost = forward[arc_start[arc]] + arc_cost[arc]
        if cost < forward[arc_end[arc]]:
            forward[arc_end[arc]] = cost
    backward = final_cost.copy()
    for arc in range(len(arc_start) - 1, -1, -1):
        cost = backward[arc_end[arc]] + arc_cost[arc]
        if cost < backward[arc_start[arc]]:
            backward[arc_start[arc]] = cost
    return forward, backward
