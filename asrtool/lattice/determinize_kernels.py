"""Word-level determinisation of a lattice: sets of its states and their strings (see determinize.py for the method)."""

import numpy as np
from numba import njit

ELEMENT = np.dtype([("state", "i4"), ("cost", "f8"), ("graph", "f8"), ("acoustic", "f8"), ("string", "i8")], align=True)
"""A state of a subset: its residual cost (weighed), the same split in two, and where its residual string begins."""

SUBSET = np.dtype(
    [
        ("begin", "i8"), ("end", "i8"), ("hash", "i8"), ("frame", "i4"), ("next", "i4"),
        ("forward", "f8"), ("number", "i4"),
        ("target", "i4"), ("string", "i8"), ("length", "i4"), ("cost", "f8"), ("graph", "f8"), ("acoustic", "f8"),
    ],
    align=True,
)  # fmt: skip
"""Elements begin:end whose residual strings start at `frame`; a state's cost from the start and number in the result; or, for a
subset before its closure, the state `target` that the closure leads to, and the string and costs given out on the way."""

ARC = np.dtype(
    [("start", "i4"), ("end", "i4"), ("word", "i4"), ("graph", "f8"), ("acoustic", "f8"), ("string", "i8")], align=True
)

# what is in use: elements, string elements, subsets before closure, states, arcs, elements of the arcs' strings
ELEMENTS, STRINGS, INITIAL, STATES, ARCS, OUT = 0, 1, 2, 3, 4, 5
NO_ROOM = -1


@njit(nogil=True, cache=True)
def backward_costs(arcs, final_cost):
    """float64 [S]: cost of the best path from a state to the end; arcs CHAIN [A] in topological order, final_cost float64 [S]."""
    back = final_cost.copy()
    for arc in range(len(arcs) - 1, -1, -1):
        cost = arcs[arc].cost + back[arcs[arc].end]
        if cost < back[arcs[arc].start]:
            back[arcs[arc].start] = cost
    return back


@njit(nogil=True, cache=True)
def common_prefix(elements, strings, begin, end, first_frame, frame):
    """Length of the prefix that the strings of elements begin:end share; a string has frame[state] - first_frame elements."""
    first = elements[begin].string
    length = frame[elements[begin].state] - first_frame
    for i in range(begin + 1, end):
        length = min(length, frame[elements[i].state] - first_frame)
        at = elements[i].string
        k = 0
        while k < length and strings[first + k] == strings[at + k]:
            k += 1
        length = k
    return length


@njit(nogil=True, cache=True)
def take_out(elements, strings, begin, end, prefix, first_frame, frame, string_end):
    """Takes the prefix off the strings of elements begin:end, which move up to `string_end`, and the best cost off the costs.

    Returns (cost, graph, acoustic) taken off, the end of the strings, and the hash of states and strings.
    """
    best = begin
    for i in range(begin + 1, end):
        if elements[i].cost < elements[best].cost:
            best = i
    cost, graph, acoustic = elements[best].cost, elements[best].graph, elements[best].acoustic
    code = np.int64(first_frame + prefix)
    for i in range(begin, end):
        elements[i].cost -= cost
        elements[i].graph -= graph
        elements[i].acoustic -= acoustic
        state = elements[i].state
        code = code * np.int64(6364136223846793005) + state + 1
        at = elements[i].string + prefix
        elements[i].string = string_end
        for k in range(frame[state] - first_frame - prefix):
            strings[string_end] = strings[at + k]
            code = code * np.int64(1099511628211) + strings[string_end]
            string_end += 1
    return cost, graph, acoustic, string_end, code ^ (code >> 29)


@njit(nogil=True, cache=True)
def find(table, subsets, elements, strings, begin, end, first_frame, code, frame, delta):
    """(the table's subset with the same states, strings and, within delta, costs, or -1; the place for a new one)."""
    mask = len(table) - 1
    place = code & mask
    while table[place] >= 0:
        known = subsets[table[place]]
        if known.hash == code and known.frame == first_frame and known.end - known.begin == end - begin:
            shift = known.begin - begin
            same = True
            for i in range(begin, end):
                state = elements[i].state
                if state != elements[i + shift].state or not abs(elements[i].cost - elements[i + shift].cost) <= delta:
                    same = False
                    break
                at, other = elements[i].string, elements[i + shift].string
                for k in range(frame[state] - first_frame):
                    if strings[at + k] != strings[other + k]:
                        same = False
                        break
                if not same:
                    break
            if same:
                return np.int64(table[place]), place
        place = (place + 1) & mask
    return np.int64(-1), place


@njit(nogil=True, cache=True)
def spread(lattice, elements, begin, end, beam, scratch):
    """Best ways from a subset over arcs without words, to states that have arcs with words and to the end.

    lattice: (arc_begin int64 [S + 1]; arcs CHAIN [A], whose words are numbered from 1; their transition-ids int32; final_cost,
    back float64 [S + 1], frame int32 [S + 1]); state S is the end.
    scratch: (cost float64 [S + 1], came_by int32 [S + 1] (an arc, or -1 - element), pending, blocks bool, kept int32 [S + 1]).

    Ways worse than the subset's best path by more than `beam` are left out. Returns the number of states in `kept`, ascending.
    """
    arc_begin, arcs, _, final_cost, back, _ = lattice
    cost, came_by, pending, blocks, kept = scratch
    limit = np.inf
    last = 0
    for i in range(begin, end):
        state = elements[i].state
        cost[state], came_by[state], pending[state], blocks[state >> 6] = elements[i].cost, begin - 1 - i, True, True
        limit = min(limit, elements[i].cost + back[state])
        last = max(last, state)
    limit += beam
    num_kept = 0
    end_state = len(final_cost) - 1
    end_cost, before_end = np.inf, -1
    block = elements[begin].state >> 6
    while block <= last >> 6:
        if blocks[block]:
            for state in range(block << 6, min((block + 1) << 6, end_state)):
                if not pending[state]:
                    continue
                pending[state] = False
                here = cost[state]
                if here + back[state] > limit:
                    continue
                if here + final_cost[state] < end_cost:
                    end_cost, before_end = here + final_cost[state], state
                useful = False
                for arc in range(arc_begin[state], arc_begin[state + 1]):
                    to = arcs[arc].end
                    new_cost = here + arcs[arc].cost
                    if new_cost + back[to] > limit:
                        continue
                    if arcs[arc].word:
                        useful = True
                    elif not pending[to] or new_cost < cost[to]:
                        cost[to], came_by[to], pending[to], blocks[to >> 6] = new_cost, arc, True, True
                        last = max(last, to)
                if useful:
                    kept[num_kept] = state
                    num_kept += 1
            blocks[block] = False
        block += 1
    if end_cost <= limit:
        cost[end_state], came_by[end_state], kept[num_kept] = end_cost, before_end, end_state
        num_kept += 1
    return num_kept


@njit(nogil=True, cache=True)
def trace(lattice, elements, strings, begin, first_frame, scratch, num_kept, into, string_end):
    """Makes elements of the states in `kept`, from number `into` on, with whole strings and costs.

    Returns the end of the strings, NO_ROOM where there is none.
    """
    _, arcs, tids, final_cost, _, frame = lattice
    cost, came_by, _, _, kept = scratch
    if into + num_kept > len(elements):
        return np.int64(NO_ROOM)
    for i in range(num_kept):
        state = kept[i]
        length = frame[state] - first_frame
        if string_end + length > len(strings):
            return np.int64(NO_ROOM)
        new = into + i
        elements[new].state, elements[new].cost, elements[new].string = state, cost[state], string_end
        graph, acoustic = 0.0, 0.0
        if state == len(frame) - 1:
            state = came_by[state]
            graph = final_cost[state]
        at = string_end + length
        while came_by[state] >= 0:
            arc = came_by[state]
            at -= arcs[arc].length
            source = arcs[arc].string
            for k in range(arcs[arc].length):
                strings[at + k] = tids[source + k]
            graph += arcs[arc].graph
            acoustic += arcs[arc].acoustic
            state = arcs[arc].start
        origin = begin - 1 - came_by[state]
        elements[new].graph, elements[new].acoustic = graph + elements[origin].graph, acoustic + elements[origin].acoustic
        source = elements[origin].string
        for k in range(at - string_end):
            strings[string_end + k] = strings[source + k]
        string_end += length
    return string_end
