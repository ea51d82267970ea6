"""Local removal of epsilons over arrays (see remove_epsilons.py)."""

import numpy as np
from numba import njit

DELETED = -1


@njit(nogil=True, cache=True)
def grow(labels, costs):
    """Copies of labels int32 [M, 3] and costs float64 [M] with twice the room."""
    more_labels = np.empty((2 * labels.shape[0], 3), dtype=np.int32)
    more_costs = np.empty(2 * costs.shape[0], dtype=np.float64)
    for row in range(labels.shape[0]):  # assigning slices would cost five seconds of compiling
        for column in range(3):
            more_labels[row, column] = labels[row, column]
        more_costs[row] = costs[row]
    return more_labels, more_costs


@njit(nogil=True, cache=True)
def log_add(one, two):
    """-log(exp(-one) + exp(-two)) of float64 costs."""
    if one > two:
        one, two = two, one
    return one if two == np.inf else one - np.log1p(np.exp(one - two))


@njit(nogil=True, cache=True)
def reweight(begin, extra_begin, extra_end, labels, costs, final, state, cost):
    """Takes `cost` off all that leaves a state; arrays as in `remove_local`."""
    for part in range(2):
        first = begin[state] if part == 0 else extra_begin[state]
        last = begin[state + 1] if part == 0 else extra_end[state]
        for arc in range(first, last):
            if labels[arc, 2] != DELETED:
                costs[arc] -= cost
    final[state] -= cost


@njit(nogil=True, cache=True)
def absorb(begin, extra_begin, extra_end, labels, costs, final, num_in, num_out, state, arc, size, move):
    """Joins arc `arc` of `state` with all that leaves its next state and fits (one label of each kind at most).

    What is joined is appended from row `size`; with `move` it is deleted where it was, and the rest reweighted.
    Returns the new size, or -1 where `labels` needs more room (nothing is changed then).
    """
    ilabel, olabel, nextstate = labels[arc, 0], labels[arc, 1], labels[arc, 2]
    room = begin[nextstate + 1] - begin[nextstate] + extra_end[nextstate] - extra_begin[nextstate]
    if size + room > labels.shape[0]:
        return -1
    cost = costs[arc]
    removed, kept = np.inf, np.inf
    for part in range(2):
        first = begin[nextstate] if part == 0 else extra_begin[nextstate]
        last = begin[nextstate + 1] if part == 0 else extra_end[nextstate]
        for following in range(first, last):
            if labels[following, 2] == DELETED:
                continue
            if (ilabel != 0 and labels[following, 0] != 0) or (olabel != 0 and labels[following, 1] != 0):
                kept = log_add(kept, costs[following])
                continue
            removed = log_add(removed, costs[following])
            labels[size, 0] = max(ilabel, labels[following, 0])
            labels[size, 1] = max(olabel, labels[following, 1])
            labels[size, 2] = labels[following, 2]
            costs[size] = cost + costs[following]
            size += 1
            num_out[state] += 1
            num_in[labels[following, 2]] += 1
            if move:
                num_out[nextstate] -= 1
                num_in[labels[following, 2]] -= 1
                labels[following, 2] = DELETED
    if final[nextstate] < np.inf:
        if ilabel == 0 and olabel == 0:
            removed = log_add(removed, final[nextstate])
            num_out[state] += final[state] == np.inf
            final[state] = min(final[state], cost + final[nextstate])
            if move:
                num_out[nextstate] -= 1
                final[nextstate] = np.inf
        else:
            kept = log_add(kept, final[nextstate])
    if removed < np.inf and kept == np.inf:
        num_out[state] -= 1
        num_in[nextstate] -= 1
        labels[arc, 2] = DELETED
    elif removed < np.inf:
        share = kept - log_add(removed, kept)
        costs[arc] += share
        reweight(begin, extra_begin, extra_end, labels, costs, final, nextstate, share)
    return size


@njit(nogil=True, cache=True)
def remove_local(begin, labels, costs, final, start):
    """Joins arcs across states with one way in or one way out, state by state.

    begin int64 [S + 1], labels int32 [A, 3] (ilabel, olabel, next state), costs float64 [A], final float64 [S] (changed).

    Returns extra_begin, extra_end int64 [S], labels int32 [M, 3] and costs float64 [M]: the arcs of state s are now rows
    begin[s] to begin[s + 1] and extra_begin[s] to extra_end[s], less those whose next state is -1.
    """
    num_states = final.shape[0]
    num_in = np.zeros(num_states, dtype=np.int64)
    num_out = np.zeros(num_states, dtype=np.int64)
    num_in[start] = 1
    for state in range(num_states):
        num_out[state] = begin[state + 1] - begin[state] + (final[state] < np.inf)
        for arc in range(begin[state], begin[state + 1]):
            num_in[labels[arc, 2]] += 1
    extra_begin = np.zeros(num_states, dtype=np.int64)
    extra_end = np.zeros(num_states, dtype=np.int64)
    size = labels.shape[0]
    labels, costs = grow(labels, costs)
    for state in range(num_states):
        extra_begin[state] = extra_end[state] = size
        arc = begin[state]
        while True:
            if arc == begin[state + 1]:
                arc = extra_begin[state]
            if arc >= extra_begin[state] and arc == size:
                break
            nextstate = labels[arc, 2]
            if nextstate != DELETED and nextstate != state:
                one_in = num_in[nextstate] == 1
                if num_out[nextstate] == 1 or (one_in and num_out[nextstate] > 1):
                    new_size = -1
                    while new_size < 0:
                        new_size = absorb(
                            begin, extra_begin, extra_end, labels, costs, final, num_in, num_out, state, arc, size, one_in
                        )
                        if new_size < 0:
                            labels, costs = grow(labels, costs)
                    size = new_size
                    extra_end[state] = size
            arc += 1
    return extra_begin, extra_end, labels, costs
