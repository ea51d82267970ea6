"""Expected edit distance between a lattice and a word sequence, and which words of the lattice stand for each of its places."""

import numpy as np
from numba import njit

DELTA = float(np.float32(1e-5))
"""Added to the cost of an insertion, so that words align with empty places rather than with none (Kaldi: added only to words)."""


@njit(nogil=True, cache=True)
def _arc_distances(of_start, word, reference, of_arc, choice):
    """Lines 13-18 of the paper's figure 5: expected distances at the end of an arc from those at its start, float64 [Q + 1].

    choice int8 [Q + 1]: 1 the arc's word meets the place, 2 the word is inserted, 3 nothing meets the place.
    """
    insertion = 1.0 + DELTA if word else 0.0
    of_arc[0] = of_start[0] + insertion
    for q in range(1, len(of_arc)):
        meets = of_start[q - 1] + (0.0 if word == reference[q - 1] else 1.0)
        inserted = of_start[q] + insertion
        skipped = of_arc[q - 1] + (1.0 if reference[q - 1] else 0.0)
        if meets <= inserted and meets <= skipped:
            choice[q], of_arc[q] = 1, meets
        elif inserted < meets and inserted <= skipped:
            choice[q], of_arc[q] = 2, inserted
        else:
            choice[q], of_arc[q] = 3, skipped


@njit(nogil=True, cache=True)
def expected_alignment(arc_start, arc_end, arc_word, arc_share, words, state_frame, reference, num_words):
    """One pass of Xu et al. 2011, figure 5.

    Args:
        arc_start, arc_end: int32 [A], sorted by arc_end, each leading to a later state; state 0 is the start, the last state the
            only final one; every state is on a whole path.
        arc_word: int32 [A], place in `words`, 0 for none; arc_share: float64 [A], of the paths to arc_end, those over this arc.
        words: int32 [V], word ids; words[0] is 0.
        state_frame: int32 [S].
        reference: int32 [Q], word ids, 0 in empty places; num_words: V.

    Returns:
        (expected edit distance, gamma, frames at the begin, frames at the end): the latter float64 [Q, V], the share of each word
        in each place, and these shares times the frames where its arcs begin and end.
    """
    num_states, num_places = len(state_frame), len(reference)
    distance = np.zeros((num_states, num_places + 1))
    backward = np.zeros((num_states, num_places + 1))
    of_arc, choice, share = np.zeros(num_places + 1), np.zeros(num_places + 1, np.int8), np.zeros(num_places + 1)
    gamma, begin, end = (np.zeros((num_places, num_words)), np.zeros((num_places, num_words)), np.zeros((num_places, num_words)))
    for q in range(num_places):
        distance[0, q + 1] = distance[0, q] + (1.0 if reference[q] else 0.0)
    for arc in range(len(arc_start)):
        _arc_distances(distance[arc_start[arc]], words[arc_word[arc]], reference, of_arc, choice)
        for q in range(num_places + 1):
            distance[arc_end[arc], q] += arc_share[arc] * of_arc[q]
    backward[num_states - 1, num_places] = 1.0
    for arc in range(len(arc_start) - 1, -1, -1):
        first, last, word = arc_start[arc], arc_end[arc], arc_word[arc]
        _arc_distances(distance[first], words[word], reference, of_arc, choice)
        for q in range(num_places + 1):
            share[q] = arc_share[arc] * backward[last, q]
        for q in range(num_places, 0, -1):
            if share[q] == 0.0:
                continue
            if choice[q] == 1:
                backward[first, q - 1] += share[q]
                gamma[q - 1, word] += share[q]
                begin[q - 1, word] += share[q] * state_frame[first]
                end[q - 1, word] += share[q] * state_frame[last]
            elif choice[q] == 2:
                backward[first, q] += share[q]
            else:
                share[q - 1] += share[q]
                gamma[q - 1, 0] += share[q]
                begin[q - 1, 0] += share[q] * state_frame[last]
                end[q - 1, 0] += share[q] * state_frame[last]
        backward[first, 0] += share[0]
    left = 0.0
    for q in range(num_places, 0, -1):  # places that nothing meets, before the first arc
        left += backward[0, q]
        gamma[q - 1, 0] += left
    return distance[num_states - 1, num_places], gamma, begin, end
