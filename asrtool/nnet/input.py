"""From 10 ms frames to what a network sees: windows of frames (splicing, stacking), at a lower rate (skipping).

One description serves both papers' inputs. A DNN sees each frame with +-5 neighbours: left 5, right 5, stride 1. The
LSTM sees 3 frames stacked without overlap: left 1, right 1, stride 3, where the target of a super frame is the pdf of its
middle frame. A `shift` in 0..stride-1 moves the windows back against the frames, so that training can use all phases.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass
class InputOptions:
    """Attributes:
    left, right: frames before and after the centre of a window; beyond an utterance its first or last frame is repeated.
    stride: frames from one window's centre to the next one's. Each window stands for `stride` frames.
    label_delay: windows by which outputs lag behind inputs, so that a unidirectional model hears a little future.
    """

    left: int = 0
    right: int = 0
    stride: int = 1
    label_delay: int = 0

    def __post_init__(self) -> None:
        if min(self.left, self.right, self.label_delay) < 0 or self.stride < 1:
            raise ValueError("input: left, right and label_delay must be >= 0, stride >= 1")

    @property
    def width(self) -> int:
        """Frames in a window."""
        return self.left + 1 + self.right


def num_windows(num_frames: np.ndarray | int, options: InputOptions, shift: np.ndarray | int = 0) -> np.ndarray | int:
    """Windows that cover all frames of an utterance; the first and the last one may reach beyond it."""
    return (num_frames + shift + options.stride - 1) // options.stride


def centre_frame(window: Tensor, options: InputOptions, shift: Tensor | int = 0) -> Tensor:
    """The middle frame of a window (it may lie beyond the utterance at either end)."""
    return window * options.stride - shift + options.stride // 2


def gather_windows(features_ND: Tensor, centre: Tensor, first: Tensor, last: Tensor, options: InputOptions) -> Tensor:
    """Takes windows out of concatenated utterances.

    Args:
        features_ND: frames of all utterances, one after the other.
        centre: int64 [...], rows of the windows' middle frames.
        first, last: int64 [...], the first and last row of the utterance of each window.
    Returns:
        [..., width * D], frames in order of time.
    """
    offsets = torch.arange(-options.left, options.right + 1, device=centre.device)
    rows = torch.minimum(torch.maximum(centre.unsqueeze(-1) + offsets, first.unsqueeze(-1)), last.unsqueeze(-1))
    windows = features_ND.index_select(0, rows.reshape(-1))
    return windows.view(*centre.shape, -1)


def utterance_windows(features_TD: Tensor, options: InputOptions, shift: int = 0) -> Tensor:
    """All windows of one utterance, and `label_delay` more that repeat its end: [windows + label_delay, width * D]."""
    num_frames = len(features_TD)
    window = torch.arange(num_windows(num_frames, options, shift) + options.label_delay)
    first = torch.zeros_like(window)
    return gather_windows(features_TD, centre_frame(window, options, shift), first, first + num_frames - 1, options)
