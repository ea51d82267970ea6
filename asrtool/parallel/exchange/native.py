"""The exchange of a flat buffer by the backend's own collectives, which know the machines' wires (NCCL: NVLink, InfiniBand)."""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from asrtool.parallel.exchange.lane import Lane
from asrtool.parallel.exchange.summation import sum_dtype, update_in_ranges, weighted_sum_
from asrtool.parallel.protocol import UpdateRange


def reduce_scatter(lane: Lane, flat: Tensor, weights: Sequence[float]) -> Tensor:
    """The own shard of the sum; overwrites `flat`. bfloat16 is sent as it is and added up here, in float32."""
    shard_size = flat.numel() // lane.size
    if sum_dtype(flat.dtype) != flat.dtype:
        received = torch.empty_like(flat)
        with lane.contact("another worker"):
            dist.all_to_all_single(received, flat, group=lane.group)
        shard = torch.empty(shard_size, dtype=sum_dtype(flat.dtype), device=flat.device)
        weighted_sum_(received.view(lane.size, shard_size), weights, shard, lane.hosts)
        return shard
    weight = weights[lane.rank]
    if weight == 0:
        flat.zero_()  # not a product: 0 * NaN is NaN
    elif weight != 1:
        flat.mul_(weight)
    shard = flat.new_empty(shard_size)
    with lane.contact("another worker"):
        dist.reduce_scatter_single(shard, flat, group=lane.group)
    return shard


def exchange(lane: Lane, flat: Tensor, weights: Sequence[float], update: UpdateRange) -> None:
    shard = reduce_scatter(lane, flat, weights)
    update_in_ranges(0, shard, update)
    with lane.contact("another worker"):
        dist.all_gather_single(flat, shard.to(flat.dtype), group=lane.group)
