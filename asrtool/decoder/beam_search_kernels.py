"""The inner loops of the beam search: cutoff, emitting arcs, epsilon closure, dropping dead tokens.

A token is a TOKEN record; its id is its row in `tokens`. A frame's tokens are consecutive rows, and `slot` int32 [S] holds the
newest token made for each graph state. Ids only grow, so a slot below the frame's first id belongs to an older frame, and nothing
is cleared from frame to frame. No loop here allocates: the caller (search_kernels) grows arrays between these calls.

The packed graph is `offsets` int32 [2S+1] and `arcs` ARC [A] (see packed_graph). Indices are made unsigned (U), since numba then
leaves out the case of negative ones, and a candidate is written before it is known to count: both halve the time of these loops.
"""

import numpy as np
from numba import njit

# previous: token id, arc: the arc from there (-1 at the start); visited: 1 while on the closure's stack, 2 once taken from it
TOKEN = np.dtype([("cost", "f8"), ("state", "i4"), ("previous", "i4"), ("arc", "i4"), ("visited", "i4")])
# an arc taken from an active token
CANDIDATE = np.dtype([("cost", "f8"), ("token", "i4"), ("arc", "i4")])
# a link of the lattice: total is the cost of the best path to its start and over it; to: -1 once pruned
LINK = np.dtype([("total", "f8"), ("start", "i4"), ("to", "i4"), ("arc", "i4"), ("unused", "i4")])

NUM_BUCKETS = 512
SELECT_ROUNDS = 3
U = np.uint64


@njit(nogil=True, cache=True)
def kth_cost(tokens, k, low, high):
    """A cost that about `k` of the tokens are below, to (high - low) / 512^3, sought in [low, high)."""
    count = np.empty(NUM_BUCKETS, np.int64)
    below = 0
    for _ in range(SELECT_ROUNDS):
        count[:] = 0
        scale = NUM_BUCKETS / (high - low)
        for i in range(len(tokens)):
            if low <= tokens[i].cost < high:
                count[min(NUM_BUCKETS - 1, int((tokens[i].cost - low) * scale))] += 1
        bucket = 0
        while bucket < NUM_BUCKETS - 1 and below + count[bucket] <= k:
            below += count[bucket]
            bucket += 1
        low, high = low + bucket / scale, low + (bucket + 1) / scale
        if high - low < 1e-9:
            break
    return high


@njit(nogil=True, cache=True)
def frame_cutoff(tokens, beam, max_active, min_active, beam_delta):
    """Kaldi's adaptive cutoff (FasterDecoder::GetCutoff) for a frame's tokens: (cutoff, adaptive beam for the next frame)."""
    best = np.inf
    worst = -np.inf
    for i in range(U(len(tokens))):
        best = tokens[i].cost if tokens[i].cost < best else best
        worst = tokens[i].cost if tokens[i].cost > worst else worst
    cutoff = best + beam
    inside = 0
    for i in range(U(len(tokens))):
        inside += tokens[i].cost < cutoff
    if inside > max_active and max_active > 0:
        tight = kth_cost(tokens, max_active, best, cutoff)
        return tight, min(beam, tight - best + beam_delta)
    if len(tokens) <= min_active:
        return np.inf, np.inf
    if inside <= min_active:
        loose = kth_cost(tokens, min_active, best, worst)
        if loose > cutoff:
            return loose, loose - best + beam_delta
    return cutoff, beam


@njit(nogil=True, cache=True)
def gather_active(offsets, tokens, first, end, cutoff, active):
    """Lists in `active` int32 [N, 3] the tokens first:end within the cutoff: (token, its first emitting arc, one past its last).

    Returns (their number, that of their arcs).
    """
    num_active = U(0)
    num_arcs = 0
    for i in range(U(first), U(end)):
        position = U(2) * U(tokens[i].state)
        begin_arc, end_arc = offsets[position], offsets[position + U(1)]
        inside = tokens[i].cost <= cutoff
        active[num_active, 0] = i
        active[num_active, 1] = begin_arc
        active[num_active, 2] = end_arc
        num_active += U(1) if inside else U(0)
        num_arcs += end_arc - begin_arc if inside else 0
    return num_active, num_arcs


@njit(nogil=True, cache=True)
def score_arcs(arcs, tokens, active, frame_cost, adaptive_beam, candidates):
    """Lists the arcs of the active tokens that are within adaptive_beam of the best so far.

    frame_cost: float32 [P], scaled acoustic costs of the frame; candidates: CANDIDATE [C].
    Returns (number of candidates, final cutoff: some early candidates are above it).
    """
    count = U(0)
    cutoff = np.inf
    for row in range(U(len(active))):
        token = active[row, 0]
        token_cost = tokens[U(token)].cost
        for i in range(U(active[row, 1]), U(active[row, 2])):
            arc = arcs[i]
            new_cost = token_cost + arc.cost + frame_cost[U(arc.pdf)]
            candidate = candidates[count]
            candidate.cost = new_cost
            candidate.token = token
            candidate.arc = i
            count += U(1) if new_cost < cutoff else U(0)
            tighter = new_cost + adaptive_beam
            cutoff = tighter if tighter < cutoff else cutoff
    return count, cutoff


@njit(nogil=True, cache=True)
def make_tokens(arcs, slot, tokens, end, candidates, cutoff, stack, links, num_links, keep_links):
    """Turns CANDIDATE [C] into tokens from id `end` on, the cheapest for each state.

    Those that an epsilon arc may leave within the cutoff go on `stack` int32 [N]. With keep_links every candidate within the
    cutoff is recorded in `links` LINK [L]. Returns (end, height of the stack, num_links).
    """
    first = end
    end = U(end)
    height = U(0)
    num_links = U(num_links)
    for row in range(U(len(candidates))):
        candidate = candidates[row]
        new_cost = candidate.cost
        if not new_cost < cutoff:
            continue
        arc = arcs[U(candidate.arc)]
        to = slot[U(arc.next)]
        closing = np.int32(1) if new_cost + arc.next_epsilon_cost < cutoff else np.int32(0)
        if to < first:
            to = np.int32(end)
            slot[U(arc.next)] = to
            token = tokens[end]
            token.cost = new_cost
            token.state = arc.next
            token.previous = candidate.token
            token.arc = candidate.arc
            token.visited = closing
            stack[height] = to
            height += U(closing)
            end += U(1)
        else:
            token = tokens[U(to)]
            if new_cost < token.cost:
                token.cost = new_cost
                token.previous = candidate.token
                token.arc = candidate.arc
                stack[height] = to
                height += U(closing & (1 - token.visited))
                token.visited = closing | token.visited
        if keep_links:
            link = links[num_links]
            link.total = new_cost
            link.start = candidate.token
            link.to = to
            link.arc = candidate.arc
            num_links += U(1)
    return np.int64(end), np.int64(height), np.int64(num_links)


@njit(nogil=True, cache=True)
def close_epsilon(offsets, arcs, slot, tokens, first, end, cutoff, stack, height):
    """Follows epsilon arcs from the tokens on the stack until no cost falls (the graph has no epsilon cycle).

    Returns (end, stack height, arcs looked at); a height above 0 says that `tokens` is full: grow it and call again.
    """
    num_arcs = 0
    while height > 0:
        from_id = stack[U(height - 1)]
        position = U(2) * U(tokens[U(from_id)].state)
        begin_arc, end_arc = offsets[position + U(1)], offsets[position + U(2)]
        if end + end_arc - begin_arc > len(tokens):
            break
        height -= 1
        tokens[U(from_id)].visited = 2
        from_cost = tokens[U(from_id)].cost
        num_arcs += end_arc - begin_arc
        for i in range(U(begin_arc), U(end_arc)):
            arc = arcs[i]
            new_cost = from_cost + arc.cost
            if not new_cost < cutoff:
                continue
            to = slot[U(arc.next)]
            if to < first:
                to = np.int32(end)
                slot[U(arc.next)] = to
                end += 1
                tokens[U(to)].cost = np.inf
                tokens[U(to)].state = arc.next
                tokens[U(to)].visited = 0
            token = tokens[U(to)]
            if new_cost < token.cost:
                token.cost = new_cost
                token.previous = from_id
                token.arc = i
                if token.visited != 1 and new_cost + arc.next_epsilon_cost < cutoff:
                    token.visited = 1
                    stack[U(height)] = to
                    height += 1
    return end, height, num_arcs


@njit(nogil=True, cache=True)
def drop_dead_tokens(tokens, slot, first, end, moved_to):
    """Keeps of the tokens 0:end those that the frame first:end descends from, in place; `moved_to` int32 [N] is scratch.

    Returns (first, end) of the frame after the move.
    """
    moved_to[:end] = -1
    for i in range(first, end):
        token = i
        while token >= 0 and moved_to[token] < 0:
            moved_to[token] = 0
            token = tokens[token].previous
    clear_whole = len(slot) < 16 * end
    if clear_whole:
        slot[:] = -1
    kept = 0
    new_first = 0
    for i in range(end):
        if i == first:
            new_first = kept
        if not clear_whole:
            slot[tokens[i].state] = -1
        if moved_to[i] == 0:
            moved_to[i] = kept
            tokens[kept] = tokens[i]
            kept += 1
    for i in range(kept):
        if tokens[i].previous >= 0:
            tokens[i].previous = moved_to[tokens[i].previous]
    for i in range(new_first, kept):
        slot[tokens[i].state] = i
    return new_first, kept
