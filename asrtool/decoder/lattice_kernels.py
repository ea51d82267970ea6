"""Lattice pruning during the search: Kaldi's LatticeFasterDecoder, on flat arrays.

The rows of frame t are tokens frame_begin[t]:frame_begin[t+1], its epsilon links link_begin[2t]:link_begin[2t+1] and its emitting
links, which lead to frame t+1, link_begin[2t+1]:link_begin[2t+2] (both int64). `links` is LINK [L] (see frame_kernels),
`token_cost` float32 [N] the tokens' costs, `extra` float32 [N] how much worse than the best path the best path through a token is
(inf: pruned), `back` int64 [N] the best way to a token (see history_kernels).
"""

import numpy as np
from numba import njit

ARC_BITS = np.int64(0xFFFFFFFF)
ZERO, INFINITY = np.float32(0), np.float32(np.inf)


@njit(nogil=True, cache=True)
def prune_range(begin, end, links, token_cost, extra, lattice_beam):
    """Prunes the links begin:end, last first, and lowers their start tokens' `extra`; returns whether any was lowered."""
    lowered = False
    for row in range(end - 1, begin - 1, -1):
        to = links[row].to
        if to < 0:
            continue
        link_extra = extra[to] + max(ZERO, links[row].total - token_cost[to])
        if link_extra > lattice_beam:
            links[row].to = -1
        else:
            start = links[row].back >> 32
            if link_extra < extra[start]:
                extra[start] = link_extra
                lowered = True
    return lowered


@njit(nogil=True, cache=True)
def settle_epsilon(begin, end, links, token_cost, extra, lattice_beam):
    """Carries `extra` back over a frame's epsilon links until nothing changes (mostly one pass), then prunes."""
    lowered = True
    while lowered:
        lowered = False
        for row in range(end - 1, begin - 1, -1):
            to = links[row].to
            if to >= 0:
                link_extra = extra[to] + max(ZERO, links[row].total - token_cost[to])
                start = links[row].back >> 32
                if link_extra <= lattice_beam and link_extra < extra[start]:
                    extra[start] = link_extra
                    lowered = True
    prune_range(begin, end, links, token_cost, extra, lattice_beam)


@njit(nogil=True, cache=True)
def prune_frames(frame, pruned_frame, frame_begin, link_begin, links, token_cost, extra, lattice_beam):
    """Prunes the links of the frames before `frame`, newest first, as far back as `extra` changes by more than 0.1 lattice beams.

    `extra` is right for the tokens of `frame`, and known from the last pruning for the frames before pruned_frame.
    Returns the earliest frame that was touched.
    """
    old = np.empty(0, np.float32)
    for t in range(frame - 1, -1, -1):
        begin, end = frame_begin[t], frame_begin[t + 1]
        if t < pruned_frame:
            old = extra[begin:end].copy()
        extra[begin:end] = np.inf
        prune_range(link_begin[2 * t + 1], link_begin[2 * t + 2], links, token_cost, extra, lattice_beam)
        settle_epsilon(link_begin[2 * t], link_begin[2 * t + 1], links, token_cost, extra, lattice_beam)
        if t < pruned_frame:
            change = ZERO
            for i in range(end - begin):
                if extra[begin + i] != old[i]:
                    change = max(change, abs(extra[begin + i] - old[i]))
            if change <= 0.1 * lattice_beam:
                return t
    return 0


@njit(nogil=True, cache=True)
def score_links(arcs, links, link_acoustic, link_begin, from_frame, frame, recent):
    """Fills in the unscaled acoustic costs float32 [L] of the links of from_frame..frame that are left, from the log-likelihoods
    `recent` float32 [frames, P] of the frames after from_frame."""
    for t in range(from_frame, frame + 1):
        link_acoustic[link_begin[2 * t] : link_begin[2 * t + 1]] = 0
        if t < frame:
            for row in range(link_begin[2 * t + 1], link_begin[2 * t + 2]):
                if links[row].to >= 0:
                    link_acoustic[row] = -recent[t - from_frame, arcs[links[row].back & ARC_BITS].pdf]


@njit(nogil=True, cache=True)
def compact_tokens(from_frame, frame, frame_begin, back, token_cost, extra, acoustic, moved_to):
    """Moves the tokens of from_frame..frame that are left down over those that are pruned, in place; updates frame_begin.

    moved_to: int32 [N], where they went. The token before one that is left is always left.
    """
    first = frame_begin[from_frame]
    kept = first
    begin = first
    for t in range(from_frame, frame + 1):
        end = frame_begin[t + 1]
        frame_begin[t] = kept
        for i in range(begin, end):
            moved_to[i] = -1
            if extra[i] < INFINITY:
                moved_to[i] = kept
                back[kept], token_cost[kept], extra[kept], acoustic[kept] = back[i], token_cost[i], extra[i], acoustic[i]
                kept += 1
        begin = end
    frame_begin[frame + 1] = kept
    for i in range(first, kept):
        before = back[i] >> 32
        if before >= first:
            back[i] = np.int64(moved_to[before]) << 32 | (back[i] & ARC_BITS)


@njit(nogil=True, cache=True)
def compact_links(from_frame, frame, link_begin, links, link_acoustic, moved_to):
    """Moves the links of from_frame..frame that are left down over those that are pruned, in place; updates link_begin.

    moved_to: see compact_tokens. Links before from_frame lead to it at most.
    Returns the number of links left.
    """
    begin = link_begin[2 * from_frame]
    kept = begin
    for block in range(2 * from_frame, 2 * frame + 1):
        end = link_begin[block + 1]
        link_begin[block] = kept
        for row in range(begin, end):
            if links[row].to >= 0:
                links[kept].total = links[row].total
                links[kept].to = moved_to[links[row].to]
                links[kept].back = np.int64(moved_to[links[row].back >> 32]) << 32 | (links[row].back & ARC_BITS)
                link_acoustic[kept] = link_acoustic[row]
                kept += 1
        begin = end
    link_begin[2 * frame + 1] = kept
    return kept
