"""Viterbi alignment of one utterance to its training graph, and the random path of the flat start.

A training graph is small (hundreds of states), so that a frame's tokens are two dense arrays over its states and a list of
the active ones, and the back-pointers one arc index a frame and state.
"""

import numpy as np
from numba import njit

_INFINITY = np.inf


@njit(nogil=True, cache=True, error_model="numpy")
def viterbi_align(
    start, arc_begin, arc_pdf, arc_nextstate, arc_cost, final_cost, loglikes, num_frames, frame_stride, pdf_stride,
    acoustic_scale, beam, path,
):  # fmt: skip
    """The cheapest path of `num_frames` emitting arcs from `start` to a final state, with beam pruning; its cost, or infinity.

    arc_begin int64 [S + 1]; arc_pdf int32 [A] (-1 for an epsilon arc, else a column of the log-likelihoods), arc_nextstate
    int32 [A], arc_cost float32 [A]; final_cost float32 [S]; loglikes float32, flat: entry t * frame_stride + pdf * pdf_stride;
    path int32 [num_frames]: filled with the emitting arcs taken.
    """
    num_states = final_cost.shape[0]
    has_epsilon = False
    for arc in range(arc_pdf.shape[0]):
        has_epsilon |= arc_pdf[arc] < 0
    back = np.empty((num_frames + 1, num_states), dtype=np.int32)
    cost = np.full(num_states, _INFINITY)
    next_cost = np.full(num_states, _INFINITY)
    active = np.empty(num_states, dtype=np.int32)
    next_active = np.empty(num_states, dtype=np.int32)
    queue = np.empty(num_states, dtype=np.int32)
    is_queued = np.zeros(num_states, dtype=np.uint8)
    cost[start] = 0.0
    back[0, start] = -1
    active[0] = start
    num_active = 1
    if has_epsilon:
        num_active = _follow_epsilons(
            arc_begin, arc_pdf, arc_nextstate, arc_cost, cost, active, num_active, back[0], queue, is_queued, beam
        )
    for frame in range(num_frames):
        num_active = _emit(
            arc_begin, arc_pdf, arc_nextstate, arc_cost, loglikes, frame * frame_stride, pdf_stride, acoustic_scale, beam,
            cost, active, num_active, next_cost, next_active, back[frame + 1],
        )  # fmt: skip
        cost, next_cost = next_cost, cost
        active, next_active = next_active, active
        if has_epsilon:
            num_active = _follow_epsilons(
                arc_begin, arc_pdf, arc_nextstate, arc_cost, cost, active, num_active, back[frame + 1], queue, is_queued, beam
            )
        if num_active == 0:
            return _INFINITY
    best = _INFINITY
    best_state = -1
    for index in range(num_active):
        state = active[index]
        total = cost[state] + final_cost[state]
        if total < best:
            best = total
            best_state = state
    if best_state >= 0:
        _trace_back(arc_begin, arc_pdf, back, num_frames, best_state, path)
    return best


@njit(nogil=True, cache=True, error_model="numpy")
def _emit(
    arc_begin, arc_pdf, arc_nextstate, arc_cost, loglikes, offset, pdf_stride, acoustic_scale, beam,
    cost, active, num_active, next_cost, next_active, back,
):  # fmt: skip
    """One frame's emitting arcs: cost float64 [S] -> next_cost (infinity on entry); leaves `cost` at infinity.

    active, next_active int32 [S]; back int32 [S]. Returns the number of next active states.
    """
    best = _INFINITY
    for index in range(num_active):
        best = min(best, cost[active[index]])
    cutoff = best + beam
    next_cutoff = _INFINITY
    num_next = 0
    for index in range(num_active):
        state = active[index]
        token = cost[state]
        cost[state] = _INFINITY
        if token > cutoff:
            continue
        for arc in range(arc_begin[state], arc_begin[state + 1]):
            pdf = arc_pdf[arc]
            if pdf < 0:
                continue
            total = token + arc_cost[arc] - acoustic_scale * loglikes[offset + pdf * pdf_stride]
            if total >= next_cutoff:
                continue
            destination = arc_nextstate[arc]
            if total < next_cost[destination]:
                if next_cost[destination] == _INFINITY:
                    next_active[num_next] = destination
                    num_next += 1
                next_cost[destination] = total
                back[destination] = arc
                if total + beam < next_cutoff:
                    next_cutoff = total + beam
    return num_next


@njit(nogil=True, cache=True, error_model="numpy")
def _follow_epsilons(arc_begin, arc_pdf, arc_nextstate, arc_cost, cost, active, num_active, back, queue, is_queued, beam):
    """Relaxes epsilon arcs until nothing improves; arrays as in `_emit`, queue int32 [S], is_queued uint8 [S] (zeros)."""
    best = _INFINITY
    for index in range(num_active):
        best = min(best, cost[active[index]])
        queue[index] = active[index]
        is_queued[active[index]] = 1
    num_queued = num_active
    while num_queued > 0:
        num_queued -= 1
        state = queue[num_queued]
        is_queued[state] = 0
        token = cost[state]
        if token > best + beam:
            continue
        for arc in range(arc_begin[state], arc_begin[state + 1]):
            if arc_pdf[arc] >= 0:
                continue
            destination = arc_nextstate[arc]
            total = token + arc_cost[arc]
            if total < cost[destination]:
                if cost[destination] == _INFINITY:
                    active[num_active] = destination
                    num_active += 1
                cost[destination] = total
                back[destination] = arc
                if is_queued[destination] == 0:
                    is_queued[destination] = 1
                    queue[num_queued] = destination
                    num_queued += 1
    return num_active


@njit(nogil=True, cache=True, error_model="numpy")
def _trace_back(arc_begin, arc_pdf, back, num_frames, state, path):
    """Fills path int32 [num_frames] with the emitting arcs that end in `state`; back int32 [num_frames + 1, S]."""
    frame = num_frames
    arc = back[frame, state]
    while arc >= 0:
        if arc_pdf[arc] >= 0:
            frame -= 1
            path[frame] = arc
        low, high = 0, arc_begin.shape[0] - 1  # the state that the arc leaves: the last one that begins at or before it
        while high - low > 1:
            middle = (low + high) // 2
            if arc_begin[middle] <= arc:
                low = middle
            else:
                high = middle
        arc = back[frame, low]


@njit(nogil=True, cache=True, error_model="numpy")
def random_equal_path(start, arc_begin, arc_ilabel, arc_nextstate, final_cost, num_frames, seed, num_retries, path):
    """A random path whose self-loops are taken about equally often (Kaldi's EqualAlign); whether there is one.

    arc_begin int64 [S + 1], arc_ilabel, arc_nextstate int32 [A], final_cost float32 [S]; seed int64;
    path int32 [num_frames]: filled with input labels.
    """
    limit = 4 * (num_frames + final_cost.shape[0]) + 16
    arcs = np.empty(limit, dtype=np.int64)
    random = np.uint64(seed) * np.uint64(2) + np.uint64(1)
    for _ in range(num_retries):
        num_arcs, num_labels, state = 0, 0, start
        while num_arcs < limit:
            choices = arc_begin[state + 1] - arc_begin[state] + (final_cost[state] < np.inf)
            if choices == 0:
                return False
            random = random * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
            choice = np.int64((random >> np.uint64(33)) % np.uint64(choices))
            arc = arc_begin[state] + choice
            if arc == arc_begin[state + 1]:
                break
            if arc_nextstate[arc] == state:
                continue
            arcs[num_arcs] = arc
            num_arcs += 1
            num_labels += arc_ilabel[arc] != 0
            state = arc_nextstate[arc]
        if num_labels <= num_frames and num_arcs < limit:
            return _spread_loops(start, arc_begin, arc_ilabel, arc_nextstate, arcs[:num_arcs], num_labels, num_frames, path)
    return False


@njit(nogil=True, cache=True, error_model="numpy")
def _spread_loops(start, arc_begin, arc_ilabel, arc_nextstate, arcs, num_labels, num_frames, path):
    """Stretches a path without loops (arcs int64 [K]) to `num_frames` labels; False where it has no loops."""
    loops = np.zeros(arcs.shape[0] + 1, dtype=np.int32)
    num_loops = 0
    state = start
    for index in range(arcs.shape[0] + 1):
        for arc in range(arc_begin[state], arc_begin[state + 1]):
            if arc_nextstate[arc] == state and arc_ilabel[arc] != 0:
                loops[index] = arc_ilabel[arc]
        num_loops += loops[index] != 0
        if index < arcs.shape[0]:
            state = arc_nextstate[arcs[index]]
    extra = num_frames - num_labels
    if num_loops == 0:
        return extra == 0 and _spread_none(arc_ilabel, arcs, path)
    each, more = extra // num_loops, extra % num_loops
    frame, seen = 0, 0
    for index in range(arcs.shape[0] + 1):
        if loops[index] != 0:
            for _ in range(each + (1 if seen < more else 0)):
                path[frame] = loops[index]
                frame += 1
            seen += 1
        if index < arcs.shape[0] and arc_ilabel[arcs[index]] != 0:
            path[frame] = arc_ilabel[arcs[index]]
            frame += 1
    return True


@njit(nogil=True, cache=True, error_model="numpy")
def _spread_none(arc_ilabel, arcs, path):
    """A path that fits as it is; arcs int64 [K]."""
    frame = 0
    for arc in arcs:
        if arc_ilabel[arc] != 0:
            path[frame] = arc_ilabel[arc]
            frame += 1
    return True
