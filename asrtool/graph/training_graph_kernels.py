"""Construction of training graphs: phone arcs -> HMMs in context -> states and arcs."""

import numpy as np
from numba import njit

from asrtool.io.kernel_cache import forget_older_than
from asrtool.tree import event_map_kernels
from asrtool.tree.event_map_kernels import map_event

forget_older_than(__file__, event_map_kernels)


@njit(nogil=True, cache=True)
def phones_at_nodes(arcs, num_nodes, side, boundary):
    """The different phones on the arcs into (side 1) or out of (side 0) each node.

    arcs int32 [A, 4]; boundary bool [V]: nodes where the utterance may start or end, for which phone 0 is added in front.

    Returns begin int64 [V + 1], values int32 (those of node v are values[begin[v] : begin[v + 1]]), and index int32 [A]:
    the place of each arc's phone among its node's values.
    """
    room = np.zeros(num_nodes + 1, dtype=np.int64)
    for arc in range(arcs.shape[0]):
        room[arcs[arc, side] + 1] += 1
    for node in range(num_nodes):
        room[node + 1] += room[node] + (1 if boundary[node] else 0)
    values = np.zeros(room[num_nodes], dtype=np.int32)
    size = np.zeros(num_nodes, dtype=np.int64)
    for node in range(num_nodes):
        if boundary[node]:
            size[node] = 1
    index = np.empty(arcs.shape[0], dtype=np.int32)
    for arc in range(arcs.shape[0]):
        node = arcs[arc, side]
        place = 0
        while place < size[node] and values[room[node] + place] != arcs[arc, 2]:
            place += 1
        values[room[node] + place] = arcs[arc, 2]
        size[node] = max(size[node], place + 1)
        index[arc] = place
    begin = np.zeros(num_nodes + 1, dtype=np.int64)
    for node in range(num_nodes):
        begin[node + 1] = begin[node] + size[node]
        for place in range(size[node]):
            values[begin[node] + place] = values[room[node] + place]
    return begin, values[: begin[num_nodes]], index


@njit(nogil=True, cache=True)
def find_tuple(tuples, low, high, forward_pdf, self_loop_pdf):
    """The row of (forward_pdf, self_loop_pdf) among rows low to high of tuples int32 [N, 4], sorted; -1 if not there."""
    while low < high:
        middle = (low + high) // 2
        if tuples[middle, 2] < forward_pdf or (tuples[middle, 2] == forward_pdf and tuples[middle, 3] < self_loop_pdf):
            low = middle + 1
        else:
            high = middle
    if low < tuples.shape[0] and tuples[low, 2] == forward_pdf and tuples[low, 3] == self_loop_pdf:
        return low
    return -1


@njit(nogil=True, cache=True)
def unit_states(windows, centre, tree_nodes, tree_pool, entry_of_phone, state_classes, num_states, state_row, tuples, max_states):
    """The transition-states of each phone in context.

    windows int32 [U, N + 1] (the last column is scratch), entry_of_phone int32 [phones + 1], state_classes int32
    [E, max_states, 2] (forward and self-loop pdf class), num_states int32 [E] (emitting ones), state_row int64
    [(phones + 1) * max_states + 1]: rows of `tuples` int32 [N, 4] that begin with (phone, state).

    Returns int32 [U, max_states] rows of `tuples`; -2 where the tree has no answer and -3 where the model has no such state.
    """
    rows = np.full((windows.shape[0], max_states), -1, dtype=np.int32)
    last = windows.shape[1] - 1
    for unit in range(windows.shape[0]):
        phone = windows[unit, centre]
        entry = entry_of_phone[phone]
        for state in range(num_states[entry]):
            windows[unit, last] = state_classes[entry, state, 0]
            forward = map_event(tree_nodes, tree_pool, windows[unit])
            loop = forward
            if state_classes[entry, state, 1] != state_classes[entry, state, 0]:
                windows[unit, last] = state_classes[entry, state, 1]
                loop = map_event(tree_nodes, tree_pool, windows[unit])
            if forward < 0 or loop < 0:
                rows[unit, state] = -2
                continue
            key = phone * max_states + state
            row = find_tuple(tuples, state_row[key], state_row[key + 1], forward, loop)
            rows[unit, state] = row if row >= 0 else -3
    return rows


@njit(nogil=True, cache=True)
def list_units(arcs, left_begin, left_phones, right_begin, right_phones, width, centre):
    """All phones in context: one unit for each arc, phone before it and phone after it.

    Returns unit_begin int64 [A + 1] (units of an arc: left phones, for each of them the right phones) and windows int32
    [U, width + 1].
    """
    unit_begin = np.zeros(arcs.shape[0] + 1, dtype=np.int64)
    for arc in range(arcs.shape[0]):
        lefts = left_begin[arcs[arc, 0] + 1] - left_begin[arcs[arc, 0]]
        rights = right_begin[arcs[arc, 1] + 1] - right_begin[arcs[arc, 1]]
        unit_begin[arc + 1] = unit_begin[arc] + lefts * rights
    windows = np.zeros((unit_begin[arcs.shape[0]], width + 1), dtype=np.int32)
    unit = 0
    for arc in range(arcs.shape[0]):
        for left in range(left_begin[arcs[arc, 0]], left_begin[arcs[arc, 0] + 1]):
            for right in range(right_begin[arcs[arc, 1]], right_begin[arcs[arc, 1] + 1]):
                windows[unit, centre] = arcs[arc, 2]
                if centre > 0:
                    windows[unit, centre - 1] = left_phones[left]
                if centre + 1 < width:
                    windows[unit, centre + 1] = right_phones[right]
                unit += 1
    return unit_begin, windows


@njit(nogil=True, cache=True)
def successors(arcs, unit_begin, left_index, right_index, right_begin, node_arc_begin, node_arcs, use_left, use_right):
    """The units that may follow each unit.

    left_index, right_index int32 [A]: place of an arc's phone among the phones into its destination, out of its source;
    node_arcs int32 [A]: arcs ordered by source, node_arc_begin int64 [V + 1]. Row U stands for the start (node 0).

    Returns begin int64 [U + 2], unit int32, arc int32: the following units, and the arc that each belongs to.
    """
    num_units = unit_begin[arcs.shape[0]]
    begin = np.zeros(num_units + 2, dtype=np.int64)
    unit_of = np.empty(0, dtype=np.int32)
    arc_of = np.empty(0, dtype=np.int32)
    for fill in range(2):
        count = 0
        for arc in range(-1, arcs.shape[0]):
            node = 0 if arc < 0 else arcs[arc, 1]
            rights = right_begin[node + 1] - right_begin[node]
            first = num_units if arc < 0 else unit_begin[arc]
            last = num_units + 1 if arc < 0 else unit_begin[arc + 1]
            for unit in range(first, last):
                if fill:
                    count = begin[unit]
                else:
                    count = 0
                for place in range(node_arc_begin[node], node_arc_begin[node + 1]):
                    following = node_arcs[place]
                    if use_right and arc >= 0 and right_index[following] != (unit - first) % rights:
                        continue
                    its_rights = right_begin[arcs[following, 1] + 1] - right_begin[arcs[following, 1]]
                    left = left_index[arc] if use_left and arc >= 0 else 0
                    for right in range(its_rights):
                        if fill:
                            unit_of[count] = unit_begin[following] + left * its_rights + right
                            arc_of[count] = following
                        count += 1
                if not fill:
                    begin[unit + 1] = count
        if not fill:
            for unit in range(num_units + 1):
                begin[unit + 1] += begin[unit]
            unit_of = np.empty(begin[num_units + 1], dtype=np.int32)
            arc_of = np.empty(begin[num_units + 1], dtype=np.int32)
    return begin, unit_of, arc_of


@njit(nogil=True, cache=True)
def assemble(unit_entry, unit_rows, unit_final, slots, entry_slots, first_tid, self_loop, begin, unit_of, arc_of, arcs, arc_cost):
    """States and arcs of the graph: state 0 is the start, then one state for each unit and slot.

    A graph state stands behind the transition of its slot and carries the self-loop of the HMM state that was left (Kaldi's
    reordered form). unit_entry int32 [U], unit_rows int32 [U, max_states], unit_final float32 [U]; slots and entry_slots as
    in HmmArrays, the rest from the model and `successors`.

    Returns arc_begin int64 [S + 1], labels int32 [A, 3] (transition-id, word, next state), cost float32 [A], final float32 [S].
    """
    num_units = unit_entry.shape[0]
    base = np.empty(num_units, dtype=np.int64)
    num_states = 1
    for unit in range(num_units):
        base[unit] = num_states
        num_states += entry_slots[unit_entry[unit], 1] - entry_slots[unit_entry[unit], 0]
    final = np.full(num_states, np.inf, dtype=np.float32)
    arc_begin = np.zeros(num_states + 1, dtype=np.int64)
    labels = np.empty((0, 3), dtype=np.int32)
    cost = np.empty(0, dtype=np.float32)
    for fill in range(2):
        count = 0
        for unit in range(-1, num_units):
            first = 0 if unit < 0 else entry_slots[unit_entry[unit], 0]
            last = 1 if unit < 0 else entry_slots[unit_entry[unit], 1]
            for slot in range(first, last):
                state = 0 if unit < 0 else base[unit] + slot - first
                arc_begin[state] = count
                leaves = unit < 0 or slots[slot, 2] == slots[slot, 3]
                if unit >= 0:
                    row = unit_rows[unit, slots[slot, 0]]
                    if self_loop[row] > 0:
                        if fill:
                            labels[count, 0], labels[count, 2] = self_loop[row], state
                        count += 1
                    for following in range(slots[slot, 2], slots[slot, 3]):
                        if fill:
                            labels[count, 0] = first_tid[unit_rows[unit, slots[following, 0]]] + slots[following, 1]
                            labels[count, 2] = base[unit] + following - first
                        count += 1
                    if leaves:
                        final[state] = unit_final[unit]
                if leaves:
                    here = num_units if unit < 0 else unit
                    for place in range(begin[here], begin[here + 1]):
                        target = unit_of[place]
                        entry = unit_entry[target]
                        for entered in range(entry_slots[entry, 0], entry_slots[entry, 2]):
                            if fill:
                                labels[count, 0] = first_tid[unit_rows[target, 0]] + slots[entered, 1]
                                labels[count, 1] = arcs[arc_of[place], 3]
                                labels[count, 2] = base[target] + entered - entry_slots[entry, 0]
                                cost[count] = arc_cost[arc_of[place]]
                            count += 1
        if not fill:
            arc_begin[num_states] = count
            labels = np.zeros((count, 3), dtype=np.int32)
            cost = np.zeros(count, dtype=np.float32)
    return arc_begin, labels, cost, final
