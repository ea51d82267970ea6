"""Tree look-ups over flat arrays (see FlatEventMap)."""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def map_event(nodes, pool, event):
    """The answer to one event, -1 for none.

    nodes int32 [num_nodes, 6], pool int32 [P], event int32 [N+1]: phones of the window, then the pdf class
    (key -1 reaches it from the end). A phone below 0 is a missing key.
    """
    node = 0
    while node >= 0:
        kind = nodes[node, 0]
        if kind == 0:
            return nodes[node, 2]
        key = nodes[node, 1]
        value = event[key + event.shape[0] if key < 0 else key]
        if value < 0:
            return -1
        if kind == 1:
            node = pool[nodes[node, 2] + value] if value < nodes[node, 3] else -1
        elif value < nodes[node, 5] and pool[nodes[node, 4] + value] == 1:
            node = nodes[node, 2]
        else:
            node = nodes[node, 3]
    return -1


@njit(nogil=True, cache=True)
def map_events(nodes, pool, events):
    """int32 [M] answers to events int32 [M, N+1]; the rest as `map_event`."""
    answers = np.empty(events.shape[0], dtype=np.int32)
    for row in range(events.shape[0]):
        answers[row] = map_event(nodes, pool, events[row])
    return answers
