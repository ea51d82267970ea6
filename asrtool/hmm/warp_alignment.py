"""Alignments stretched or squeezed to another number of frames, state visit by state visit.

A visit is a stay in one HMM state: its transition out of the state and the self-loops after it (Kaldi's reordered form) or
before it. A visit keeps its place in the utterance and at least one frame, so that the result is a path of the same HMM.
"""

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.hmm.transition_model import TransitionModel


def warp_alignment(alignment: np.ndarray, num_frames: int, transition_model: TransitionModel) -> np.ndarray:
    """The same state sequence over `num_frames` frames; borders between states move in proportion.

    Args:
        alignment: transition-ids, int [T]; whole phones.

    Returns:
        Int32 [num_frames].

    Raises:
        AsrtoolError: not an alignment of this model, or more states than frames.
    """
    alignment = np.asarray(alignment, np.int32)
    transition_model.phone_segments(alignment)
    if num_frames == len(alignment):
        return alignment
    state = transition_model.tid_to_tuple[alignment]
    leaves = np.flatnonzero(~transition_model.tid_is_self_loop[alignment])
    loops_follow = _loops_follow(state, transition_model.tid_is_self_loop[alignment])
    ends = np.append(leaves[1:], len(alignment)) if loops_follow else leaves + 1
    lengths = np.diff(ends, prepend=0)
    loop = transition_model.self_loop[state[leaves]]
    elastic = loop > 0  # a state without a self-loop has one frame, always
    new_lengths = np.ones_like(lengths)
    new_lengths[elastic] = warp_lengths(lengths[elastic], num_frames - int(np.count_nonzero(~elastic)))
    new_ends = np.cumsum(new_lengths)
    warped = np.repeat(loop, new_lengths)
    warped[new_ends - new_lengths if loops_follow else new_ends - 1] = alignment[leaves]
    return warped.astype(np.int32)


def _loops_follow(state: np.ndarray, loop: np.ndarray) -> bool:
    """Whether every self-loop comes after its state's other transition; else every one must come before."""
    same_as_before = np.concatenate([[False], state[1:] == state[:-1]])
    if np.all(same_as_before[loop]):
        return True
    if np.all(np.append(same_as_before[1:], False)[loop]):
        return False
    raise AsrtoolError("alignment: its self-loops stand neither after nor before their states' other transitions: damaged")


def warp_lengths(lengths: np.ndarray, total: int) -> np.ndarray:
    """Positive whole numbers with the sum `total`, in proportion to `lengths` as far as that goes; int64 [K].

    Where several neighbours would get less than 1, they take what they lack from both sides alike.

    Raises:
        AsrtoolError: `total` is smaller than K, or is not 0 where K is.
    """
    number = len(lengths)
    if total < number or (number == 0 and total):
        raise AsrtoolError(f"{number} HMM states cannot fill {total} frames with at least one frame each")
    if number == 0:
        return np.zeros(0, np.int64)
    # border k lies at ends[k]; less k, whole borders a frame or more apart are whole numbers that do not fall
    place = np.concatenate([[0], np.cumsum(lengths)])
    place = place * (total / place[-1]) - np.arange(number + 1)
    not_falling = (np.maximum.accumulate(place) + np.minimum.accumulate(place[::-1])[::-1]) / 2
    borders = np.floor(np.clip(not_falling, 0, total - number) + 0.5).astype(np.int64) + np.arange(number + 1)
    return np.diff(borders)
