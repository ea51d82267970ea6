"""Best paths with given words: of the sequences that a search found, and of any words."""

import numpy as np
from numba import njit

from asrtool.io.kernel_cache import forget_older_than
from asrtool.lattice import word_search_kernels
from asrtool.lattice.word_search_kernels import longer

forget_older_than(__file__, word_search_kernels)


@njit(nogil=True, cache=True)
def _without_words(states, costs, lattice, limit, cost_of, came_by):
    """From a set of states along arcs without words.

    Args:
        states int64 [n], costs float64 [n]: the set; the others as in word_search_kernels.
        cost_of: float64 [S], all inf; is so again afterwards.
        came_by: int32 [S], to write into: the arc by which a state is reached best, -1 where it is one of the set.

    Returns:
        The best state to end in; -1 without any.
    """
    state, last = len(lattice.final_cost), -1
    for index in range(len(states)):
        cost_of[states[index]] = min(costs[index], cost_of[states[index]])
        came_by[states[index]] = -1
        state, last = min(state, states[index]), max(last, states[index])
    best, best_cost = -1, np.inf
    while state <= last:
        here = cost_of[state]
        cost_of[state] = np.inf
        if here < np.inf:
            if here + lattice.final_cost[state] < best_cost:
                best, best_cost = state, here + lattice.final_cost[state]
            for arc in range(lattice.begin[state], lattice.begin[state + 1]):
                target, cost = lattice.end[arc], here + lattice.cost[arc]
                if lattice.word[arc] == 0 and cost < cost_of[target] and cost + lattice.backward[target] <= limit:
                    cost_of[target], came_by[target] = cost, arc
                    last = max(last, target)
        state += 1
    return best


@njit(nogil=True, cache=True)
def arcs_of_sequences(lattice, limit, arc_start, found, parent, first, entry_state, entry_cost, entry_arc):
    """The best paths of the word sequences that word_search_kernels.best_word_sequences found, from what it gave.

    What stands between two words is searched again, and kept for the next sequence that begins in the same way: fast where these
    follow each other.

    Returns:
        (int64 begin [n + 1], int32 arcs): each path's arcs from its end to its start.
    """
    num_states = len(lattice.final_cost)
    most_words = 0
    for index in range(len(found)):
        length, prefix = 0, found[index]
        while prefix > 0:
            length, prefix = length + 1, parent[prefix]
        most_words = max(most_words, length)
    num_kept = min(most_words + 1, max(1, (1 << 26) // num_states))  # 256 MiB at most
    kept, ends = np.full(num_kept, -1, np.int64), np.full(num_kept, -1, np.int64)
    came_by, cost_of = np.empty((num_kept, num_states), np.int32), np.full(num_states, np.inf)
    begin, arcs, num_arcs = np.zeros(len(found) + 1, np.int64), np.empty(num_states, np.int32), 0
    for index in range(len(found)):
        depth, prefix = 0, found[index]
        while prefix > 0:
            depth, prefix = depth + 1, parent[prefix]
        arcs = longer(arcs, num_arcs + num_states)  # no path is longer
        prefix, state = found[index], -1
        while True:
            place, low, high = min(depth, num_kept - 1), first[prefix], first[prefix + 1]
            if kept[place] != prefix:
                kept[place] = prefix
                ends[place] = _without_words(entry_state[low:high], entry_cost[low:high], lattice, limit, cost_of, came_by[place])
            if state < 0:
                state = ends[place]
            while came_by[place, state] >= 0:
                arcs[num_arcs] = came_by[place, state]
                state = arc_start[arcs[num_arcs]]
                num_arcs += 1
            if prefix == 0:
                break
            while entry_state[low] != state:
                low += 1
            arcs[num_arcs] = entry_arc[low]
            state = arc_start[arcs[num_arcs]]
            num_arcs += 1
            prefix, depth = parent[prefix], depth - 1
        begin[index + 1] = num_arcs
    return begin, arcs[:num_arcs]


@njit(nogil=True, cache=True)
def best_arcs_of_words(lattice, words):
    """The cheapest path with exactly these words.

    Args:
        lattice: SearchedLattice; words: int32 [L].

    Returns:
        (int32 arcs in path order, cost): an empty path and inf where the lattice has none.
    """
    num_states = len(lattice.final_cost)
    node_arc, node_parent = np.full(1024, -1, np.int32), np.full(1024, -1, np.int32)
    node_cost, num_nodes = np.zeros(1024), 1
    here, after = np.full(num_states, -1, np.int32), np.full(num_states, -1, np.int32)  # nodes at this number of words, and next
    here[0] = 0
    lowest, highest = 0, 0
    best, best_node = np.inf, -1
    for position in range(len(words) + 1):
        next_lowest, next_highest = num_states, -1
        state = lowest
        while state <= highest:
            node = here[state]
            here[state] = -1
            if node >= 0:
                if position == len(words) and node_cost[node] + lattice.final_cost[state] < best:
                    best, best_node = node_cost[node] + lattice.final_cost[state], node
                needed = num_nodes + lattice.begin[state + 1] - lattice.begin[state]
                if needed > len(node_arc):
                    node_arc, node_parent = longer(node_arc, needed), longer(node_parent, needed)
                    node_cost = longer(node_cost, needed)
                for arc in range(lattice.begin[state], lattice.begin[state + 1]):
                    target, cost = lattice.end[arc], node_cost[node] + lattice.cost[arc]
                    silent = lattice.word[arc] == 0
                    if not silent and (position == len(words) or lattice.word[arc] != words[position]):
                        continue
                    index = here[target] if silent else after[target]
                    if index < 0:
                        index = num_nodes
                        node_cost[index] = np.inf
                        num_nodes += 1
                    if cost < node_cost[index]:
                        node_cost[index], node_arc[index], node_parent[index] = cost, arc, node
                    if silent:
                        here[target] = index
                        highest = max(highest, target)
                    else:
                        after[target] = index
                        next_lowest, next_highest = min(next_lowest, target), max(next_highest, target)
            state += 1
        here, after, lowest, highest = after, here, next_lowest, next_highest
    length, node = 0, best_node
    while node > 0:
        length, node = length + 1, node_parent[node]
    path, node = np.empty(length, np.int32), best_node
    while node > 0:
        length -= 1
        path[length], node = node_arc[node], node_parent[node]
    return path, best
