"""Sums over ranks, range by range: what all kinds of exchange share, so that their results are equal to the bit."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from asrtool.parallel.protocol import UpdateRange

UPDATE_ELEMENTS = 131_072  # a range and its half a dozen companions stay in the processor's cache
UPDATE_ELEMENTS_GPU = 4 * 1024 * 1024  # few kernels, little scratch memory


def ranges(begin: int, end: int, step: int) -> Iterator[tuple[int, int]]:
    """[begin, end) in pieces of at most `step`."""
    for left in range(begin, end, step):
        yield left, min(left + step, end)


def weighted_sum_(pieces: Sequence[Tensor], weights: Sequence[float], out: Tensor) -> None:
    """out = sum of weights[r] * pieces[r] in the order of ranks, pieces with weight 0 left out unread.

    `out` may be the first piece with a weight; the others may be scaled in place. Products and sums are separate operations, so
    that the result of an element does not depend on where in a range it stands.
    """
    first = True
    for piece, weight in zip(pieces, weights):
        if weight == 0:
            continue
        if first:
            if piece is not out:
                out.copy_(piece)
            if weight != 1:
                out.mul_(weight)
        else:
            out.add_(piece if weight == 1 else piece * weight)
        first = False
    if first:
        out.zero_()


def update_elements(device: torch.device) -> int:
    """The longest range that an update is called with."""
    return UPDATE_ELEMENTS if device.type == "cpu" else UPDATE_ELEMENTS_GPU


def update_in_ranges(begin: int, values: Tensor, update: UpdateRange) -> None:
    """Calls `update` on cache-sized ranges of `values`, which stand at element `begin` of the shard."""
    for left, right in ranges(0, values.numel(), update_elements(values.device)):
        update(begin + left, begin + right, values[left:right])
