"""The search over an utterance with two language models: frame after frame, growing its arrays in between (see biglm_kernels)."""

import numpy as np
from numba import njit

from asrtool.decoder import biglm_kernels, biglm_prune_kernels
from asrtool.decoder.biglm_kernels import (
    BIG_CANDIDATE,
    BIG_LINK,
    BIG_TOKEN,
    PAIR,
    STEP,
    close_composed_epsilon,
    find_step,
    find_token,
    link_composed_epsilon,
    make_composed_tokens,
    number_of_pair,
    score_composed,
)
from asrtool.decoder.biglm_prune_kernels import compact, drop_dead_composed, frame_cutoff, prune_frames
from asrtool.io.kernel_cache import forget_older_than

forget_older_than(__file__, biglm_kernels, biglm_prune_kernels)


@njit(nogil=True, cache=True)
def reserve_big_tokens(tokens, stack, extra, needed):
    """(tokens, stack, extra) with room for `needed` rows: the same arrays, or copies of at least twice the size."""
    if needed <= len(tokens):
        return tokens, stack, extra
    capacity = max(needed, 2 * len(tokens))
    new_tokens, new_stack = np.empty(capacity, BIG_TOKEN), np.empty(capacity, np.int32)
    new_tokens[: len(tokens)] = tokens
    new_stack[: len(stack)] = stack
    new_extra = np.empty(capacity if len(extra) else 0, np.float64)
    new_extra[: len(extra)] = extra
    return new_tokens, new_stack, new_extra


@njit(nogil=True, cache=True)
def reserve_big_links(links, needed):
    """`links` with room for `needed` rows."""
    if needed <= len(links):
        return links
    new_links = np.empty(max(needed, 2 * len(links)), BIG_LINK)
    new_links[: len(links)] = links
    return new_links


@njit(nogil=True, cache=True)
def reserve_table(table, tokens, first, end, more):
    """The table of the frame's tokens first:end with room for `more`: the same array, or a larger one with these tokens."""
    if 2 * (end - first + more) <= len(table):
        return table
    size = len(table)
    while size < 2 * (end - first + more):
        size *= 2
    table = np.full(size, -1, np.int32)
    for i in range(first, end):
        table[find_token(table, tokens, first, tokens[i].state, tokens[i].pair)] = i
    return table


@njit(nogil=True, cache=True)
def new_memory(num_pairs, num_steps):
    """An empty memory (see biglm_kernels) with room for so many pairs and steps."""
    size = 1024
    while size < 2 * num_pairs:
        size *= 2
    pairs, pair_table = np.empty(size // 2, PAIR), np.full(size, -1, np.int32)
    size = 1024
    while size < 2 * num_steps:
        size *= 2
    steps = np.empty(size, STEP)
    for i in range(size):
        steps[i].pair = -1
    return pairs, pair_table, steps, np.zeros(2, np.int64)


@njit(nogil=True, cache=True)
def start_memory(start_pair, num_steps):
    """A memory with the pair of the sentence's start, number 0, and room for so many steps and pairs."""
    memory = new_memory(num_steps + 1, num_steps)
    number_of_pair(memory, start_pair[0], start_pair[1])
    return memory


@njit(nogil=True, cache=True)
def reserve_memory(memory, more):
    """The memory with room for `more` steps and pairs: the same, or a copy of at least twice the size."""
    pairs, _, steps, used = memory
    enough_pairs, enough_steps = used[1] + more <= len(pairs), 2 * (used[0] + more) <= len(steps)
    if enough_pairs and enough_steps:
        return memory
    new_pairs, new_pair_table, new_steps, new_used = new_memory(
        len(pairs) if enough_pairs else max(2 * len(pairs), used[1] + more),
        len(steps) // 2 if enough_steps else max(len(steps), used[0] + more),
    )
    new = (new_pairs, new_pair_table, new_steps, new_used)
    for i in range(used[1]):
        number_of_pair(new, pairs[i].small, pairs[i].big)
    for i in range(len(steps)):
        if steps[i].pair >= 0:
            new_steps[find_step(new_steps, steps[i].pair, steps[i].word)] = steps[i]
    new_used[0] = used[0]
    return new


@njit(nogil=True, cache=True)
def renew_memory(memory, tokens, first, end, capacity):
    """A memory of no steps and only the pairs of the tokens first:end, which get their new numbers."""
    pairs = memory[0]
    new = new_memory(end - first, capacity)
    for i in range(first, end):
        pair = pairs[tokens[i].pair]
        tokens[i].pair = number_of_pair(new, pair.small, pair.big)
    return new


@njit(nogil=True, cache=True)
def list_active(offsets, tokens, first, end, cutoff, active):
    """Lists in `active` int32 [N, 3] the tokens first:end within the cutoff: (token, its first emitting arc, one past its last).

    Returns (their number, that of their arcs).
    """
    num_active = 0
    num_arcs = 0
    for i in range(first, end):
        if tokens[i].cost <= cutoff:
            position = 2 * tokens[i].state
            active[num_active, 0] = i
            active[num_active, 1] = offsets[position]
            active[num_active, 2] = offsets[position + 1]
            num_active += 1
            num_arcs += offsets[position + 1] - offsets[position]
    return num_active, num_arcs


@njit(nogil=True, cache=True)
def take_composed_arcs(offsets, arcs, tokens, first, end, limits, frame_cost, active, candidates, memory, models):
    """Passes the tokens first:end over their emitting arcs; grows `active`, `candidates` and `memory` where they must.

    Returns (active, candidates, memory, number of candidates, cutoff of the next frame).
    """
    beam, max_active, min_active, beam_delta = limits
    limit, adaptive_beam = frame_cutoff(tokens[first:end], beam, max_active, min_active, beam_delta)
    if end - first > len(active):
        active = np.empty((2 * (end - first), 3), np.int32)
    num_active, num_arcs = list_active(offsets, tokens, first, end, limit, active)
    if num_arcs >= len(candidates):
        candidates = np.empty(2 * num_arcs + 1, BIG_CANDIDATE)
    memory = reserve_memory(memory, num_arcs)
    count, cutoff = score_composed(arcs, tokens, active[:num_active], frame_cost, adaptive_beam, candidates, memory, models)
    return active, candidates, memory, np.int64(count), cutoff


@njit(nogil=True, cache=True)
def close_frame(offsets, arcs, table, tokens, stack, extra, first, end, height, cutoff, memory, models):
    """The epsilon closure of a frame, growing what must; returns (table, tokens, stack, extra, memory, end, arcs looked at)."""
    num_arcs = 0
    while height > 0:
        end, height, looked_at = close_composed_epsilon(
            offsets, arcs, table, tokens, first, end, cutoff, stack, height, memory, models
        )
        num_arcs += looked_at
        if height > 0:
            position = 2 * tokens[stack[height - 1]].state
            room = offsets[position + 2] - offsets[position + 1]
            tokens, stack, extra = reserve_big_tokens(tokens, stack, extra, end + room)
            table = reserve_table(table, tokens, first, end, room)
            memory = reserve_memory(memory, room)
    return table, tokens, stack, extra, memory, end, num_arcs


@njit(nogil=True, cache=True)
def prune_composed(frame, pruned_frame, frame_begin, link_begin, num_links, tokens, extra, links, scratch, lattice_beam):
    """Prunes during the search, when every token of `frame` may still be on the best path; returns the number of links left."""
    extra[frame_begin[frame] : frame_begin[frame + 1]] = 0.0
    touched = prune_frames(frame, pruned_frame, frame_begin, link_begin, links, tokens, extra, lattice_beam)
    return compact(touched, frame, frame_begin, link_begin, num_links, tokens, extra, links, scratch)


@njit(nogil=True, cache=True)
def place_first(tokens, stack, table, start):
    """Makes the token of the start, and marks it for the epsilon closure."""
    tokens[0].cost, tokens[0].state, tokens[0].previous, tokens[0].arc, tokens[0].visited = 0.0, start, -1, -1, 1
    tokens[0].pair, stack[0] = 0, 0
    table[find_token(table, tokens, 0, tokens[0].state, tokens[0].pair)] = 0


@njit(nogil=True, cache=True)
def biglm_search(offsets, arcs, start, start_pair, models, frame_costs, limits, keep_links, lattice_beam, prune_interval, sizes):
    """Beam search over a graph (offsets as PackedGraph's, arcs BIG_ARC [A], start) composed with the difference of two models.

    Args:
        start_pair: states (small, big) at the start of a sentence; models: see biglm_kernels.
        frame_costs: float32 [T, P], minus the scaled log-likelihoods; limits: (beam, max_active, min_active, beam_delta).
        keep_links: record a lattice's links, pruned every `prune_interval` frames; else only back-pointers.
        sizes: (rows of the arrays at first; steps and pairs beyond which the memory is renewed for the tokens alive).
    Returns:
        (frames done, tokens BIG_TOKEN [N], links BIG_LINK [L], extra float64 [N], frame_begin int64 [T+2],
        link_begin int64 [2T+3], memory that the last frame's tokens refer to), see biglm_prune_kernels.
    """
    num_frames = len(frame_costs)
    capacity, max_steps, max_pairs = sizes
    tokens, stack = np.empty(capacity, BIG_TOKEN), np.empty(capacity, np.int32)
    extra, links = np.empty(capacity if keep_links else 0), np.empty(capacity if keep_links else 0, BIG_LINK)
    active, candidates = np.empty((0, 3), np.int32), np.empty(0, BIG_CANDIDATE)
    frame_begin, link_begin = np.zeros(num_frames + 2, np.int64), np.zeros(2 * num_frames + 3, np.int64)
    table, memory = np.full(1024, -1, np.int32), start_memory(start_pair, capacity)
    place_first(tokens, stack, table, start)
    first, end, height, num_links, pruned_frame, cutoff = 0, 1, 1, 0, 0, limits[0]
    for t in range(num_frames + 1):
        if t > 0:
            active, candidates, memory, count, cutoff = take_composed_arcs(
                offsets, arcs, tokens, first, end, limits, frame_costs[t - 1], active, candidates, memory, models
            )
            tokens, stack, extra = reserve_big_tokens(tokens, stack, extra, end + count)
            links = reserve_big_links(links, num_links + count) if keep_links else links
            table = reserve_table(table, tokens, end, end, count)
            first = end
            end, height, num_links = make_composed_tokens(
                arcs, table, tokens, end, candidates[:count], cutoff, stack, links, num_links, keep_links
            )
            if end == first:
                return t - 1, tokens, links, extra, frame_begin, link_begin, memory
            link_begin[2 * t] = num_links
        table, tokens, stack, extra, memory, end, num_arcs = close_frame(
            offsets, arcs, table, tokens, stack, extra, first, end, height, cutoff, memory, models
        )
        frame_begin[t], frame_begin[t + 1] = first, end
        if keep_links:
            links = reserve_big_links(links, num_links + num_arcs)
            num_links = link_composed_epsilon(offsets, arcs, table, tokens, first, end, cutoff, links, num_links, memory[2])
            link_begin[2 * t + 1] = num_links
            if t > 0 and t % prune_interval == 0 and t < num_frames:
                num_links = prune_composed(
                    t, pruned_frame, frame_begin, link_begin, num_links, tokens, extra, links, stack, lattice_beam
                )
                pruned_frame, table[:] = t, -1
        elif 8 * end > 7 * len(tokens):
            first, end = drop_dead_composed(tokens, first, end, stack)
            frame_begin[t], frame_begin[t + 1] = first, end
            table[:] = -1
            if 16 * end > len(tokens):  # dropping must stay rare: it costs as much as some frames
                tokens, stack, extra = reserve_big_tokens(tokens, stack, extra, len(tokens) + 1)
        first, end = frame_begin[t], frame_begin[t + 1]
        if memory[3][0] > max_steps or memory[3][1] > max_pairs:
            memory = renew_memory(memory, tokens, first, end, capacity)
            max_pairs = max(sizes[2], 2 * memory[3][1])
    return num_frames, tokens, links, extra, frame_begin, link_begin, memory
