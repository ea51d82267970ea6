"""Posteriors of transition-ids, frame by frame, from a lattice."""

from dataclasses import dataclass

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.lattice.arrays import state_frames
from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.forward_backward import ForwardBackward, final_posterior, forward_backward
from asrtool.lattice.lattice import Lattice
from asrtool.lattice.strings import string_positions


@dataclass
class FramePosteriors:
    """N (transition-id, weight) pairs of T frames, or of other labels (pdfs, phones).

    Attributes:
        frame_begin: int64 [T + 1]; frame t has the pairs frame_begin[t]:frame_begin[t + 1].
        label: int32 [N], ascending within a frame, each once.
        weight: float32 [N]; of a lattice they sum to 1 in every frame.
    """

    frame_begin: np.ndarray
    label: np.ndarray
    weight: np.ndarray

    @property
    def num_frames(self) -> int:
        return len(self.frame_begin) - 1

    @property
    def frame(self) -> np.ndarray:
        """int64 [N]: the frame of every pair."""
        return np.repeat(np.arange(self.num_frames), np.diff(self.frame_begin))


def merge_pairs(frame: np.ndarray, label: np.ndarray, weight: np.ndarray, num_frames: int) -> FramePosteriors:
    """Adds up the weights of equal (frame, label), in float64; pairs whose weight is 0 are left out."""
    width = int(label.max(initial=0)) + 1
    keys, place = np.unique(frame.astype(np.int64) * width + label, return_inverse=True)
    weights = np.bincount(place, weight, minlength=len(keys)).astype(np.float32)
    keys, weights = keys[weights != 0], weights[weights != 0]
    begin = np.searchsorted(keys, np.arange(num_frames + 1) * width)
    return FramePosteriors(begin.astype(np.int64), (keys % width).astype(np.int32), weights)


def posteriors(
    lattice: Lattice | CompactLattice, acoustic_scale: float, lm_scale: float = 1.0, sums: ForwardBackward | None = None
) -> FramePosteriors:
    """The share of the paths that pass a frame with a transition-id, as Kaldi's lattice-to-post.

    Args:
        sums: the forward-backward sums at the same scales, where they are known.

    Raises:
        AsrtoolError: a bad lattice, or one without a path to a final state.
    """
    sums = sums or forward_backward(lattice, acoustic_scale, lm_scale)
    if sums.total == -np.inf:
        raise AsrtoolError("no path of this lattice reaches a final state; decode with a wider beam")
    frames = state_frames(lattice)
    if isinstance(lattice, Lattice):
        taken = (lattice.arc_transition_id != 0) & (frames[lattice.arc_start] >= 0)
        frame, label = frames[lattice.arc_start[taken]], lattice.arc_transition_id[taken]
        return merge_pairs(frame, label, sums.posterior[taken], lattice.num_frames)
    at_end = final_posterior(lattice, sums, acoustic_scale, lm_scale)
    parts = [
        _spread(frames[lattice.arc_start], lattice.tid_begin, sums.posterior),
        _spread(frames, lattice.final_tid_begin, at_end),
    ]
    label = np.concatenate([lattice.transition_id, lattice.final_transition_id])
    frame, weight = (np.concatenate(pair) for pair in zip(*parts))
    passed = weight > 0
    return merge_pairs(frame[passed], label[passed], weight[passed], lattice.num_frames)


def _spread(first_frame: np.ndarray, begin: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(frame, weight) of every element of strings that start at `first_frame`."""
    lengths = np.diff(begin)
    return string_positions(first_frame, lengths), np.repeat(weight, lengths)
