"""Splitting of text into words by a list, as kernels over code points."""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def child_of(node, code, child_begin, child_code):
    """The child of a trie's node by a code, -1 where there is none; the arrays are those of `word_ends`."""
    low, high = child_begin[node], child_begin[node + 1]
    while low < high:
        middle = (low + high) // 2
        if child_code[middle] < code:
            low = middle + 1
        else:
            high = middle
    return low + 1 if low < child_begin[node + 1] and child_code[low] == code else -1


@njit(nogil=True, cache=True)
def run_end(kinds, place, end):
    """The place after a code of kind 0, or after the run of kind 1 that begins at `place`; at most `end`."""
    stop = place + 1
    while kinds[place] == 1 and stop < end and kinds[stop] == 1:
        stop += 1
    return stop


@njit(nogil=True, cache=True)
def word_ends(codes, kinds, root, child_begin, child_code, word_cost, unknown_cost, longest_match):
    """Where the words of the best split end: bool [N], the code is the last one of a word.

    Words lie between separators. Neighbours of kind 1 are never parted. What the list does not hold is a word of one code, or a
    whole run of kind 1.

    codes int32 [N]; kinds uint8 [N]: 0 may stand alone, 1 is of a run (Latin letters, digits), 2 is a separator.
    A trie with M nodes, 0 the root: root int32 [C] gives the node after each code (-1: none); child i of all, which stand by
    parent, then code, is node i + 1: child_begin int64 [M + 1], child_code int32 [M - 1]; word_cost float64 [M], inf where no
    word ends. unknown_cost: of a word that is not in the list. longest_match: the longest word at each place, costs unused.
    """
    size = codes.shape[0]
    is_end = np.zeros(size, dtype=np.bool_)
    best = np.full(size + 1, np.inf)
    back = np.zeros(size + 1, dtype=np.int64)
    begin = 0
    while begin < size:
        if kinds[begin] == 2:
            begin += 1
            continue
        end = begin
        while end < size and kinds[end] != 2:
            end += 1
        best[begin] = 0.0
        place = begin
        while place < end:
            if best[place] == np.inf:
                place += 1
                continue
            stop = run_end(kinds, place, end)
            if best[place] + unknown_cost < best[stop]:
                best[stop] = best[place] + unknown_cost
                back[stop] = place
            longest = stop
            node = root[codes[place]] if codes[place] < root.shape[0] else -1
            stop = place + 1
            while node >= 0:
                parted = stop < end and kinds[stop - 1] == 1 and kinds[stop] == 1
                if word_cost[node] < np.inf and not parted:
                    cost = best[place] + word_cost[node]
                    if cost < best[stop]:
                        best[stop] = cost
                        back[stop] = place
                    longest = stop
                if stop == end:
                    break
                node = child_of(node, codes[stop], child_begin, child_code)
                stop += 1
            if longest_match:
                is_end[longest - 1] = True
                best[longest] = 0.0
            place = longest if longest_match else place + 1
        if not longest_match:
            place = end
            while place > begin:
                is_end[place - 1] = True
                place = back[place]
        begin = end
    return is_end
