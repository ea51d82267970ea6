"""Tells the states of a lattice apart by the phone they are in and where it began, and counts how right a phone is."""

import numpy as np
from numba import njit

FIRST, PHONE, PLACE, SAME_FIRST = range(4)  # columns of copies
NOTHING_YET, INSIDE = -2, -1  # in PLACE, for the HMM state where the phone has ended


@njit(nogil=True, cache=True)
def longer_table(table, used):
    """A table int32 [N, C] with room for one row more: the same, or a copy of twice the size."""
    if used < len(table):
        return table
    longer = np.empty((2 * len(table), table.shape[1]), np.int32)
    for row in range(used):
        for column in range(table.shape[1]):  # copying slices takes seconds to compile
            longer[row, column] = table[row, column]
    return longer


@njit(nogil=True, cache=True)
def sort_by_start(arcs, copy_begin, is_final, num_lattice_arcs):
    """The arcs int32 [B, 3] of expand_by_phone by their starts, with one to the end from each copy of a final state."""
    num_copies = copy_begin[-1]
    place_of = np.zeros(num_copies + 1, np.int64)
    for arc in range(len(arcs)):
        place_of[arcs[arc, 0] + 1] += 1
    for state in range(len(is_final)):
        for copy in range(copy_begin[state], copy_begin[state + 1]):
            place_of[copy + 1] += place_of[copy] + is_final[state]
    by_start = np.empty((place_of[num_copies], 3), np.int32)
    for arc in range(len(arcs)):
        source = arcs[arc, 0]
        for column in range(3):
            by_start[place_of[source], column] = arcs[arc, column]
        place_of[source] += 1
    for state in range(len(is_final)):
        if is_final[state]:
            for copy in range(copy_begin[state], copy_begin[state + 1]):
                last = place_of[copy]
                by_start[last, 0], by_start[last, 1], by_start[last, 2] = copy, num_copies, num_lattice_arcs + state
    return by_start


@njit(nogil=True, cache=True)
def expand_by_phone(arc_start, arc_tid, into_begin, into, state_frame, is_final, tables, reorder, limit):
    """A lattice with a copy of each state for every (phone, its first frame, where it has ended) with which paths come there.

    A phone ends with a transition-id into its final state and, where `reorder`, the self-loops that follow it of the HMM state
    that it left. Arcs that take no frame change nothing.

    Args:
        arc_start, arc_tid: int32 [A]; start states in topological order, transition-ids (0: takes no frame).
        into_begin int64 [S + 1], into int32 [A]: into[into_begin[s] : into_begin[s + 1]] are the arcs into state s.
        state_frame: int32 [S], frames before the state; is_final: bool [S].
        tables: (tid_to_phone, tid_to_hmm_state) int32, (tid_is_self_loop, tid_is_final) bool, all [N + 1].
        limit: of arcs.

    Returns:
        (copies int32 [C, 4]: columns FIRST frame of the phone, PHONE, PLACE, and one for work, in the order of their states; the
        first one is that of state 0; copy_begin int64 [S + 1]: the copies of a state; arcs int32 [B, 3], sorted by the first
        column: copies at the start and the end, and the lattice's arc, or C and A + the state where a final state's copy ends;
        0, or limit where there would be more arcs, or minus a transition-id whose phone is not that which the path is in).
    """
    tid_phone, tid_state, tid_loops, tid_ends = tables
    num_states = len(state_frame)
    copies, arcs = np.empty((2 * num_states + 1, 4), np.int32), np.empty((2 * len(arc_start) + 1, 3), np.int32)
    copy_begin = np.zeros(num_states + 1, np.int64)
    last_with = np.full(state_frame.max() + 2, -1, np.int32)  # the last copy with a first frame
    copies[0, FIRST], copies[0, PHONE], copies[0, PLACE], copies[0, SAME_FIRST] = -1, 0, NOTHING_YET, -1
    num_copies, num_arcs = 1, 0
    for state in range(num_states):
        below = copy_begin[state]
        for position in range(into_begin[state], into_begin[state + 1]):
            arc = into[position]
            start = arc_start[arc]
            tid = arc_tid[arc]
            for source in range(copy_begin[start], copy_begin[start + 1]):
                first, phone, place = copies[source, FIRST], copies[source, PHONE], copies[source, PLACE]
                if tid != 0:
                    loops = reorder and tid_loops[tid] and phone == tid_phone[tid] and place == tid_state[tid]
                    if place == INSIDE and phone != tid_phone[tid]:
                        return copies, copy_begin, arcs, -tid
                    if place != INSIDE and not loops:
                        first, phone, place = state_frame[start], tid_phone[tid], INSIDE
                    if tid_ends[tid]:
                        place = tid_state[tid]
                target = last_with[first + 1]
                while target >= below and (copies[target, PHONE] != phone or copies[target, PLACE] != place):
                    target = copies[target, SAME_FIRST]
                if target < below or target < 1:
                    copies, target = longer_table(copies, num_copies), num_copies
                    copies[target, FIRST], copies[target, PHONE], copies[target, PLACE] = first, phone, place
                    copies[target, SAME_FIRST] = last_with[first + 1]
                    last_with[first + 1] = target
                    num_copies += 1
                if num_arcs == limit:
                    return copies, copy_begin, arcs, limit
                arcs = longer_table(arcs, num_arcs)
                arcs[num_arcs, 0], arcs[num_arcs, 1], arcs[num_arcs, 2] = source, target, arc
                num_arcs += 1
        copy_begin[state + 1] = num_copies
    by_start = sort_by_start(arcs[:num_arcs], copy_begin, is_final, len(arc_start))
    return copies[:num_copies], copy_begin, by_start, 0


@njit(nogil=True, cache=True)
def fill_copies(copies, copy_begin, arcs, state_frame, reference, phone_class, old, new, offsets):
    """Writes the arcs of a lattice with copied states, and how right the phones are that end with them.

    The accuracy of a phone is Povey's: the largest of -1 + 2e (a reference phone of its class) and -1 + e (another), where e is
    the share of the reference phone that lies in it; -1 where it overlaps none.

    Args:
        copies, copy_begin, arcs: of expand_by_phone; state_frame: int32 [S].
        reference: (int32 [K] phones; int64 [K + 1] their first frames; int64 [T] the reference phone of each frame).
        phone_class: int32, what counts as the same phone; -1 for one that is passed over: 0 in the lattice.
        old: (pdf int32 [A], silence bool [A], score float64 [A], final score float64 [S], row int32 [S]) of the lattice.
        new: (start, end, pdf int32 [B], silence bool [B], score, accuracy float64 [B], row int32 [C + 1]), written.
        offsets: int64, added to start and end.
    """
    ref_phone, ref_begin, ref_of_frame = reference
    old_pdf, old_silence, old_score, old_final, old_row = old
    new_start, new_end, new_pdf, new_silence, new_score, new_accuracy, new_row = new
    num_states, num_arcs = len(state_frame), len(old_pdf)
    accuracy = np.zeros(len(copies))
    for state in range(num_states):
        end = state_frame[state]
        for copy in range(copy_begin[state], copy_begin[state + 1]):
            new_row[copy] = old_row[state]
            first, name = copies[copy, FIRST], phone_class[copies[copy, PHONE]]
            if first < 0 or name < 0:
                continue
            best = -1.0
            for number in range(ref_of_frame[first], ref_of_frame[end - 1] + 1):
                other = phone_class[ref_phone[number]]
                if other >= 0:
                    overlap = min(end, ref_begin[number + 1]) - max(first, ref_begin[number])
                    share = overlap / (ref_begin[number + 1] - ref_begin[number])
                    best = max(best, 2.0 * share - 1.0 if other == name else share - 1.0)
            accuracy[copy] = best
    new_row[len(copies)] = old_row[num_states - 1]
    for index in range(len(arcs)):
        start, end, arc = arcs[index, 0], arcs[index, 1], arcs[index, 2]
        new_start[index], new_end[index], new_accuracy[index] = start + offsets, end + offsets, 0.0
        if arc >= num_arcs:
            new_pdf[index], new_silence[index], new_score[index] = -1, False, old_final[arc - num_arcs]
            new_accuracy[index] = accuracy[start]
        else:
            new_pdf[index], new_silence[index], new_score[index] = old_pdf[arc], old_silence[arc], old_score[arc]
            if copies[end, FIRST] != copies[start, FIRST]:  # another phone begins
                new_accuracy[index] = accuracy[start]
