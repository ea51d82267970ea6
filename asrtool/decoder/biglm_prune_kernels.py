"""Cutoff, pruning and ending of the search with two language models (records: see biglm_kernels).

The rows of frame t are tokens frame_begin[t]:frame_begin[t+1], its epsilon links link_begin[2t]:link_begin[2t+1] and its emitting
links, which lead to frame t+1, link_begin[2t+1]:link_begin[2t+2] (both int64). `extra` float64 [N] is how much worse than the
best path the best path through a token is (inf: pruned). Kaldi's FasterDecoder and LatticeFasterDecoder, on flat arrays.
"""

import numpy as np
from numba import njit

from asrtool.decoder import biglm_kernels
from asrtool.decoder.biglm_kernels import U, fill_step, find_step
from asrtool.io.kernel_cache import forget_older_than
from asrtool.lm.compact_kernels import final_cost

forget_older_than(__file__, biglm_kernels)

NUM_BUCKETS = 512
SELECT_ROUNDS = 3


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
def prune_range(begin, end, links, tokens, extra, lattice_beam):
    """Prunes the links begin:end, last first, and lowers their start tokens' `extra`; returns whether any was lowered."""
    lowered = False
    for link in range(end - 1, begin - 1, -1):
        to = links[link].to
        if to < 0:
            continue
        link_extra = extra[to] + max(0.0, links[link].total - tokens[to].cost)
        if link_extra > lattice_beam:
            links[link].to = -1
        elif link_extra < extra[links[link].start]:
            extra[links[link].start] = link_extra
            lowered = True
    return lowered


@njit(nogil=True, cache=True)
def settle_epsilon(begin, end, links, tokens, extra, lattice_beam):
    """Carries `extra` back over a frame's epsilon links until nothing changes (mostly one pass), then prunes."""
    lowered = True
    while lowered:
        lowered = False
        for link in range(end - 1, begin - 1, -1):
            to = links[link].to
            if to >= 0:
                link_extra = extra[to] + max(0.0, links[link].total - tokens[to].cost)
                if link_extra <= lattice_beam and link_extra < extra[links[link].start]:
                    extra[links[link].start] = link_extra
                    lowered = True
    prune_range(begin, end, links, tokens, extra, lattice_beam)


@njit(nogil=True, cache=True)
def prune_frames(frame, pruned_frame, frame_begin, link_begin, links, tokens, extra, lattice_beam):
    """Prunes the links of the frames before `frame`, newest first, as far back as `extra` changes by more than 0.1 lattice beams.

    `extra` is right for the tokens of `frame`, and known from the last pruning for the frames before pruned_frame.
    Returns the earliest frame that was touched.
    """
    old = np.empty(0, np.float64)
    for t in range(frame - 1, -1, -1):
        begin, end = frame_begin[t], frame_begin[t + 1]
        if t < pruned_frame:
            old = extra[begin:end].copy()
        extra[begin:end] = np.inf
        prune_range(link_begin[2 * t + 1], link_begin[2 * t + 2], links, tokens, extra, lattice_beam)
        settle_epsilon(link_begin[2 * t], link_begin[2 * t + 1], links, tokens, extra, lattice_beam)
        if t < pruned_frame:
            change = 0.0
            for i in range(end - begin):
                if extra[begin + i] != old[i]:
                    change = max(change, abs(extra[begin + i] - old[i]))
            if change <= 0.1 * lattice_beam:
                return t
    return 0


@njit(nogil=True, cache=True)
def compact(from_frame, frame, frame_begin, link_begin, num_links, tokens, extra, links, moved_to):
    """Moves the tokens and links of from_frame..frame down over those that are pruned, in place.

    Returns the number of links that are left; frame_begin and link_begin (their ends included) are updated.
    """
    first, end = frame_begin[from_frame], frame_begin[frame + 1]
    kept = first
    t = from_frame
    for i in range(first, end):
        while i == frame_begin[t + 1]:
            t += 1
            frame_begin[t] = kept
        moved_to[i] = -1
        if extra[i] < np.inf:
            moved_to[i] = kept
            tokens[kept] = tokens[i]
            extra[kept] = extra[i]
            kept += 1
    while t < frame:
        t += 1
        frame_begin[t] = kept
    frame_begin[frame + 1] = kept
    kept = link_begin[2 * from_frame]
    block = 2 * from_frame
    for link in range(kept, num_links):
        while link == link_begin[block + 1]:
            block += 1
            link_begin[block] = kept
        if links[link].to >= 0:
            links[kept] = links[link]
            links[kept].start = moved_to[links[link].start]
            links[kept].to = moved_to[links[link].to]
            kept += 1
    while block < 2 * frame + 1:
        block += 1
        link_begin[block] = kept
    return kept


@njit(nogil=True, cache=True)
def drop_dead_composed(tokens, first, end, moved_to):
    """Keeps of the tokens 0:end those that the frame first:end descends from, in place; `moved_to` int32 [N] is scratch.

    Returns (first, end) of the frame after the move.
    """
    moved_to[:end] = -1
    for i in range(first, end):
        token = i
        while token >= 0 and moved_to[token] < 0:
            moved_to[token] = 0
            token = tokens[token].previous
    kept = 0
    new_first = 0
    for i in range(end):
        if i == first:
            new_first = kept
        if moved_to[i] == 0:
            moved_to[i] = kept
            tokens[kept] = tokens[i]
            kept += 1
    for i in range(kept):
        if tokens[i].previous >= 0:
            tokens[i].previous = moved_to[tokens[i].previous]
    return new_first, kept


@njit(nogil=True, cache=True)
def finish_big_lattice(final_extra, num_frames, tokens, links, extra, frame_begin, link_begin, lattice_beam):
    """Prunes the whole lattice with the last frame's `final_extra` float64 [tokens of the last frame] (inf: not final).

    Returns (number of tokens, number of links) that are left, in place.
    """
    extra[frame_begin[num_frames] : frame_begin[num_frames + 1]] = np.where(final_extra <= lattice_beam, final_extra, np.inf)
    settle_epsilon(link_begin[2 * num_frames], link_begin[2 * num_frames + 1], links, tokens, extra, lattice_beam)
    prune_frames(num_frames, 0, frame_begin, link_begin, links, tokens, extra, lattice_beam)
    moved_to = np.empty(len(tokens), np.int32)
    num_links = compact(0, num_frames, frame_begin, link_begin, link_begin[2 * num_frames + 1], tokens, extra, links, moved_to)
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


@njit(nogil=True, cache=True)
def ending_costs(tokens, memory, models, graph_final_cost):
    """float64 [N]: what ending costs the tokens: the graph's final cost, less the small model's and plus the big one's."""
    costs = np.empty(len(tokens), np.float64)
    for i in range(len(tokens)):
        costs[i] = graph_final_cost[tokens[i].state]
        if costs[i] < np.inf:
            pair = memory[0][tokens[i].pair]
            costs[i] += final_cost(models[2], pair.big) - final_cost(models[0], pair.small)
    return costs


@njit(nogil=True, cache=True)
def path_lm_costs(words, memory, models):
    """float32 [T]: the corrections of the words of a path, int32 [T] with 0 for arcs without a word; memory as at the start."""
    costs = np.zeros(len(words), np.float32)
    pair, steps = np.int32(0), memory[2]
    for i in range(len(words)):
        if words[i] != 0:
            at = find_step(steps, pair, words[i])
            if steps[at].pair < 0:
                fill_step(memory, models, pair, words[i], at)
            pair, costs[i] = steps[at].next, steps[at].cost
    return costs
