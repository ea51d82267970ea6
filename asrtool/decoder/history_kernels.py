"""What becomes of old tokens in one-best search: those that no living token descends from are dropped, the path that all share
is settled.

`back` int64 [N] is token << 32 | arc for the token before and the arc from there, below 0 for the oldest token. Ids of tokens are
rows of `back`; frame_begin int64 holds the first row of each frame since the last cleaning, and one past the last.
"""

import numpy as np
from numba import njit

ARC_BITS = np.int64(0xFFFFFFFF)


@njit(nogil=True, cache=True)
def mark_ancestors(back, first, end, children):
    """children int32 [end]: for the tokens that the tokens first:end descend from, and for these, the number of such children;
    -1 for all others."""
    children[:end] = -1
    for i in range(first, end):
        at = i
        if children[at] >= 0:
            continue
        children[at] = 0
        while back[at] >= 0:
            at = back[at] >> 32
            if children[at] >= 0:
                children[at] += 1
                break
            children[at] = 1


@njit(nogil=True, cache=True)
def score_tokens(back, arcs, acoustic, alive, frame_begin, num_frames, recent):
    """Fills in the unscaled acoustic costs float32 [N] of the num_frames frames after the last cleaning, from their
    log-likelihoods `recent` float32 [num_frames, P]; only where alive int32 [N] >= 0."""
    for frame in range(1, num_frames + 1):
        for i in range(frame_begin[frame], frame_begin[frame + 1]):
            if alive[i] >= 0:
                pdf = arcs[back[i] & ARC_BITS].pdf
                acoustic[i] = -recent[frame - 1, pdf] if pdf >= 0 else np.float32(0)


@njit(nogil=True, cache=True)
def settle_path(back, first, children):
    """The arcs and tokens that all tokens from `first` on share.

    Cuts them off: the last of the tokens becomes the oldest one. Returns their ids, oldest first (that of the old oldest token
    excluded).
    """
    branch = first
    at = first
    while back[at] >= 0:
        at = back[at] >> 32
        if children[at] >= 2 or at >= first:
            branch = at
    path = trace_back(back, branch)
    for at in path:
        children[back[at] >> 32] = -1
    return path


@njit(nogil=True, cache=True)
def drop_dead_tokens(back, acoustic, end, alive):
    """Moves the tokens with alive int32 [N] >= 0 down over the others, in place; returns their number."""
    kept = 0
    for i in range(end):
        if alive[i] >= 0:
            alive[i] = kept
            back[kept] = back[i]
            acoustic[kept] = acoustic[i]
            kept += 1
    for i in range(kept):
        if back[i] >= 0:
            back[i] = np.int64(alive[back[i] >> 32]) << 32 | (back[i] & ARC_BITS)
    return kept


@njit(nogil=True, cache=True)
def trace_back(back, token):
    """int64: the tokens on the way to `token`, the oldest one excluded, `token` last."""
    length = 0
    at = token
    while back[at] >= 0:
        at = back[at] >> 32
        length += 1
    path = np.empty(length, np.int64)
    at = token
    while length > 0:
        length -= 1
        path[length] = at
        at = back[at] >> 32
    return path
