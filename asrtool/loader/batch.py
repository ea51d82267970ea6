"""What a loader hands to the trainer."""

import dataclasses
from dataclasses import dataclass
from typing import Self

import numpy as np
from torch import Tensor

IGNORED = -100
"""Target of positions that no loss is taken at: padding, and the first outputs under a label delay."""


@dataclass
class OuterRows:
    """What sequence training adds to a minibatch: the pairs that are not 0 of the outer gradient [B, T, P].

    Of P = 3,000 pdfs a few to a few dozen are on any path at a frame, so pairs take a hundredth of the dense array's memory,
    of the time to fill it and of the way to a GPU.

    Attributes:
        row_N: int64, t * B + b.
        pdf_N: int64; each pair of row and pdf once.
        value_N: float32, d(objective) / d(log-likelihood of the pdf), a 10 ms frame (the mean over a window's frames).
        loss: what the criterion says of the utterances, summed over the minibatch's targets.
    """

    row_N: Tensor
    pdf_N: Tensor
    value_N: Tensor
    loss: float


@dataclass
class Batch:
    """B streams (or whole utterances, or shuffled windows with T = 1) of T windows.

    Attributes:
        x_BTF: float32.
        target_BT: int64 pdf-ids, or IGNORED.
        reset_B: bool, the stream begins a new utterance with this batch. Of streams, B never grows within a window of shards:
            those that run out of utterances are the last ones and drop off. Whole utterances and shuffled windows: all True.
        num_frames: 10 ms frames that the targets stand for.
        num_targets: targets that are not IGNORED.
        utterances: names of the utterances in it, for error messages; of streams and whole utterances that of each b.
        begin_B, shift_B: int64, streams and whole utterances: b's first position in its utterance (position p hears window p
            and answers for window p - label delay), and how far the utterance's windows are moved back (nnet.input).
        outer: of sequence training.
    """

    x_BTF: Tensor
    target_BT: Tensor
    reset_B: Tensor
    num_frames: int
    num_targets: int
    utterances: "list[str]"
    begin_B: np.ndarray | None = None
    shift_B: np.ndarray | None = None
    outer: OuterRows | None = None

    def pin_memory(self) -> Self:
        """The same in page-locked memory, from which `to(device, non_blocking=True)` copies while the device works."""
        # a time-major x stays time-major
        x_BTF = self.x_BTF.transpose(0, 1).pin_memory().transpose(0, 1)
        return dataclasses.replace(self, x_BTF=x_BTF, target_BT=self.target_BT.pin_memory(), reset_B=self.reset_B.pin_memory())
