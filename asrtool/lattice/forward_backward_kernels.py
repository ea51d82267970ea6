"""Sums over all paths of a lattice, in logs: one pass over its arcs each way."""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def sum_paths(arc_start, arc_end, arc_cost, final_cost):
    """Forward and backward sums in the log semiring.

    A sum is kept as (largest term m, sum of exp(term - m)), so that an arc takes one exp.

    Args:
        arc_start, arc_end: int32 [A], sorted by arc_start, each arc leading to a later state; state 0 is the start.
        arc_cost: float64 [A], > -inf.
        final_cost: float64 [S], inf where not final.

    Returns:
        (alpha [S], beta [S], posterior [A]), float64: the log of the sum over paths from the start to a state, over those from it
        to the end (its final cost included), and every arc's share of all paths; -inf or 0 where there are none.
    """
    num_states, num_arcs = len(final_cost), len(arc_start)
    alpha, share = np.full(num_states, -np.inf), np.zeros(num_states)
    beta, posterior = np.full(num_states, -np.inf), np.zeros(num_arcs)
    if num_states == 0:
        return alpha, beta, posterior
    alpha[0], share[0] = 0.0, 1.0
    arc = 0
    for state in range(num_states):
        if share[state] > 0.0:
            alpha[state] += np.log(share[state])
        while arc < num_arcs and arc_start[arc] == state:
            term, end = alpha[state] - arc_cost[arc], arc_end[arc]
            if term > alpha[end]:
                share[end] = share[end] * np.exp(alpha[end] - term) + 1.0
                alpha[end] = term
            elif term > -np.inf:
                share[end] += np.exp(term - alpha[end])
            arc += 1
    arc = num_arcs - 1
    for state in range(num_states - 1, -1, -1):
        largest = -final_cost[state]
        total = 1.0 if largest > -np.inf else 0.0
        while arc >= 0 and arc_start[arc] == state:
            term = beta[arc_end[arc]] - arc_cost[arc]
            if term > largest:
                total = total * np.exp(largest - term) + 1.0
                largest = term
            elif term > -np.inf:
                total += np.exp(term - largest)
            arc -= 1
        if total > 0.0:
            beta[state] = largest + np.log(total)
    if beta[0] > -np.inf:
        for arc in range(num_arcs):
            posterior[arc] = np.exp(alpha[arc_start[arc]] - arc_cost[arc] + beta[arc_end[arc]] - beta[0])
    return alpha, beta, posterior


@njit(nogil=True, cache=True)
def sum_paths_of_words(arc_start, arc_end, arc_word, arc_cost, final_cost, words):
    """The log of the sum over the paths with exactly the words int32 [L]; -inf without any. The others as in sum_paths."""
    num_states, length = len(final_cost), len(words)
    alpha = np.full((num_states, length + 1), -np.inf)
    alpha[0, 0] = 0.0
    for arc in range(len(arc_start)):
        start, end, word = arc_start[arc], arc_end[arc], arc_word[arc]
        step = 1 if word != 0 else 0
        for position in range(length + 1 - step):
            term = alpha[start, position] - arc_cost[arc]
            if term > -np.inf and (step == 0 or words[position] == word):
                alpha[end, position + step] = np.logaddexp(alpha[end, position + step], term)
    total = -np.inf
    for state in range(num_states):
        total = np.logaddexp(total, alpha[state, length] - final_cost[state])
    return total
