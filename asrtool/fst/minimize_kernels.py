"""Trimming and minimisation over arrays (see minimize.py); a graph's arcs of state s are arc_begin[s] to arc_begin[s + 1]."""

import numpy as np
from numba import njit

U = np.uint64


@njit(nogil=True, cache=True)
def useful_states(start, arc_begin, arc_nextstate, is_final, seen):
    """Sets bits in `seen` uint8 [S], zeros so far: 1 for states that the start leads to, 2 for those that lead to a final one.

    arc_begin int64 [S + 1], arc_nextstate int32 [A], is_final bool [S].
    """
    num_states = len(seen)
    stack = np.empty(num_states, np.int32)
    stack[0], height = start, 1
    seen[start] = 1
    while height > 0:
        height -= 1
        state = stack[height]
        for arc in range(arc_begin[state], arc_begin[state + 1]):
            to = arc_nextstate[arc]
            if seen[to] == 0:
                seen[to] = 1
                stack[height] = to
                height += 1
    begin = np.zeros(num_states + 1, np.int64)  # of the arcs into each state
    for arc in range(len(arc_nextstate)):
        begin[arc_nextstate[arc] + 1] += 1
    for state in range(num_states):
        begin[state + 1] += begin[state]
    source = np.empty(len(arc_nextstate), np.int32)
    for state in range(num_states):
        for arc in range(arc_begin[state], arc_begin[state + 1]):
            to = arc_nextstate[arc]
            source[begin[to]] = state
            begin[to] += 1  # ends as the end of the state's arcs, which is where the next one's began
    for state in range(num_states):
        if is_final[state]:
            seen[state] |= 2
            stack[height] = state
            height += 1
    while height > 0:
        height -= 1
        state = stack[height]
        for i in range(begin[state - 1] if state > 0 else 0, begin[state]):
            if seen[source[i]] & 2 == 0:
                seen[source[i]] |= 2
                stack[height] = source[i]
                height += 1


@njit(nogil=True, cache=True)
def mix(value):
    """A uint64 whose bits all depend on all bits of `value` (the finaliser of splitmix64)."""
    value = (value ^ (value >> U(30))) * U(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> U(27))) * U(0x94D049BB133111EB)
    return value ^ (value >> U(31))


@njit(nogil=True, cache=True)
def refine(states, arc_begin, arc_ilabel, arc_olabel, arc_cost, arc_nextstate, final_cost, old, new):
    """Tells `states` int32 [N] apart by their arcs' labels, costs and next classes: new from the classes old, both uint64 [S].

    Costs are int32, the bits of float32. States of the same class that have the same arcs in any order stay in one class; others
    get different numbers but for a chance of 2^-64 a pair.
    """
    for state in states:
        total = U(0)
        for arc in range(arc_begin[state], arc_begin[state + 1]):
            labels = U(arc_ilabel[arc]) << U(32) | U(arc_olabel[arc])
            value = mix(labels + U(0x9E3779B97F4A7C15)) ^ (U(np.uint32(arc_cost[arc])) * U(0xC2B2AE3D27D4EB4F))
            total += mix(value ^ mix(old[arc_nextstate[arc]] + U(0x165667B19E3779F9)))
        new[state] = mix(total ^ mix(U(np.uint32(final_cost[state])) + U(0x27D4EB2F165667C5)))


@njit(nogil=True, cache=True)
def number_classes(values, table, class_of):
    """Numbers equal values uint64 [S] alike, from 0 in the order in which they first occur; returns how many there are.

    table int32 [2^k], above S: scratch; class_of int32 [S + 1], written: the classes, then one row of scratch.
    """
    table[:] = -1
    count = 0
    for state in range(len(values)):
        at = values[state] & U(len(table) - 1)
        while table[at] >= 0 and values[table[at]] != values[state]:
            at = (at + U(1)) & U(len(table) - 1)
        if table[at] < 0:
            table[at] = state
            class_of[state] = count
            count += 1
        else:
            class_of[state] = class_of[table[at]]
    return count


@njit(nogil=True, cache=True)
def list_arcs(arc_begin, chosen, new_begin, arcs):
    """Lists in arcs int64 [A'] the arcs of the states `chosen` int32 [C]; new_begin int64 [C + 1]: where each state's begin."""
    size = 0
    for number in range(len(chosen)):
        new_begin[number] = size
        for arc in range(arc_begin[chosen[number]], arc_begin[chosen[number] + 1]):
            arcs[size] = arc
            size += 1
    new_begin[len(chosen)] = size
