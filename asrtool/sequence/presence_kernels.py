"""Whether a lattice has a path with given pdfs."""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def has_pdf_path(
    state_frame: np.ndarray,
    arc_start: np.ndarray,
    arc_end: np.ndarray,
    arc_transition_id: np.ndarray,
    final_cost: np.ndarray,
    tid_to_pdf: np.ndarray,
    pdfs: np.ndarray,
) -> bool:
    """Whether a path from state 0 to a final state takes just `pdfs`.

    Args:
        state_frame: int32 [S]; arc_start, arc_end, arc_transition_id: int32 [A], states in topological order, arcs by start.
        final_cost: float32 [S], inf where not final.
        tid_to_pdf: int32 [N + 1]; pdfs: int32 [T].
    """
    num_frames = len(pdfs)
    reached = np.zeros(len(state_frame), np.bool_)
    if len(reached):
        reached[0] = True
    for arc in range(len(arc_start)):
        start = arc_start[arc]
        if not reached[start]:
            continue
        tid, frame = arc_transition_id[arc], state_frame[start]
        if tid == 0 or (frame < num_frames and tid_to_pdf[tid] == pdfs[frame]):
            reached[arc_end[arc]] = True
    for state in range(len(reached)):
        if reached[state] and state_frame[state] == num_frames and final_cost[state] < np.inf:
            return True
    return False
