"""The search over a stretch of frames: frame after frame, growing and cleaning its arrays in between (see frame_kernels).

What the search knows between stretches is a tuple of arrays, `state`, which `advance` returns anew where it had to grow them:

    slot int32 [S]
    frame   of the newest frame: cost float32, state int32, stack int32, mark uint8 [n] and active int32 [n, 3]
    tokens  of all frames: back int64, token_cost, extra, acoustic float32 and scratch int32 [N]
    links   links LINK, link_acoustic float32 [L]
    marks   frame_begin int64 [frames + 2], link_begin int64 [2 frames + 3]
    settled int32: the arcs that all paths begin with (one-best search), and their acoustic cost float64 [1]
    recent  float32 [K, P]: log-likelihoods of the frames since the last cleaning, of which there is one every K frames
    counts  int64: see COUNT and those below it
"""

import numpy as np
from numba import njit

from asrtool.decoder import frame_kernels, history_kernels, lattice_kernels
from asrtool.decoder.frame_kernels import (
    close_epsilon,
    frame_cutoff,
    keep_active,
    link_epsilon,
    make_tokens,
    open_frame,
    score_arcs,
)
from asrtool.decoder.history_kernels import ARC_BITS, drop_dead_tokens, mark_ancestors, score_tokens, settle_path
from asrtool.decoder.lattice_kernels import compact_links, compact_tokens, prune_frames, score_links, settle_epsilon
from asrtool.io.kernel_cache import forget_older_than

forget_older_than(__file__, frame_kernels, history_kernels, lattice_kernels)

# tokens of the newest frame; id of the first; links; frames done; frames before the last cleaning; settled arcs; serial number of
# the newest frame's first token
COUNT, FIRST, LINKS, FRAME, CLEANED, SETTLED, SERIAL, NUM_COUNTS = 0, 1, 2, 3, 4, 5, 6, 7


@njit(nogil=True, cache=True)
def larger(array, needed, kept):
    """`array` with room for `needed` rows: the same, or a copy of at least twice the size that has its first `kept` rows."""
    if needed <= len(array):
        return array
    new = np.empty(max(needed, 2 * len(array)), array.dtype)
    new[:kept] = array[:kept]
    return new


@njit(nogil=True, cache=True)
def larger_frame(frame, needed, kept):
    cost, state, stack, mark, active = frame
    if needed <= len(cost):
        return frame
    cost = larger(cost, needed, kept)
    state, stack, mark = larger(state, needed, kept), larger(stack, needed, kept), larger(mark, needed, kept)
    new_active = np.empty((len(cost), 3), np.int32)
    new_active[:kept] = active[:kept]
    return cost, state, stack, mark, new_active


@njit(nogil=True, cache=True)
def larger_tokens(tokens, needed, kept):
    back, token_cost, extra, acoustic, scratch = tokens
    if needed <= len(back):
        return tokens
    token_cost, extra, acoustic = larger(token_cost, needed, kept), larger(extra, needed, kept), larger(acoustic, needed, kept)
    return larger(back, needed, kept), token_cost, extra, acoustic, larger(scratch, needed, 0)


@njit(nogil=True, cache=True)
def settle_frame(graph, cutoff, keep_links, slot, frame, tokens, links, marks, counts):
    """Follows the epsilon arcs of a frame whose emitting arcs are done, and notes where the frame ends in the arrays."""
    states, arcs = graph
    cost, state, stack, mark, active = frame
    count, first, serial = counts[COUNT], counts[FIRST], counts[SERIAL]
    height = open_frame(states, arcs, cost[:count], state[:count], cutoff, stack, mark, active)
    num_arcs = 0
    while height > 0:
        count, height, looked_at = close_epsilon(
            states, arcs, slot, serial, first, cost, state, mark, active, tokens[0], count, cutoff, stack, height
        )
        num_arcs += looked_at
        if height > 0:
            here = states[state[stack[height - 1]]]
            frame = larger_frame(frame, count + 1 + here.end - here.epsilon, len(cost))
            cost, state, stack, mark, active = frame
            tokens = larger_tokens(tokens, first + len(cost), first + count)
    counts[COUNT] = count
    now = counts[FRAME] - (0 if keep_links else counts[CLEANED])
    marks = larger(marks[0], now + 2, len(marks[0])), larger(marks[1], 2 * now + 3, len(marks[1]))
    marks[0][now], marks[0][now + 1] = first, first + count
    if keep_links:
        num_links = counts[LINKS]
        tokens[1][first : first + count] = cost[:count]
        links = larger(links[0], num_links + num_arcs, num_links), larger(links[1], num_links + num_arcs, num_links)
        marks[1][2 * now] = num_links
        counts[LINKS] = link_epsilon(states, arcs, slot, serial, first, cost[:count], state, mark, cutoff, links[0], num_links)
        marks[1][2 * now + 1] = counts[LINKS]
    return frame, tokens, links, marks


@njit(nogil=True, cache=True)
def drop(arcs, tokens, marks, settled, recent, counts):
    """Cleans up in one-best search; returns `settled`."""
    back, _, _, acoustic, scratch = tokens
    now = counts[FRAME] - counts[CLEANED]
    first, end = marks[0][now], marks[0][now + 1]
    mark_ancestors(back, first, end, scratch)
    score_tokens(back, arcs, acoustic, scratch, marks[0], now, recent)
    path = settle_path(back, first, scratch)
    path_arcs, path_acoustic = settled
    path_arcs = larger(path_arcs, counts[SETTLED] + len(path), counts[SETTLED])
    for token in path:
        path_arcs[counts[SETTLED]] = back[token] & ARC_BITS
        path_acoustic[0] += acoustic[token]
        counts[SETTLED] += 1
        if token == path[-1]:
            back[token] = -1
    counts[FIRST] = drop_dead_tokens(back, acoustic, end, scratch) - counts[COUNT]
    counts[CLEANED] = counts[FRAME]
    marks[0][0], marks[0][1] = counts[FIRST], counts[FIRST] + counts[COUNT]
    return path_arcs, path_acoustic


@njit(nogil=True, cache=True)
def prune(arcs, tokens, links, marks, recent, counts, final_extra, lattice_beam, everything):
    """Prunes the lattice, whose endings are final_extra float32 [tokens of the newest frame] worse than the best.

    everything: up to the first frame; else only as far back as it makes a difference.
    """
    back, token_cost, extra, acoustic, scratch = tokens
    frame, cleaned = counts[FRAME], counts[CLEANED]
    frame_begin, link_begin = marks
    for i in range(counts[COUNT]):
        extra[counts[FIRST] + i] = final_extra[i] if final_extra[i] <= lattice_beam else np.float32(np.inf)
    settle_epsilon(link_begin[2 * frame], link_begin[2 * frame + 1], links[0], token_cost, extra, lattice_beam)
    known = 0 if everything else cleaned
    touched = prune_frames(frame, known, frame_begin, link_begin, links[0], token_cost, extra, lattice_beam)
    score_links(arcs, links[0], links[1], link_begin, cleaned, frame, recent)
    for i in range(frame_begin[cleaned], frame_begin[frame + 1]):
        scratch[i] = 0 if extra[i] < np.inf else -1
    score_tokens(back, arcs, acoustic, scratch, frame_begin[cleaned:], frame - cleaned, recent)
    compact_tokens(touched, frame, frame_begin, back, token_cost, extra, acoustic, scratch)
    counts[LINKS] = compact_links(touched, frame, link_begin, links[0], links[1], scratch)
    counts[FIRST] = frame_begin[frame]
    counts[COUNT] = frame_begin[frame + 1] - counts[FIRST]
    counts[CLEANED] = frame


@njit(nogil=True, cache=True)
def begin_search(graph, start, beam, keep_links, state):
    """The search before the first frame; `state` holds arrays of any size."""
    slot, frame, tokens, links, marks, settled, recent, counts = state
    frame, tokens = larger_frame(frame, 2, 0), larger_tokens(tokens, 2, 0)
    slot[:] = -1
    counts[:] = 0
    counts[COUNT] = 1
    slot[start] = 0
    frame[0][0], frame[1][0], tokens[0][0] = 0, start, -1
    tokens = larger_tokens(tokens, len(frame[0]), 1)
    frame, tokens, links, marks = settle_frame(graph, beam, keep_links, slot, frame, tokens, links, marks, counts)
    for token in range(counts[COUNT]):  # reached by epsilon arcs alone; score_tokens begins with frame 1
        tokens[3][token] = 0
    return slot, frame, tokens, links, marks, settled, recent, counts


@njit(nogil=True, cache=True)
def advance(graph, loglikes, minus_scale, limits, keep_links, lattice_beam, state):
    """Searches on over the frames of loglikes float32 [T, P].

    Args:
        graph: (STATE [S], ARC [A]), see PackedGraph.
        minus_scale: the factor that makes costs of log-likelihoods.
        limits: (beam, beam_delta, max_active, min_active).
        keep_links: record a lattice's links, pruned every K frames; else only the ways back, of which the dead are dropped.
        state: see the top of this file.

    Returns:
        (whether any token is left, state).
    """
    slot, frame, tokens, links, marks, settled, recent, counts = state
    states, arcs = graph
    num_pdfs = recent.shape[1]
    frame_cost = np.empty(num_pdfs, np.float32)
    no_extra = np.zeros(1, np.float32)
    for t in range(len(loglikes)):
        if counts[FRAME] - counts[CLEANED] == len(recent):
            if keep_links:
                no_extra = larger(no_extra, counts[COUNT], 0)
                no_extra[:] = 0
                prune(arcs, tokens, links, marks, recent, counts, no_extra, lattice_beam, False)
            else:
                settled = drop(arcs, tokens, marks, settled, recent, counts)
        kept = recent[counts[FRAME] - counts[CLEANED]]
        for pdf in range(num_pdfs):
            kept[pdf] = loglikes[t, pdf]
            frame_cost[pdf] = loglikes[t, pdf] * minus_scale
        count, first, num_links = counts[COUNT], counts[FIRST], counts[LINKS]
        cost, _, _, _, active = frame
        best, limit, adaptive_beam = frame_cutoff(cost[:count], limits, tokens[2][first : first + count])
        num_active, num_arcs = keep_active(arcs, cost[:count], limit, active)
        needed = num_links + num_arcs + 1
        links = larger(links[0], needed, num_links), larger(links[1], needed, num_links)
        end_link, cutoff = score_arcs(
            arcs, cost, best, first, active[:num_active], frame_cost, adaptive_beam, links[0], num_links
        )
        if counts[SERIAL] > 1 << 30:
            slot[:] = -1
            counts[SERIAL] = -count
        frame = larger_frame(frame, np.int64(end_link) - num_links + 2, count)
        tokens = larger_tokens(tokens, first + count + len(frame[0]), first + count)
        counts[FIRST] += count
        counts[SERIAL] += count
        counts[FRAME] += 1
        counts[COUNT] = make_tokens(
            states, links[0], num_links, end_link, cutoff, slot, counts[SERIAL], counts[FIRST], frame[0], frame[1], tokens[0]
        )
        if counts[COUNT] == 0:
            return False, (slot, frame, tokens, links, marks, settled, recent, counts)
        counts[LINKS] = end_link if keep_links else 0
        frame, tokens, links, marks = settle_frame(graph, cutoff, keep_links, slot, frame, tokens, links, marks, counts)
    return True, (slot, frame, tokens, links, marks, settled, recent, counts)


@njit(nogil=True, cache=True)
def epsilon_depths(links, link_begin, num_frames, num_tokens):
    """int32 [N]: the largest number of epsilon links that lead to a token within its frame, by which a frame's tokens sort."""
    depth = np.zeros(num_tokens, np.int32)
    for t in range(num_frames + 1):
        changed = True
        while changed:
            changed = False
            for i in range(link_begin[2 * t], link_begin[2 * t + 1]):
                start = links[i].back >> 32
                if depth[links[i].to] <= depth[start]:
                    depth[links[i].to] = depth[start] + 1
                    changed = True
    return depth
