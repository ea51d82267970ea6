"""Composition of a lattice with an n-gram model: a lattice's state for each history that the model tells apart there."""

import numpy as np
from numba import njit

from asrtool.io.kernel_cache import forget_older_than
from asrtool.lm import compact_kernels
from asrtool.lm.compact_kernels import START_STATE, advance, final_cost

forget_older_than(__file__, compact_kernels)

MODEL, LATTICE, NEXT, NUMBER = 0, 1, 2, 3  # columns of pairs
START, END, PARENT = 0, 1, 2  # columns of arcs


@njit(nogil=True, cache=True)
def find_slot(slots, pairs, lattice, model):
    """The place in the hash table `slots` (int32 [power of two], -1 where free) of a pair, or the free one where it belongs."""
    mixed = np.uint64(lattice) * np.uint64(0x9E3779B97F4A7C15) ^ np.uint64(model) * np.uint64(0xC2B2AE3D27D4EB4F)
    slot = np.int64((mixed ^ (mixed >> np.uint64(29))) & np.uint64(len(slots) - 1))
    while slots[slot] >= 0 and (pairs[slots[slot], LATTICE] != lattice or pairs[slots[slot], MODEL] != model):
        slot = (slot + 1) & (len(slots) - 1)
    return slot


@njit(nogil=True, cache=True)
def reserve_pairs(pairs, slots, number):
    """(pairs, slots) with room for one pair more: the same, or copies of twice the size."""
    if number < len(pairs):
        return pairs, slots
    new_pairs, new_slots = np.empty((2 * number, 4), np.int64), np.empty(2 * len(slots), np.int32)
    for slot in range(len(new_slots)):
        new_slots[slot] = -1
    for pair in range(number):
        for column in range(4):  # copying slices takes seconds to compile
            new_pairs[pair, column] = pairs[pair, column]
        new_slots[find_slot(new_slots, new_pairs, new_pairs[pair, LATTICE], new_pairs[pair, MODEL])] = pair
    return new_pairs, new_slots


@njit(nogil=True, cache=True)
def reserve_arcs(arcs, costs, number):
    """(arcs, costs) with room for one arc more: the same, or copies of twice the size."""
    if number < len(arcs):
        return arcs, costs
    new_arcs, new_costs = np.empty((2 * number, 3), np.int32), np.empty(2 * number, np.float64)
    for arc in range(number):
        new_arcs[arc, 0], new_arcs[arc, 1], new_arcs[arc, 2] = arcs[arc, 0], arcs[arc, 1], arcs[arc, 2]
        new_costs[arc] = costs[arc]
    return new_arcs, new_costs


@njit(nogil=True, cache=True)
def add_pair(pairs, slots, first, last, number, lattice, model):
    """The index of a pair; if it is new (index `number`) it is added to the end of its lattice state's list."""
    slot = find_slot(slots, pairs, lattice, model)
    if slots[slot] >= 0:
        return slots[slot]
    slots[slot] = number
    pairs[number, MODEL], pairs[number, LATTICE], pairs[number, NEXT] = model, lattice, -1
    if last[lattice] < 0:
        first[lattice] = number
    else:
        pairs[last[lattice], NEXT] = number
    last[lattice] = number
    return slots[slot]


@njit(nogil=True, cache=True)
def compose(arrays, arc_begin, arc_end, arc_word, word_ids, is_final, max_states):
    """Expands a lattice's states by the model's.

    Args:
        arrays: as `CompactNgram.arrays`.
        arc_begin: int64 [S + 1], the arcs of a state; arc_end, arc_word: int32 [A], topological; state 0 is the start.
        word_ids: int32 [W], the model's id of a word, or -1; words are below W, 0 is none and costs nothing.
        is_final: bool [S].
        max_states: when more are made it stops.

    Returns:
        (int32 [A', 3]: start, end, the lattice's arc, sorted by start; float64 [A'], the arcs' costs; int32 [S'], the lattice's
        state of each new one, ascending; float64 [S'], the cost of the sentence's end, 0 where not final). Costs are the model's
        alone, inf for a word that it does not have. Without any new state if there were too many.
    """
    first = np.full(len(is_final), np.int64(-1))
    last = first.copy()
    pairs, slots = np.empty((1024, 4), np.int64), np.full(4096, np.int32(-1))
    arcs, costs = np.empty((1024, 3), np.int32), np.empty(1024, np.float64)
    num_pairs, num_arcs, num_done = 0, 0, 0
    if len(is_final):
        add_pair(pairs, slots, first, last, 0, np.int64(0), arrays[0][0, START_STATE])
        num_pairs = 1
    for state in range(len(is_final)):
        pair = first[state]
        while pair >= 0:
            for arc in range(arc_begin[state], arc_begin[state + 1]):
                model, cost = pairs[pair, MODEL], 0.0
                if arc_word[arc] != 0:
                    model, cost = advance(arrays, model, np.int64(word_ids[arc_word[arc]]))
                pairs, slots = reserve_pairs(pairs, slots, num_pairs)
                arcs, costs = reserve_arcs(arcs, costs, num_arcs)
                end = add_pair(pairs, slots, first, last, num_pairs, np.int64(arc_end[arc]), model)
                num_pairs += 1 if end == num_pairs else 0
                arcs[num_arcs, START], arcs[num_arcs, END], arcs[num_arcs, PARENT] = num_done, end, arc
                costs[num_arcs] = cost
                num_arcs += 1
            pairs[pair, NUMBER] = num_done
            num_done += 1
            pair = pairs[pair, NEXT]
        if num_pairs > max_states:
            return arcs[:0], costs[:0], np.empty(0, np.int32), np.empty(0)
    lattice_state, end_cost = np.empty(num_pairs, np.int32), np.zeros(num_pairs)
    for pair in range(num_pairs):
        number, state = pairs[pair, NUMBER], pairs[pair, LATTICE]
        lattice_state[number] = state
        if is_final[state]:
            end_cost[number] = final_cost(arrays, pairs[pair, MODEL])
    for arc in range(num_arcs):
        arcs[arc, END] = pairs[arcs[arc, END], NUMBER]
    return arcs[:num_arcs], costs[:num_arcs], lattice_state, end_cost
