"""Unpacking of OpenFst's vector FSTs, whose states vary in length."""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def unpack_states(words, progress, fill, arc_begin, final_cost, ilabel, olabel, cost, nextstate):
    """Takes as much as there is of the states of a vector FST from a part of its file.

    A state is (final weight float32, number of arcs int64, arcs of 4 words each).

    Args:
        words: int32 [W], the part, from where the last one was left.
        progress: int64 [3], changed: states and arcs so far, arcs of the last state that are still to come.
        fill: False: count only; the arrays may be empty.
        arc_begin: int64 [S + 1]; final_cost, cost: int32 [S] and [A], the bits of float32; ilabel, olabel, nextstate int32 [A].

    Returns the number of words that were taken (fewer than 4 are left), -1 where a number of arcs makes no sense.
    """
    size = len(words)
    state, arc, to_come = progress
    position = 0
    while True:
        if to_come > 0:
            count = min(to_come, (size - position) // 4)
            if fill:
                for i in range(arc, arc + count):
                    ilabel[i] = words[position]
                    olabel[i] = words[position + 1]
                    cost[i] = words[position + 2]
                    nextstate[i] = words[position + 3]
                    position += 4
            else:
                position += 4 * count
            arc += count
            to_come -= count
            if to_come > 0:
                break
        if position + 3 > size or (fill and state == len(final_cost)):
            break
        if words[position + 2] != 0 or words[position + 1] < 0:
            return -1
        to_come = np.int64(words[position + 1])
        if fill:
            final_cost[state] = words[position]
            arc_begin[state + 1] = arc + to_come
        state += 1
        position += 3
    progress[0], progress[1], progress[2] = state, arc, to_come
    return position
