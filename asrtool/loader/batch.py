"""What a loader hands to the trainer."""

import dataclasses
from dataclasses import dataclass
from typing import Self

from torch import Tensor

IGNORED = -100
"""Target of positions that no loss is taken at: padding, and the first outputs under a label delay."""


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
        utterances: names of the utterances in it, for error messages.
    """

    x_BTF: Tensor
    target_BT: Tensor
    reset_B: Tensor
    num_frames: int
    num_targets: int
    utterances: "list[str]"

    def pin_memory(self) -> Self:
        """The same in page-locked memory, from which `to(device, non_blocking=True)` copies while the device works."""
        # a time-major x stays time-major
        x_BTF = self.x_BTF.transpose(0, 1).pin_memory().transpose(0, 1)
        return dataclasses.replace(self, x_BTF=x_BTF, target_BT=self.target_BT.pin_memory(), reset_B=self.reset_B.pin_memory())
