"""The inner loops of the beam search: cutoff, emitting arcs, epsilon closure.

The tokens of the newest frame are rows 0..n-1 of `cost` float32 and `state` int32; what leads to them lies in `back` int64 [N]
(token << 32 | arc, below 0 for the first token), whose rows, the tokens' ids, are those of all frames in order. `slot` int32 [S]
holds for each graph state the serial number of the last token that was made for it. Serial numbers only grow, so one below the
frame's first belongs to an older frame, and nothing is cleared from frame to frame. Costs are relative to the best token of the
frame before, which keeps them small.

The packed graph is `states` STATE [S] and `arcs` ARC [A] (see packed_graph). Indices are made unsigned (U), since numba then
leaves out the case of negative ones; candidates are written before they are known to count, and `make_tokens` chooses by
selection where a branch would be a coin toss: that halves the time of these loops. None of them allocates; the caller
(stream_kernels) grows arrays between calls.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

# An arc taken from a token; total: cost of the best path to its end over it; to: the state, later the token, that it leads to
# (-1: pruned); back: token << 32 | arc. The emitting arcs of a frame are its candidates, later the links of the lattice.
LINK = np.dtype([("total", "f4"), ("to", "i4"), ("back", "i8")])

NUM_BUCKETS = 512
SELECT_ROUNDS = 3
INFINITY = np.float32(np.inf)
U = np.uint64


@intrinsic
def prefetch(_, array, index):
    """Asks for the cache line of array[index] (1-d, contiguous), which a later loop will read."""

    def generate(context, builder, signature, arguments):
        values = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = builder.bitcast(builder.gep(values.data, [arguments[1]]), ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer(), number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [pointer, number(0), number(3), number(1)])  # to read, keep in all caches, data
        return context.get_dummy_value()

    return types.none(array, index), generate


@njit(nogil=True, cache=True)
def kth_cost(cost, k, low, high, scratch):
    """A cost that about `k` of `cost` float32 [n] are below, to (high - low) / 512^3, sought in [low, high)."""
    count = np.empty(NUM_BUCKETS, np.int64)
    scratch[: len(cost)] = cost
    size = len(cost)
    low, high = np.float64(low), np.float64(high)
    for _ in range(SELECT_ROUNDS):
        if not high - low > 1e-9:
            break
        count[:] = 0
        scale = NUM_BUCKETS / (high - low)
        kept = 0
        for i in range(size):
            if low <= scratch[i] < high:
                scratch[kept] = scratch[i]
                kept += 1
                count[min(NUM_BUCKETS - 1, int((scratch[i] - low) * scale))] += 1
        size = kept
        bucket = 0
        while bucket < NUM_BUCKETS - 1 and count[bucket] <= k:
            k -= count[bucket]
            bucket += 1
        low, high = low + bucket / scale, low + (bucket + 1) / scale
    return np.float32(high)


@njit(nogil=True, cache=True, fastmath={"nnan", "nsz"})
def lowest(cost):
    """The lowest of float32 [n], none of them NaN, which lets the loop use vectors."""
    best = INFINITY
    for i in range(len(cost)):
        best = min(best, cost[i])
    return best


@njit(nogil=True, cache=True)
def frame_cutoff(cost, limits, scratch):
    """Kaldi's adaptive cutoff (FasterDecoder::GetCutoff) for a frame's costs float32 [n].

    limits: (beam float32, beam_delta float32, max_active, min_active); scratch float32 [n].
    Returns (best cost, cutoff, adaptive beam for the next frame).
    """
    beam, beam_delta, max_active, min_active = limits
    best = lowest(cost)
    cutoff = best + beam
    inside = 0
    for i in range(len(cost)):
        inside += cost[i] < cutoff
    if inside > max_active:
        tight = kth_cost(cost, max_active, best, min(np.float64(cutoff), cost.max() + 1e-3), scratch)
        return best, tight, tight - best + beam_delta
    if len(cost) <= min_active:
        return best, INFINITY, INFINITY
    if inside <= min_active:
        loose = kth_cost(cost, min_active, best, cost.max() + 1e-3, scratch)
        if loose > cutoff:
            return best, loose, loose - best + beam_delta
    return best, cutoff, beam


@njit(nogil=True, cache=True)
def keep_active(arcs, cost, cutoff, active):
    """Moves up in `active` int32 [n, 3] the tokens within the cutoff: (row, its first emitting arc, one past its last).

    The arcs of each row stand there already, see open_frame, so that no states are read. Returns (the number of these tokens,
    that of their arcs).
    """
    num_active, num_arcs = U(0), 0
    for i in range(U(len(cost))):
        begin_arc, end_arc = active[i, 1], active[i, 2]
        inside = cost[i] <= cutoff
        prefetch(arcs, begin_arc)
        active[num_active, 0] = i
        active[num_active, 1] = begin_arc
        active[num_active, 2] = end_arc
        num_active += U(1) if inside else U(0)
        num_arcs += end_arc - begin_arc if inside else 0
    return num_active, num_arcs


@njit(nogil=True, cache=True)
def score_arcs(arcs, cost, best, first, active, frame_cost, adaptive_beam, links, num_links):
    """Lists after the first num_links of `links` LINK [L] the arcs of the active tokens within adaptive_beam of the best so far.

    first: id of row 0; frame_cost: float32 [P], scaled acoustic costs of the frame. The best tokens' arcs are tried first,
    for a good cutoff from the start. Returns (number of links, final cutoff: some early links are above it).
    """
    count = U(num_links)
    cutoff = INFINITY
    for row in range(U(len(active))):
        if cost[U(active[row, 0])] == best:
            for i in range(U(active[row, 1]), U(active[row, 2])):
                cutoff = min(cutoff, arcs[i].cost + frame_cost[U(arcs[i].pdf)] + adaptive_beam)
            break
    for row in range(U(len(active))):
        token = active[row, 0]
        token_cost = cost[U(token)] - best
        source = np.int64(first + token) << 32
        for i in range(U(active[row, 1]), U(active[row, 2])):
            arc = arcs[i]
            total = token_cost + arc.cost + frame_cost[U(arc.pdf)]
            link = links[count]
            link.total = total
            link.to = arc.next
            link.back = source | np.int64(i)
            count += U(1) if total < cutoff else U(0)
            tighter = total + adaptive_beam
            cutoff = tighter if tighter < cutoff else cutoff
    return count, cutoff


@njit(nogil=True, cache=True)
def make_tokens(states, links, begin, end, cutoff, slot, serial, first, cost, state, back):
    """Makes tokens of the links begin:end, the cheapest for each state, and turns the links' states into token ids.

    states: asked for only, since open_frame reads them next; serial, first: serial number and id of the frame's row 0.
    Returns the number of tokens.
    """
    count = U(0)
    cost[count] = INFINITY
    for row in range(U(begin), U(end)):
        link = links[row]
        total = link.total
        if not total < cutoff:
            link.to = -1
            continue
        next_state = U(link.to)
        prefetch(states, next_state)
        known = np.int64(slot[next_state]) - serial
        new = known >> 63  # -1 or 0
        to = (known & ~new) | (np.int64(count) & new)
        slot[next_state] = serial + to
        state[U(to)] = next_state
        link.to = first + to
        old = cost[U(to)]  # infinite in the row after the last token
        better = -np.int64(total < old)
        cost[U(to)] = min(total, old)
        back_row = U(first + to)
        old_back = back[back_row]
        back[back_row] = old_back ^ ((old_back ^ link.back) & better)
        count += U(-new)
        cost[count] = INFINITY
    return np.int64(count)


@njit(nogil=True, cache=True)
def open_frame(states, arcs, cost, state, cutoff, stack, mark, active):
    """Puts on `stack` int32 [n] the rows that an epsilon arc may leave within the cutoff, and marks them (uint8 [n]).

    Also notes each row's first emitting arc and one past its last in columns 1 and 2 of `active` int32 [n, 3]. Returns the height
    of the stack.
    """
    height = U(0)
    for i in range(U(len(cost))):
        here = states[U(state[i])]
        active[i, 1] = here.emitting
        active[i, 2] = here.epsilon
        closing = cost[i] + here.epsilon_cost < cutoff
        prefetch(arcs, here.epsilon)
        mark[i] = 1 if closing else 0
        stack[height] = i
        height += U(1) if closing else U(0)
    return np.int64(height)


@njit(nogil=True, cache=True)
def close_epsilon(states, arcs, slot, serial, first, cost, state, mark, active, back, count, cutoff, stack, height):
    """Follows epsilon arcs from the rows on the stack until no cost falls (the graph has no epsilon cycle).

    mark: 1 while on the stack, 2 once taken from it; active: see open_frame. Returns (number of tokens, stack height, arcs looked
    at); a height above 0 says that `cost` is full: grow the frame's arrays and call again.
    """
    num_arcs = 0
    while height > 0:
        row = U(stack[U(height - 1)])
        here = states[U(state[row])]
        begin_arc, end_arc = here.epsilon, here.end
        if count + end_arc - begin_arc > len(cost):
            break
        height -= 1
        mark[row] = 2
        from_cost = cost[row]
        source = (np.int64(first) + np.int64(row)) << 32
        num_arcs += end_arc - begin_arc
        for i in range(U(begin_arc), U(end_arc)):
            arc = arcs[i]
            total = from_cost + arc.cost
            if not total < cutoff:
                continue
            to = np.int64(slot[U(arc.next)]) - serial
            there = states[U(arc.next)]
            if to < 0:
                to = count
                slot[U(arc.next)] = serial + to
                count += 1
                cost[U(to)] = INFINITY
                state[U(to)] = arc.next
                mark[U(to)] = 0
                active[U(to), 1] = there.emitting
                active[U(to), 2] = there.epsilon
            if total < cost[U(to)]:
                cost[U(to)] = total
                back[U(first + to)] = source | np.int64(i)
                if mark[U(to)] != 1 and total + there.epsilon_cost < cutoff:
                    mark[U(to)] = 1
                    stack[U(height)] = to
                    height += 1
    return count, height, num_arcs


@njit(nogil=True, cache=True)
def link_epsilon(states, arcs, slot, serial, first, cost, state, mark, cutoff, links, num_links):
    """Records the epsilon arcs between the tokens, once their costs are settled; returns the number of links."""
    for row in range(len(cost)):
        if mark[row] == 0:
            continue
        here = states[state[row]]
        source = (np.int64(first) + row) << 32
        for i in range(here.epsilon, here.end):
            total = cost[row] + arcs[i].cost
            if total < cutoff:
                links[num_links].total = total
                links[num_links].to = first + (np.int64(slot[arcs[i].next]) - serial)
                links[num_links].back = source | np.int64(i)
                num_links += 1
    return num_links
