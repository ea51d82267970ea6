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


def sum_dtype(dtype: torch.dtype) -> torch.dtype:
    """What values of `dtype` are summed and updated in: bfloat16 in float32, the others in themselves."""
    return torch.float32 if dtype == torch.bfloat16 else dtype


def host_groups(hosts: Sequence[int]) -> list[list[int]]:
    """The ranks in the order of summation: group by group, within a group one after the other.

    Where there are several hosts and one of them has several ranks, each host is a group, and the sums of the groups are added
    up in the order of hosts. Otherwise all ranks are one group.
    """
    groups = [[rank for rank, other in enumerate(hosts) if other == host] for host in sorted(set(hosts))]
    if len(groups) == 1 or len(groups) == len(hosts):
        return [list(range(len(hosts)))]
    return groups


def weighted_sum_(pieces: Sequence[Tensor], weights: Sequence[float], out: Tensor, hosts: Sequence[int] | None = None) -> None:
    """out = sum of weights[r] * pieces[r], pieces with weight 0 left out unread.

    Products and sums are separate operations, each rounded to the dtype of `out`, so that the result of an element does not
    depend on where in a range it stands.

    Args:
        pieces: of each rank; of the dtype of `out`, or bfloat16 with a float32 `out`.
        out: may be one of `pieces` if `may_hold_sum` says so.
        hosts: the host of each rank (`Comm.host`): gives the order of summation, see `host_groups`. None: the order of ranks.
    """
    groups = [range(len(pieces))] if hosts is None else host_groups(hosts)
    used = [members for group in groups if (members := [rank for rank in group if weights[rank] != 0])]
    if not used:
        out.zero_()
        return
    _sum_of(used[0], pieces, weights, out)
    for members in used[1:]:
        if len(members) == 1:
            out.add_(_scaled(pieces[members[0]], weights[members[0]], out.dtype))
        else:
            subtotal = torch.empty_like(out)
            _sum_of(members, pieces, weights, subtotal)
            out.add_(subtotal)


def may_hold_sum(rank: int, weights: Sequence[float], hosts: Sequence[int]) -> bool:
    """Whether the piece of `rank` may be `out` of `weighted_sum_`: if it is one of the first two in the order of summation."""
    first = next((used for group in host_groups(hosts) if (used := [other for other in group if weights[other] != 0])), [])
    return rank in first[:2]


def _sum_of(members: Sequence[int], pieces: Sequence[Tensor], weights: Sequence[float], out: Tensor) -> None:
    first, *others = members
    if others and pieces[first].dtype == pieces[others[0]].dtype == out.dtype:  # one pass over `out` instead of two
        second = others.pop(0)
        torch.add(_scaled(pieces[first], weights[first], out.dtype), _scaled(pieces[second], weights[second], out.dtype), out=out)
    else:
        if pieces[first] is not out:
            out.copy_(pieces[first])
        if weights[first] != 1:
            out.mul_(weights[first])
    for rank in others:
        out.add_(_scaled(pieces[rank], weights[rank], out.dtype))


def _scaled(piece: Tensor, weight: float, dtype: torch.dtype) -> Tensor:
    return piece if weight == 1 else piece.to(dtype) * weight


def update_elements(device: torch.device) -> int:
    """The longest range that an update is called with."""
    return UPDATE_ELEMENTS if device.type == "cpu" else UPDATE_ELEMENTS_GPU


def update_in_ranges(begin: int, values: Tensor, update: UpdateRange) -> None:
    """Calls `update` on cache-sized ranges of `values`, which stand at element `begin` of the shard.

    Values in bfloat16 must have been widened before (`sum_dtype`).
    """
    for left, right in ranges(0, values.numel(), update_elements(values.device)):
        update(begin + left, begin + right, values[left:right])
