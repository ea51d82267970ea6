"""Lattice pruning during the search: Kaldi's LatticeFasterDecoder, on flat arrays.

The rows of frame t are tokens frame_begin[t]:frame_begin[t+1], its epsilon links link_begin[2t]:link_begin[2t+1] and its emitting
links, which lead to frame t+1, link_begin[2t+1]:link_begin[2t+2] (both int64). `links` is LINK [L] and `tokens` TOKEN [N] (see
beam_search_kernels); `extra` float64 [N] is how much worse than the best path the best path through a token is (inf: pruned).
"""

import numpy as np
from numba import njit


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
def prune_last_frame(final_extra, frame, frame_begin, link_begin, links, tokens, extra, lattice_beam):
    """Starts the final pruning: how much worse than the best the endings are, final_extra float64 [tokens of the last frame]."""
    extra[frame_begin[frame] : frame_begin[frame + 1]] = np.where(final_extra <= lattice_beam, final_extra, np.inf)
    settle_epsilon(link_begin[2 * frame], link_begin[2 * frame + 1], links, tokens, extra, lattice_beam)


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
def compact(from_frame, frame, frame_begin, link_begin, num_links, tokens, extra, links, slot, moved_to):
    """Moves the tokens and links of from_frame..frame down over those that are pruned, in place, and updates `slot`.

    Returns the number of links that are left; frame_begin and link_begin (their ends included) are updated.
    """
    first, end = frame_begin[from_frame], frame_begin[frame + 1]
    kept = first
    t = from_frame
    for i in range(first, end):
        while i == frame_begin[t + 1]:
            t += 1
            frame_begin[t] = kept
        slot[tokens[i].state] = -1
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
    for i in range(frame_begin[frame], kept):
        slot[tokens[i].state] = i
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
def prune_on_the_way(frame, pruned_frame, frame_begin, link_begin, num_links, tokens, extra, links, slot, scratch, lattice_beam):
    """Prunes during the search, when every token of `frame` may still be on the best path; returns the number of links left."""
    extra[frame_begin[frame] : frame_begin[frame + 1]] = 0.0
    touched = prune_frames(frame, pruned_frame, frame_begin, link_begin, links, tokens, extra, lattice_beam)
    return compact(touched, frame, frame_begin, link_begin, num_links, tokens, extra, links, slot, scratch)
