"""The search over an utterance: frame after frame, growing and cleaning its arrays between frames (see beam_search_kernels)."""

import numpy as np
from numba import njit

from asrtool.decoder import beam_search_kernels, prune_kernels
from asrtool.decoder.beam_search_kernels import (
    CANDIDATE,
    LINK,
    TOKEN,
    close_epsilon,
    drop_dead_tokens,
    frame_cutoff,
    gather_active,
    make_tokens,
    score_arcs,
)
from asrtool.decoder.prune_kernels import compact, prune_frames, prune_last_frame, prune_on_the_way
from asrtool.io.kernel_cache import forget_older_than

forget_older_than(__file__, beam_search_kernels, prune_kernels)

FIRST_CAPACITY = 1 << 17


@njit(nogil=True, cache=True)
def reserve_tokens(tokens, stack, extra, needed):
    """(tokens, stack, extra) with room for `needed` rows: the same arrays, or copies of at least twice the size."""
    if needed <= len(tokens):
        return tokens, stack, extra
    capacity = max(needed, 2 * len(tokens))
    new_tokens, new_stack = np.empty(capacity, TOKEN), np.empty(capacity, np.int32)
    new_tokens[: len(tokens)] = tokens
    new_stack[: len(stack)] = stack
    new_extra = np.empty(capacity if len(extra) else 0, np.float64)
    new_extra[: len(extra)] = extra
    return new_tokens, new_stack, new_extra


@njit(nogil=True, cache=True)
def reserve_links(links, needed):
    """`links` with room for `needed` rows."""
    if needed <= len(links):
        return links
    new_links = np.empty(max(needed, 2 * len(links)), LINK)
    new_links[: len(links)] = links
    return new_links


@njit(nogil=True, cache=True)
def take_arcs(offsets, arcs, tokens, first, end, limits, frame_cost, active, candidates):
    """Passes the tokens first:end over their emitting arcs; grows the scratch arrays `active` and `candidates` where they must.

    Returns (active, candidates, number of candidates, cutoff of the next frame).
    """
    beam, max_active, min_active, beam_delta = limits
    limit, adaptive_beam = frame_cutoff(tokens[first:end], beam, max_active, min_active, beam_delta)
    if end - first > len(active):
        active = np.empty((2 * (end - first), 3), np.int32)
    num_active, num_arcs = gather_active(offsets, tokens, first, end, limit, active)
    if num_arcs >= len(candidates):
        candidates = np.empty(2 * num_arcs + 1, CANDIDATE)
    count, cutoff = score_arcs(arcs, tokens, active[:num_active], frame_cost, adaptive_beam, candidates)
    return active, candidates, np.int64(count), cutoff


@njit(nogil=True, cache=True)
def link_epsilon(offsets, arcs, slot, tokens, first, end, cutoff, links, num_links):
    """Records the epsilon arcs between the tokens first:end, once their costs are settled; returns the number of links."""
    for start in range(first, end):
        if tokens[start].visited == 0:
            continue
        state = tokens[start].state
        for i in range(offsets[2 * state + 1], offsets[2 * state + 2]):
            new_cost = tokens[start].cost + arcs[i].cost
            if new_cost < cutoff:
                links[num_links].total = new_cost
                links[num_links].start = start
                links[num_links].to = slot[arcs[i].next]
                links[num_links].arc = i
                num_links += 1
    return num_links


@njit(nogil=True, cache=True)
def search(offsets, arcs, start, frame_costs, limits, keep_links, lattice_beam, prune_interval):
    """Beam search over a packed graph.

    Args:
        offsets, arcs, start: the graph, see PackedGraph.
        frame_costs: float32 [T, P], minus the scaled log-likelihoods.
        limits: (beam, max_active, min_active, beam_delta).
        keep_links: record a lattice's links, pruned every `prune_interval` frames; else only back-pointers, and dead tokens
            are dropped now and then.

    Returns:
        (frames done, tokens TOKEN [N], links LINK [L], extra float64 [N], frame_begin int64 [T+2], link_begin int64 [2T+3]),
        see prune_kernels; fewer frames than T: no token survived.
    """
    num_frames = len(frame_costs)
    slot = np.full(len(offsets) // 2, -1, np.int32)
    tokens, stack = np.empty(FIRST_CAPACITY, TOKEN), np.empty(FIRST_CAPACITY, np.int32)
    extra, links = np.empty(FIRST_CAPACITY if keep_links else 0), np.empty(FIRST_CAPACITY if keep_links else 0, LINK)
    active, candidates = np.empty((0, 3), np.int32), np.empty(0, CANDIDATE)
    frame_begin, link_begin = np.zeros(num_frames + 2, np.int64), np.zeros(2 * num_frames + 3, np.int64)
    tokens[0].cost, tokens[0].state, tokens[0].previous, tokens[0].arc, tokens[0].visited = 0.0, start, -1, -1, 1
    slot[start], stack[0] = 0, 0
    first, end, height, num_links, pruned_frame, cutoff = 0, 1, 1, 0, 0, limits[0]
    for t in range(num_frames + 1):
        if t > 0:
            active, candidates, count, cutoff = take_arcs(
                offsets, arcs, tokens, first, end, limits, frame_costs[t - 1], active, candidates
            )
            tokens, stack, extra = reserve_tokens(tokens, stack, extra, end + count)
            links = reserve_links(links, num_links + count) if keep_links else links
            first = end
            end, height, num_links = make_tokens(
                arcs, slot, tokens, end, candidates[:count], cutoff, stack, links, num_links, keep_links
            )
            if end == first:
                return t - 1, tokens, links, extra, frame_begin, link_begin
            link_begin[2 * t] = num_links
        num_arcs = 0
        while height > 0:
            end, height, looked_at = close_epsilon(offsets, arcs, slot, tokens, first, end, cutoff, stack, height)
            num_arcs += looked_at
            if height > 0:
                tokens, stack, extra = reserve_tokens(tokens, stack, extra, len(tokens) + 1)
        frame_begin[t], frame_begin[t + 1] = first, end
        if keep_links:
            links = reserve_links(links, num_links + num_arcs)
            num_links = link_epsilon(offsets, arcs, slot, tokens, first, end, cutoff, links, num_links)
            link_begin[2 * t + 1] = num_links
            if t > 0 and t % prune_interval == 0 and t < num_frames:
                num_links = prune_on_the_way(
                    t, pruned_frame, frame_begin, link_begin, num_links, tokens, extra, links, slot, stack, lattice_beam
                )
                pruned_frame = t
        elif 8 * end > 7 * len(tokens):
            first, end = drop_dead_tokens(tokens, slot, first, end, stack)
            frame_begin[t], frame_begin[t + 1] = first, end
            if 16 * end > len(tokens):  # dropping must stay rare: it costs as much as some frames
                tokens, stack, extra = reserve_tokens(tokens, stack, extra, len(tokens) + 1)
        first, end = frame_begin[t], frame_begin[t + 1]
    return num_frames, tokens, links, extra, frame_begin, link_begin


@njit(nogil=True, cache=True)
def finish_lattice(final_extra, num_frames, num_states, tokens, links, extra, frame_begin, link_begin, lattice_beam):
    """Prunes the whole lattice with the last frame's `final_extra` float64 [tokens of the last frame] (inf: not final).

    Returns (number of tokens, number of links) that are left, in place.
    """
    prune_last_frame(final_extra, num_frames, frame_begin, link_begin, links, tokens, extra, lattice_beam)
    prune_frames(num_frames, 0, frame_begin, link_begin, links, tokens, extra, lattice_beam)
    slot, moved_to = np.empty(num_states, np.int32), np.empty(len(tokens), np.int32)
    num_links = compact(
        0, num_frames, frame_begin, link_begin, link_begin[2 * num_frames + 1], tokens, extra, links, slot, moved_to
    )
    return frame_begin[num_frames + 1], num_links


@njit(nogil=True, cache=True)
def epsilon_depths(links, link_begin, num_frames, num_tokens):
    """int32 [N]: the largest number of epsilon links that lead to a token within its frame, by which a frame's tokens sort."""
    depth = np.zeros(num_tokens, np.int32)
    for t in range(num_frames + 1):
        changed = True
        while changed:
            changed = False
            for i in range(link_begin[2 * t], link_begin[2 * t + 1]):
                if depth[links[i].to] <= depth[links[i].start]:
                    depth[links[i].to] = depth[links[i].start] + 1
                    changed = True
    return depth


@njit(nogil=True, cache=True)
def trace_back(tokens, token):
    """int32: the arcs on the way to `token`, first arc first."""
    length = 0
    at = token
    while tokens[at].previous >= 0:
        at = tokens[at].previous
        length += 1
    path = np.empty(length, np.int32)
    while length > 0:
        length -= 1
        path[length] = tokens[token].arc
        token = tokens[token].previous
    return path
