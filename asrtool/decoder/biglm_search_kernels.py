"""The search over an utterance with two language models: frame after frame, growing its arrays in between (see biglm_kernels).

What it knows is a tuple of arrays, `state`, as in stream_kernels, which the functions return anew where they had to grow them:

    table   int32 [2^k], pair int32 [n]
    frame   of the newest frame: cost float32, state int32, stack int32, mark uint8 [n] and active int32 [n, 3]
    tokens  of all frames: back int64, token_cost, extra, lm_cost float32 and scratch int32 [N]
    links   links LINK, link_lm float32 [L]
    marks   frame_begin int64 [T + 2], link_begin int64 [2 T + 3]
    memory  see biglm_kernels
    counts  int64: COUNT, FIRST, LINKS and SERIAL of stream_kernels
"""

import numpy as np
from numba import njit

from asrtool.decoder import biglm_kernels, frame_kernels, history_kernels, lattice_kernels, stream_kernels
from asrtool.decoder.biglm_kernels import (
    PAIR,
    STEP,
    close_composed_epsilon,
    find_row,
    find_step,
    link_composed_epsilon,
    make_composed,
    number_of_pair,
    score_composed,
)
from asrtool.decoder.frame_kernels import LINK, frame_cutoff, keep_active, open_frame
from asrtool.decoder.history_kernels import drop_dead_tokens, mark_ancestors
from asrtool.decoder.lattice_kernels import compact_links, compact_tokens, prune_frames, settle_epsilon
from asrtool.decoder.stream_kernels import COUNT, FIRST, LINKS, NUM_COUNTS, SERIAL, larger, larger_frame, larger_tokens
from asrtool.io.kernel_cache import forget_older_than

forget_older_than(__file__, biglm_kernels, frame_kernels, history_kernels, lattice_kernels, stream_kernels)


@njit(nogil=True, cache=True)
def larger_table(table, serial, frame, pair, count, needed):
    """The table with room for `needed` tokens: the same, or a larger one with the `count` tokens of the newest frame."""
    if 2 * needed <= len(table):
        return table
    size = len(table)
    while size < 2 * needed:
        size *= 2
    table = np.full(size, -1, np.int32)
    state = frame[1]
    for row in range(count):
        table[find_row(table, serial, state, pair, state[row], pair[row])] = serial + row
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
def larger_memory(memory, more):
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
def renew_memory(memory, pair, num_steps):
    """A memory of no steps and only the pairs of the tokens, whose `pair` int32 [n] gets the new numbers."""
    pairs = memory[0]
    new = new_memory(len(pair), num_steps)
    for i in range(len(pair)):
        old = pairs[pair[i]]
        pair[i] = number_of_pair(new, old.small, old.big)
    return new


@njit(nogil=True, cache=True)
def take_emitting(graph, words, frame_cost, limits, keep_links, models, state):
    """Passes the newest frame's tokens over their emitting arcs into the next frame; returns (its cutoff, state)."""
    table, pair, frame, tokens, (links, link_lm), marks, memory, counts = state
    cost, _, _, _, active = frame
    count, first, num_links = counts[COUNT], counts[FIRST], counts[LINKS]
    best, limit, adaptive_beam = frame_cutoff(cost[:count], limits, tokens[2][first : first + count])
    num_active, num_arcs = keep_active(graph[1], cost[:count], limit, active)
    needed = num_links + num_arcs + 1
    links, link_lm = larger(links, needed, num_links), larger(link_lm, needed, num_links)
    memory = larger_memory(memory, num_arcs)
    end_link, cutoff = score_composed(
        graph[1], words, cost, pair, best, first, active[:num_active], frame_cost, adaptive_beam, links, link_lm, num_links,
        memory, models,
    )  # fmt: skip
    most = np.int64(end_link) - num_links + 1
    frame = larger_frame(frame, most, count)
    pair = larger(pair, len(frame[0]), count)
    counts[FIRST] += count
    counts[SERIAL] += count
    if counts[SERIAL] > 1 << 30:
        table[:] = -1
        counts[SERIAL] = 0
    tokens = larger_tokens(tokens, counts[FIRST] + len(frame[0]), counts[FIRST])
    table = larger_table(table, counts[SERIAL], frame, pair, np.int64(0), most)
    counts[COUNT] = make_composed(
        graph[1], links, link_lm, num_links, end_link, cutoff, table, counts[SERIAL], counts[FIRST], frame[0], frame[1], pair,
        tokens[0], tokens[3],
    )  # fmt: skip
    counts[LINKS] = end_link if keep_links else 0
    return cutoff, (table, pair, frame, tokens, (links, link_lm), marks, memory, counts)


@njit(nogil=True, cache=True)
def settle_composed(graph, words, now, cutoff, keep_links, models, state):
    """Follows the epsilon arcs of frame `now`, whose emitting arcs are done, and notes where it ends; returns `state`."""
    table, pair, frame, tokens, (links, link_lm), marks, memory, counts = state
    cost, state_of, stack, mark, active = frame
    count, first, serial, num_links, num_arcs = counts[COUNT], counts[FIRST], counts[SERIAL], counts[LINKS], 0
    height = open_frame(graph[0], graph[1], cost[:count], state_of[:count], cutoff, stack, mark, active)
    while height > 0:
        count, height, looked_at = close_composed_epsilon(
            graph, words, table, serial, first, cost, state_of, pair, mark, active, tokens[0], tokens[3], count, cutoff, stack,
            height, memory, models,
        )  # fmt: skip
        num_arcs += looked_at
        if height > 0:
            here = graph[0][state_of[stack[height - 1]]]
            room = here.end - here.epsilon
            frame = larger_frame(frame, count + room, len(cost))
            cost, state_of, stack, mark, active = frame
            pair = larger(pair, len(cost), count)
            tokens = larger_tokens(tokens, first + len(cost), first + count)
            table = larger_table(table, serial, frame, pair, count, count + room)
            memory = larger_memory(memory, room)
    counts[COUNT] = count
    marks[0][now], marks[0][now + 1] = first, first + count
    if keep_links:
        tokens[1][first : first + count] = cost[:count]
        needed = num_links + num_arcs
        links, link_lm = larger(links, needed, num_links), larger(link_lm, needed, num_links)
        marks[1][2 * now] = num_links
        counts[LINKS] = link_composed_epsilon(
            graph, words, table, serial, first, cost[:count], state_of, pair, mark, cutoff, links, link_lm, num_links, memory[2]
        )
        marks[1][2 * now + 1] = counts[LINKS]
    return table, pair, frame, tokens, (links, link_lm), marks, memory, counts


@njit(nogil=True, cache=True)
def prune_composed(now, known, tokens, links, marks, counts, final_extra, lattice_beam):
    """Prunes the lattice up to frame `now`, whose endings are final_extra float32 [its tokens] worse than the best.

    known: frames of which `extra` is known from the last pruning (0: all are pruned anew).
    """
    back, token_cost, extra, lm_cost, scratch = tokens
    frame_begin, link_begin = marks
    for i in range(counts[COUNT]):
        extra[counts[FIRST] + i] = final_extra[i] if final_extra[i] <= lattice_beam else np.float32(np.inf)
    settle_epsilon(link_begin[2 * now], link_begin[2 * now + 1], links[0], token_cost, extra, lattice_beam)
    touched = prune_frames(now, known, frame_begin, link_begin, links[0], token_cost, extra, lattice_beam)
    compact_tokens(touched, now, frame_begin, back, token_cost, extra, lm_cost, scratch)
    counts[LINKS] = compact_links(touched, now, link_begin, links[0], links[1], scratch)
    counts[FIRST] = frame_begin[now]
    counts[COUNT] = frame_begin[now + 1] - counts[FIRST]


@njit(nogil=True, cache=True)
def drop_composed(tokens, counts):
    """Drops the tokens that none of the newest frame's descend from (one-best search)."""
    back, _, _, lm_cost, scratch = tokens
    end = counts[FIRST] + counts[COUNT]
    mark_ancestors(back, counts[FIRST], end, scratch)
    counts[FIRST] = drop_dead_tokens(back, lm_cost, end, scratch) - counts[COUNT]


@njit(nogil=True, cache=True)
def begin_composed(start, start_pair, num_frames, rows):
    """The state before the first frame's epsilon arcs; rows: of its arrays, which grow."""
    i4, i8, f4 = np.int32, np.int64, np.float32
    table, pair, counts = np.full(1024, -1, i4), np.empty(rows, i4), np.zeros(NUM_COUNTS, i8)
    frame = np.empty(rows, f4), np.empty(rows, i4), np.empty(rows, i4), np.empty(rows, np.uint8), np.empty((rows, 3), i4)
    tokens = np.empty(rows, i8), np.empty(rows, f4), np.empty(rows, f4), np.empty(rows, f4), np.empty(rows, i4)
    links, marks = (np.empty(rows, LINK), np.empty(rows, f4)), (np.zeros(num_frames + 2, i8), np.zeros(2 * num_frames + 3, i8))
    memory = new_memory(rows, rows)
    frame[0][0], frame[1][0], pair[0] = 0, start, number_of_pair(memory, start_pair[0], start_pair[1])
    tokens[0][0], tokens[3][0] = -1, 0
    table[find_row(table, counts[SERIAL], frame[1], pair, frame[1][0], pair[0])] = 0
    counts[COUNT] = 1
    return table, pair, frame, tokens, links, marks, memory, counts


@njit(nogil=True, cache=True)
def biglm_search(graph, words, start, start_pair, models, frame_costs, limits, keep_links, lattice_beam, interval, sizes):
    """Beam search over a graph composed with the difference of two models.

    Args:
        graph: (STATE [S], ARC [A]); words, models: see biglm_kernels; start, start_pair: states of the graph, and of the models.
        frame_costs: float32 [T, P], minus the scaled log-likelihoods; limits: (beam, beam_delta, max_active, min_active).
        keep_links: record a lattice's links; else only the ways back. Pruned, or the dead dropped, every `interval` frames.
        sizes: (rows of the arrays at first; steps and pairs beyond which the memory is renewed for the tokens alive).

    Returns:
        (frames done, state after the last frame).
    """
    rows, max_steps, max_pairs = sizes
    state = begin_composed(start, start_pair, len(frame_costs), rows)
    state = settle_composed(graph, words, np.int64(0), limits[0], keep_links, models, state)
    none_extra = np.zeros(1, np.float32)
    for t in range(len(frame_costs)):
        table, pair, frame, tokens, links, marks, memory, counts = state
        if t > 0 and t % interval == 0:
            if keep_links:
                none_extra = np.zeros(counts[COUNT], np.float32)
                prune_composed(t, t - interval, tokens, links, marks, counts, none_extra, lattice_beam)
            else:
                drop_composed(tokens, counts)
        if memory[3][0] > max_steps or memory[3][1] > max_pairs:
            memory = renew_memory(memory, pair[: counts[COUNT]], rows)
            max_pairs = max(sizes[2], 2 * memory[3][1])
        cutoff, state = take_emitting(
            graph, words, frame_costs[t], limits, keep_links, models, (table, pair, frame, tokens, links, marks, memory, counts)
        )
        if counts[COUNT] == 0:
            return t, state
        state = settle_composed(graph, words, t + 1, cutoff, keep_links, models, state)
    return len(frame_costs), state
