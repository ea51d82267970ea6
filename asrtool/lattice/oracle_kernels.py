"""The path of a lattice that is nearest to a reference, by dynamic programming over states and reference positions."""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def _relax(errors, costs, state, position, new_errors, new_cost):
    """Keeps the pair that has fewer errors, or as many and the lower cost."""
    if new_errors < errors[state, position] or (new_errors == errors[state, position] and new_cost < costs[state, position]):
        errors[state, position], costs[state, position] = new_errors, new_cost


@njit(nogil=True, cache=True)
def errors_to_go(arc_start, arc_end, arc_word, arc_cost, final_cost, reference):
    """The fewest errors from every state and reference position to the end, and the lowest cost with so few.

    Args:
        arc_start, arc_end, arc_word: int32 [A], topological and sorted by arc_start; word 0 is none.
        arc_cost: float64 [A]; final_cost: float64 [S], inf where not final.
        reference: int32 [R].

    Returns:
        (int32 [S, R + 1], float64 [S, R + 1]): 2^30 and inf where no path leads to the end.
    """
    num_states, length = len(final_cost), len(reference)
    errors, costs = np.full((num_states, length + 1), 1 << 30, np.int32), np.full((num_states, length + 1), np.inf)
    arc = len(arc_start) - 1
    for state in range(num_states - 1, -1, -1):
        if final_cost[state] < np.inf:
            errors[state, length], costs[state, length] = 0, final_cost[state]
        while arc >= 0 and arc_start[arc] == state:
            end, word, cost = arc_end[arc], arc_word[arc], arc_cost[arc]
            for position in range(length + 1):
                if costs[end, position] + cost < np.inf:  # no word, or an insertion
                    _relax(errors, costs, state, position, errors[end, position] + (word != 0), costs[end, position] + cost)
                if word != 0 and position < length and costs[end, position + 1] + cost < np.inf:
                    wrong = errors[end, position + 1] + (word != reference[position])
                    _relax(errors, costs, state, position, wrong, costs[end, position + 1] + cost)
            arc -= 1
        for position in range(length - 1, -1, -1):  # deletions
            if costs[state, position + 1] < np.inf:
                _relax(errors, costs, state, position, errors[state, position + 1] + 1, costs[state, position + 1])
    return errors, costs


@njit(nogil=True, cache=True)
def nearest_path(arc_begin, arc_end, arc_word, arc_cost, reference, errors, costs):
    """Follows errors_to_go from the start.

    Args:
        arc_begin: int64 [S + 1], arcs of a state; the others as there, and what it gave (with a path from the start).

    Returns:
        (int32 arcs in path order, insertions, deletions, substitutions).
    """
    num_states, length = len(arc_begin) - 1, len(reference)
    path, num_arcs = np.empty(max(num_states - 1, 0), np.int32), 0
    inserted, deleted, replaced = 0, 0, 0
    state, position = 0, 0
    while True:
        goal, goal_cost = errors[state, position], costs[state, position]
        chosen, step = -1, 0
        for arc in range(arc_begin[state], arc_begin[state + 1]):
            end, word, cost = arc_end[arc], arc_word[arc], arc_cost[arc]
            if word != 0 and position < length:
                wrong = errors[end, position + 1] + (word != reference[position])
                if wrong == goal and costs[end, position + 1] + cost == goal_cost:
                    chosen, step = arc, 1
                    break
            if errors[end, position] + (word != 0) == goal and costs[end, position] + cost == goal_cost:
                chosen, step = arc, 0
                break
        if chosen >= 0:
            path[num_arcs] = chosen
            num_arcs += 1
            inserted += step == 0 and arc_word[chosen] != 0
            replaced += step == 1 and arc_word[chosen] != reference[position]
            state = arc_end[chosen]
            position += step
        elif position < length:
            deleted += 1
            position += 1
        else:
            return path[:num_arcs].copy(), inserted, deleted, replaced
