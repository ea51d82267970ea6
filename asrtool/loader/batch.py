"""What a loader hands to the trainer."""

from dataclasses import dataclass

from torch import Tensor

IGNORED = -100
"""Target of positions that no loss is taken at: padding, and the first outputs under a label delay."""


@dataclass
class Batch:
    """B streams (or shuffled windows, T = 1) of T windows.

    Attributes:
        x_BTF: float32.
        target_BT: int64 pdf-ids, or IGNORED.
        reset_B: bool, the stream begins a new utterance with this batch. B never grows within an epoch's shard: streams
            that run out of utterances are the last ones and drop off.
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
