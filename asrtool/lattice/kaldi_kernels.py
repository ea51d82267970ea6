"""Walks over Kaldi's binary lattices and over the states of any lattice."""

import numpy as np
from numba import njit

TRUNCATED, DAMAGED = -1, -2
CYCLE, UNEVEN = 1, 2


@njit(nogil=True, cache=True)
def scan_states(words, num_states, compact):
    """Where the states and arcs of a binary lattice stand.

    words int32 [W]: what follows the header. A state is its final weight, its number of arcs (int64) and its arcs; an arc is two
    labels, a weight and the next state; a weight is two floats and, where `compact`, a count and as many integers.
    num_states int64, at most W.

    Returns (words taken, or TRUNCATED or DAMAGED; state_at int64 [S]; num_arcs int64 [S]; arc_at int64 [A]).
    """
    size = len(words)
    state_at, num_arcs = np.empty(num_states, np.int64), np.empty(num_states, np.int64)
    nothing = np.empty(0, np.int64)
    position, total = 0, 0
    for state in range(num_states):
        state_at[state] = position
        position += 2
        if compact:
            if position >= size:
                return TRUNCATED, nothing, nothing, nothing
            if words[position] < 0:
                return DAMAGED, nothing, nothing, nothing
            position += 1 + np.int64(words[position])
        if position + 2 > size:
            return TRUNCATED, nothing, nothing, nothing
        count = np.int64(words[position])
        if count < 0 or words[position + 1] != 0:
            return DAMAGED, nothing, nothing, nothing
        num_arcs[state] = count
        total += count
        position += 2
        if not compact:
            position += 5 * count
        else:
            for _ in range(count):
                position += 4
                if position >= size:
                    return TRUNCATED, nothing, nothing, nothing
                if words[position] < 0:
                    return DAMAGED, nothing, nothing, nothing
                position += 2 + np.int64(words[position])
        if position > size:
            return TRUNCATED, nothing, nothing, nothing
    arc_at = np.empty(total, np.int64)
    arc = 0
    for state in range(num_states):
        at = state_at[state] + 4
        if compact:
            at += 1 + words[state_at[state] + 2]
        for _ in range(num_arcs[state]):
            arc_at[arc] = at
            arc += 1
            at += 5
            if compact:
                at += 1 + words[at - 1]
    return position, state_at, num_arcs, arc_at


@njit(nogil=True, cache=True)
def place_states(arc_begin, arc_end, arc_frames, start):
    """Longest ways and times of the states that the start reaches.

    arc_begin int64 [S + 1], arc_end int32 [A], arc_frames int32 [A], start int64 (a state).

    Returns (0, CYCLE or UNEVEN; depth int32 [S], most arcs of a way from the start, -1 where none leads; frame int32 [S], the
    frames of all ways; a state on the cycle or reached after different numbers of frames, -1).
    """
    num_states = len(arc_begin) - 1
    depth, frame = np.full(num_states, -1, np.int32), np.full(num_states, -1, np.int32)
    incoming = np.zeros(num_states, np.int32)
    queue = np.empty(num_states, np.int32)
    queue[0], count, first = start, 1, 0
    depth[start] = 0
    while first < count:
        state = queue[first]
        first += 1
        for arc in range(arc_begin[state], arc_begin[state + 1]):
            end = arc_end[arc]
            incoming[end] += 1
            if depth[end] < 0:
                depth[end] = 0
                queue[count] = end
                count += 1
    reached = count
    if incoming[start] > 0:
        return CYCLE, depth, frame, start
    queue[0], count, first = start, 1, 0
    frame[start] = 0
    while first < count:
        state = queue[first]
        first += 1
        for arc in range(arc_begin[state], arc_begin[state + 1]):
            end = arc_end[arc]
            depth[end] = max(depth[end], depth[state] + 1)
            new_frame = frame[state] + arc_frames[arc]
            if frame[end] >= 0 and frame[end] != new_frame:
                return UNEVEN, depth, frame, np.int64(end)
            frame[end] = new_frame
            incoming[end] -= 1
            if incoming[end] == 0:
                queue[count] = end
                count += 1
    if count < reached:
        for state in range(num_states):
            if incoming[state] > 0:
                return CYCLE, depth, frame, np.int64(state)
    return 0, depth, frame, np.int64(-1)
