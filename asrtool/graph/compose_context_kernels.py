"""The states of C o LG (see compose_context.py)."""

import numpy as np
from numba import njit

U = np.uint64
EPSILON, SYMBOL, PHONE, END = range(4)


@njit(nogil=True, cache=True)
def slot_of(table, keys, key):
    """The place in `table` int32 [2^k], -1 where free, of the number of `key` among `keys` int64, or where it may go."""
    at = (U(key) * U(0x9E3779B97F4A7C15)) >> U(20) & U(len(table) - 1)
    while table[at] >= 0 and keys[table[at]] != key:
        at = (at + U(1)) & U(len(table) - 1)
    return at


@njit(nogil=True, cache=True)
def reach(start, arc_begin, ilabel, nextstate, kind, base, room, centre, end):
    """All pairs of a state and a history that can be reached, the start's first, and where their arcs lead.

    arc_begin int64 [S + 1]; ilabel, nextstate int32 [A]; kind int8 [A]. A history is a number below `room` whose digits to `base`
    are the last phones; its digit `centre` (a power of `base`) is the centre of the next window; `end` is the digit of the end.

    Returns keys int64 [K] = state * room + history, and for the arcs of each in turn the number of the pair that they lead to,
    int32, -1 where C does not allow them: phones after the end, and more ends than the last window needs.
    """
    keys, table, target = np.empty(1 << 12, np.int64), np.full(1 << 13, -1, np.int32), np.empty(1 << 13, np.int32)
    keys[0] = start * room
    table[slot_of(table, keys, keys[0])] = 0
    count, size, done = 1, 0, 0
    while done < count:
        state, history = keys[done] // room, keys[done] % room
        first, last = arc_begin[state], arc_begin[state + 1]
        if size + last - first > len(target):
            more = np.empty(2 * (size + last - first), np.int32)
            for i in range(size):
                more[i] = target[i]
            target = more
        if 2 * (count + last - first) > len(table):
            width = 2 * len(table)
            while width < 4 * (count + last - first):
                width *= 2
            more_keys = np.empty(width // 2, np.int64)
            table = np.full(width, -1, np.int32)
            for i in range(count):
                more_keys[i] = keys[i]
                table[slot_of(table, more_keys, keys[i])] = i
            keys = more_keys
        for arc in range(first, last):
            now = history
            allowed = True
            if kind[arc] == PHONE:
                allowed = room == 1 or history % base != end
            elif kind[arc] == END:
                allowed = history // centre % base != end
            if kind[arc] >= PHONE:
                now = (history * base + ilabel[arc]) % room
            target[size] = -1
            if allowed:
                key = nextstate[arc] * room + now
                at = slot_of(table, keys, key)
                if table[at] < 0:
                    keys[count] = key
                    table[at] = count
                    count += 1
                target[size] = table[at]
            size += 1
        done += 1
    return keys[:count], target[:size]
