"""Unpacking of OpenFst's vector FSTs, whose states vary in length."""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def scan_vector_states(words, num_states):
    """Where each state of a vector FST begins.

    words int32 [W]: the file after its header; a state is (final weight float32, number of arcs int64, arcs of 4 words each).
    num_states int64; -1 where the header does not say: states up to the end then.

    Returns first_arc_word int64 [S], num_arcs int64 [S]; empty with num_states -2 first when the file is cut short.
    """
    size = words.shape[0]
    count = 0
    position = 0
    while position < size and (num_states < 0 or count < num_states):
        if position + 3 > size or words[position + 2] != 0 or words[position + 1] < 0:
            return np.full(1, -2, dtype=np.int64), np.zeros(0, dtype=np.int64)
        position += 3 + 4 * np.int64(words[position + 1])
        count += 1
    if position > size or (num_states >= 0 and count < num_states):
        return np.full(1, -2, dtype=np.int64), np.zeros(0, dtype=np.int64)
    first_arc_word = np.empty(count, dtype=np.int64)
    num_arcs = np.empty(count, dtype=np.int64)
    position = 0
    for state in range(count):
        first_arc_word[state] = position + 3
        num_arcs[state] = words[position + 1]
        position += 3 + 4 * num_arcs[state]
    return first_arc_word, num_arcs


@njit(nogil=True, cache=True)
def gather_vector_arcs(words, first_arc_word, arc_begin, arcs):
    """Copies the arcs of all states one after the other.

    words int32 [W], first_arc_word int64 [S], arc_begin int64 [S + 1], arcs int32 [A, 4] (output).
    """
    for state in range(first_arc_word.shape[0]):
        word = first_arc_word[state]
        for arc in range(arc_begin[state], arc_begin[state + 1]):
            for column in range(4):
                arcs[arc, column] = words[word]
                word += 1
