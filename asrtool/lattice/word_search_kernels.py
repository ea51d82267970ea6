"""Word sequences of a lattice, each once, whatever its number of paths: the N best, and how many there are.

A word sequence is followed as a set of (state, cost of the best path with these words to it): the determinisation of the lattice,
made only where the search comes by. Loops stand where numpy has a function: slices, argsort and min cost seconds to compile.
"""

from typing import NamedTuple

import numpy as np
from numba import njit


class SearchedLattice(NamedTuple):
    """A lattice with S states and A arcs, topological; its arcs sorted by the state that they leave.

    Attributes:
        begin: int64 [S + 1]; state s has the arcs begin[s]:begin[s + 1].
        end, word: int32 [A], the state that an arc leads to and its word, 0 for none.
        cost: float64 [A].
        backward: float64 [S], cost of the best path from a state to the end.
        final_cost: float64 [S], inf where not final.
    """

    begin: np.ndarray
    end: np.ndarray
    word: np.ndarray
    cost: np.ndarray
    backward: np.ndarray
    final_cost: np.ndarray


@njit(nogil=True, cache=True)
def _sort(keys, values, others, count):
    """Sorts the first `count` keys (Shell's sort), the values and others along with them."""
    gap = count // 2
    while gap > 0:
        for index in range(gap, count):
            key, value, other, place = keys[index], values[index], others[index], index
            while place >= gap and keys[place - gap] > key:
                keys[place], values[place], others[place] = keys[place - gap], values[place - gap], others[place - gap]
                place -= gap
            keys[place], values[place], others[place] = key, value, other
        gap //= 2


@njit(nogil=True, cache=True)
def _push(priorities, items, size, priority, item):
    """Adds to a heap of `size` whose smallest (priority, item) is on top; the arrays have room."""
    place = size
    while place > 0:
        above = (place - 1) // 2
        if priorities[above] < priority or (priorities[above] == priority and items[above] <= item):
            break
        priorities[place], items[place] = priorities[above], items[above]
        place = above
    priorities[place], items[place] = priority, item


@njit(nogil=True, cache=True)
def _drop_top(priorities, items, size):
    """Takes the top off a heap, which has `size` elements afterwards."""
    priority, item, place = priorities[size], items[size], 0
    while 2 * place + 1 < size:
        below = 2 * place + 1
        other = below + 1
        if other < size and (
            priorities[other] < priorities[below] or (priorities[other] == priorities[below] and items[other] < items[below])
        ):
            below = other
        if priority < priorities[below] or (priority == priorities[below] and item <= items[below]):
            break
        priorities[place], items[place] = priorities[below], items[below]
        place = below
    priorities[place], items[place] = priority, item


@njit(nogil=True, cache=True)
def _advance(states, costs, lattice, limit, cost_of, keys, key_costs, key_arcs):
    """One word further: from a set of states along arcs without words, then one with a word.

    Args:
        states int64 [n], costs float64 [n]: where a word sequence may stand, and at what cost.
        cost_of: float64 [S], all inf; is so again afterwards.
        keys, key_costs, key_arcs: int64, float64, int32 [A], to write into.

    Returns:
        (m, end): the first m of keys are word * S + state, sorted, each once, with their costs and the arcs into them, of those
        that a path of cost <= limit goes on from; end is the cost of ending with the words so far.
    """
    num_states = len(lattice.final_cost)
    state, last = num_states, -1
    for index in range(len(states)):
        cost_of[states[index]] = min(costs[index], cost_of[states[index]])
        state, last = min(state, states[index]), max(last, states[index])
    end, count = np.inf, 0
    while state <= last:
        here = cost_of[state]
        cost_of[state] = np.inf
        if here < np.inf:
            end = min(end, here + lattice.final_cost[state])
            for arc in range(lattice.begin[state], lattice.begin[state + 1]):
                target, cost = lattice.end[arc], here + lattice.cost[arc]
                if not cost + lattice.backward[target] <= limit:
                    continue
                if lattice.word[arc] == 0:
                    cost_of[target] = min(cost_of[target], cost)
                    last = max(last, target)
                else:
                    keys[count] = np.int64(lattice.word[arc]) * num_states + target
                    key_costs[count], key_arcs[count] = cost, arc
                    count += 1
        state += 1
    _sort(keys, key_costs, key_arcs, count)
    kept = 0
    for index in range(count):
        if kept > 0 and keys[index] == keys[kept - 1]:
            if key_costs[index] < key_costs[kept - 1]:
                key_costs[kept - 1], key_arcs[kept - 1] = key_costs[index], key_arcs[index]
        else:
            keys[kept], key_costs[kept], key_arcs[kept] = keys[index], key_costs[index], key_arcs[index]
            kept += 1
    return kept, end


@njit(nogil=True, cache=True)
def longer(array, size):
    """The array, copied to twice its length and more where it has not `size` elements."""
    if size <= len(array):
        return array
    result = np.empty(2 * size, array.dtype)
    for index in range(len(array)):
        result[index] = array[index]
    return result


@njit(nogil=True, cache=True)
def best_word_sequences(lattice, num_best, limit):
    """The `num_best` cheapest word sequences by A* search; the cost to the end is known, so none is followed in vain.

    Args:
        lattice: SearchedLattice.
        limit: sequences that cost more are left out.

    Returns:
        (found int64 [n], costs float64 [n], parent int64, first int64, entry_state int64, entry_cost float64, entry_arc int32).

        The n sequences from the cheapest, equal costs in a fixed order, are leaves of a tree of prefixes with the root 0. Prefix
        p has the parent[p] and the entries first[p]:first[p + 1]: a state, the cost of the best path to it, the last word's arc.
    """
    num_states, num_arcs = len(lattice.final_cost), len(lattice.end)
    cost_of = np.full(num_states, np.inf)
    keys, key_costs, key_arcs = np.empty(num_arcs, np.int64), np.empty(num_arcs), np.empty(num_arcs, np.int32)
    entry_state, entry_cost, num_entries = np.zeros(1024, np.int64), np.zeros(1024), 1
    entry_arc = np.full(1024, -1, np.int32)
    first, parent = np.zeros(256, np.int64), np.full(256, -1, np.int64)
    num_prefixes = 1
    first[1] = 1
    found, costs = np.empty(256, np.int64), np.empty(256)
    num_found = 0
    priorities, items, size = np.empty(256), np.empty(256, np.int64), 1
    priorities[0], items[0] = lattice.backward[0], 0
    while size > 0 and num_found < num_best and priorities[0] <= limit:
        priority, item = priorities[0], items[0]
        size -= 1
        _drop_top(priorities, items, size)
        if item < 0:
            found, costs = longer(found, num_found + 1), longer(costs, num_found + 1)
            found[num_found], costs[num_found] = -1 - item, priority
            num_found += 1
            continue
        begin, stop = first[item], first[item + 1]
        count, end = _advance(entry_state[begin:stop], entry_cost[begin:stop], lattice, limit, cost_of, keys, key_costs, key_arcs)
        priorities, items = longer(priorities, size + count + 1), longer(items, size + count + 1)
        if end <= limit:
            _push(priorities, items, size, end, -1 - item)
            size += 1
        needed = num_entries + count
        entry_state, entry_cost, entry_arc = longer(entry_state, needed), longer(entry_cost, needed), longer(entry_arc, needed)
        first, parent = longer(first, num_prefixes + count + 1), longer(parent, num_prefixes + count)
        index = 0
        while index < count:
            this_word, cheapest = keys[index] // num_states, np.inf
            while index < count and keys[index] // num_states == this_word:
                state = keys[index] % num_states
                entry_state[num_entries], entry_cost[num_entries] = state, key_costs[index]
                entry_arc[num_entries] = key_arcs[index]
                cheapest = min(cheapest, key_costs[index] + lattice.backward[state])
                num_entries += 1
                index += 1
            first[num_prefixes + 1], parent[num_prefixes] = num_entries, item
            _push(priorities, items, size, cheapest, num_prefixes)
            size += 1
            num_prefixes += 1
    return found[:num_found], costs[:num_found], parent, first, entry_state, entry_cost, entry_arc


@njit(nogil=True, cache=True)
def count_word_sequences(lattice, limit, most):
    """How many different word sequences cost at most `limit`; counting stops at `most`. Arguments as in best_word_sequences."""
    num_states, num_arcs = len(lattice.final_cost), len(lattice.end)
    cost_of = np.full(num_states, np.inf)
    keys, key_costs, key_arcs = np.empty(num_arcs, np.int64), np.empty(num_arcs), np.empty(num_arcs, np.int32)
    entry_state, entry_cost, num_entries = np.zeros(1024, np.int64), np.zeros(1024), 1
    first, num_waiting = np.zeros(256, np.int64), 1  # a stack; the last of the waiting has the last entries
    total = 0
    while num_waiting > 0 and total < most:
        num_waiting -= 1
        begin = first[num_waiting]
        count, end = _advance(
            entry_state[begin:num_entries], entry_cost[begin:num_entries], lattice, limit, cost_of, keys, key_costs, key_arcs
        )
        total += end <= limit
        num_entries = begin
        entry_state, entry_cost = longer(entry_state, num_entries + count), longer(entry_cost, num_entries + count)
        first = longer(first, num_waiting + count)
        for index in range(count):
            if index == 0 or keys[index] // num_states != keys[index - 1] // num_states:
                first[num_waiting] = num_entries
                num_waiting += 1
            entry_state[num_entries], entry_cost[num_entries] = keys[index] % num_states, key_costs[index]
            num_entries += 1
    return total
