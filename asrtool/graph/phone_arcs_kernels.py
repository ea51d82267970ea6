"""Construction of training graphs: words -> phone arcs."""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def _leave_differently(word, word_begin, leave):
    """Whether the pronunciations of a word differ in the costs of what comes after."""
    for row in range(word_begin[word] + 1, word_begin[word + 1]):
        if leave[row, 0] != leave[row - 1, 0] or leave[row, 1] != leave[row - 1, 1]:
            return True
    return False


@njit(nogil=True, cache=True)
def phone_arcs(words, word_begin, phone_begin, phones, enter, leave, begin, end, silence_phone):
    """The acceptor of all phone sequences of a word sequence.

    Node 2i stands after word i with no silence yet, node 2i + 1 after the silence that follows word i; node 0 is the start. Where
    the costs of silence after a word depend on its pronunciation, node 2i stands for no silence, and before the silence there
    is one more node. words int32 [n]; the rest as in Pronunciations.

    Returns node_final float32 [V] (infinity: not final), arcs int32 [A, 4] (source, destination, phone, word) and
    arc_cost float32 [A].
    """
    silence = 1 if silence_phone > 0 else 0
    num_nodes = 2 * words.shape[0] + 2
    num_arcs = silence * (words.shape[0] + 1)
    for word in words:
        split = 1 if silence and _leave_differently(word, word_begin, leave) else 0
        num_nodes += split
        for row in range(word_begin[word], word_begin[word + 1]):
            length = phone_begin[row + 1] - phone_begin[row]
            num_nodes += length - 1
            num_arcs += length + silence + split * (1 if length > 1 else 2)
    node_final = np.full(num_nodes, np.inf, dtype=np.float32)
    arcs = np.empty((num_arcs, 4), dtype=np.int32)
    arc_cost = np.zeros(num_arcs, dtype=np.float32)
    arc = 0
    node = 2 * words.shape[0] + 2
    before_silence = 0
    go_on, be_silent = begin[0], begin[1]  # what is still to be paid at node 2i
    for position in range(words.shape[0] + 1):
        here = 2 * position
        if silence:
            arcs[arc, 0], arcs[arc, 1], arcs[arc, 2], arcs[arc, 3] = before_silence, here + 1, silence_phone, 0
            arc_cost[arc] = be_silent
            arc += 1
        if position == words.shape[0]:
            break
        word = words[position]
        split = silence > 0 and _leave_differently(word, word_begin, leave)
        before_silence = here + 2
        if split:
            before_silence = node
            node += 1
        for row in range(word_begin[word], word_begin[word + 1]):
            first, last = phone_begin[row], phone_begin[row + 1] - 1
            previous = here
            for index in range(first, last + 1):
                following = here + 2
                if index < last:
                    following = node
                    node += 1
                for which in range(2 if split and index == last else 1):  # to node 2i, to where silence follows
                    to = before_silence if which else following
                    paid = leave[row, which] if split and index == last else np.float32(0.0)
                    arcs[arc, 0], arcs[arc, 1], arcs[arc, 2], arcs[arc, 3] = previous, to, phones[index], 0
                    arc_cost[arc] = paid
                    if index == first:
                        arcs[arc, 3] = word
                        arc_cost[arc] = enter[row, 0] + go_on + paid
                        if silence:
                            arc += 1
                            arcs[arc, 0], arcs[arc, 1], arcs[arc, 2], arcs[arc, 3] = here + 1, to, phones[index], word
                            arc_cost[arc] = enter[row, 1] + paid
                    arc += 1
                previous = following
        go_on, be_silent = np.float32(0.0), np.float32(0.0)
        if not split:
            go_on, be_silent = leave[word_begin[word], 0], leave[word_begin[word], 1]
    node_final[2 * words.shape[0]] = go_on + end[0]
    if silence:
        node_final[2 * words.shape[0] + 1] = end[1]
    return node_final, arcs, arc_cost
