"""Bytes that an exchange sends: counted alike by real and virtual workers, and by whatever plans with them."""

from collections.abc import Sequence
from typing import NamedTuple

from asrtool.parallel.exchange.summation import host_groups


class Traffic(NamedTuple):
    """Payload bytes that one rank sends: to ranks of its own host, and to other hosts."""

    within: int
    between: int

    @property
    def total(self) -> int:
        return self.within + self.between


def of_exchange(
    rank: int,
    hosts: Sequence[int],
    weights: Sequence[float],
    shard_bytes: int,
    sum_bytes: int | None = None,
    give_back: bool = True,
) -> Traffic:
    """What rank `rank` sends in one `Comm.exchange`; shared memory counts like messages.

    Directly, each rank sends to each other its piece of the flat buffer, and later gets the updated piece: 2 (N-1)/N of the
    buffer. With several hosts of several ranks, see `carrier`: what goes to other hosts falls by the number of ranks a host.

    Args:
        hosts: the host of each rank.
        weights: of the exchange; a rank with weight 0 sends nothing on the way in.
        shard_bytes: of one rank's piece as it travels.
        sum_bytes: the same for a host's sum, which travels in float32 where the buffer is bfloat16; default: `shard_bytes`.
        give_back: the updated pieces go back; False for a reduce-scatter alone.
    """
    sum_bytes = shard_bytes if sum_bytes is None else sum_bytes
    groups = host_groups(hosts)
    size = len(hosts)
    if len(groups) == 1:
        near = sum(1 for other in range(size) if other != rank and hosts[other] == hosts[rank])
        far = size - 1 - near
        times = int(weights[rank] != 0) + int(give_back)
        return Traffic(times * near * shard_bytes, times * far * shard_bytes)
    own = next(group for group in groups if rank in group)
    active = any(weights[other] != 0 for other in own)
    carried = [piece for piece in range(size) if piece not in own and carrier(piece, own) == rank]
    # in: every piece to the rank of this host that adds it up; sums to their owners
    within = sum(shard_bytes for piece in range(size) if _adder(piece, own) != rank) if weights[rank] != 0 else 0
    between = len(carried) * sum_bytes if active else 0
    if give_back:  # the own piece to the others of this host and to each other host, carried pieces to the others of this host
        within += (len(own) - 1) * (1 + len(carried)) * shard_bytes
        between += (len(groups) - 1) * shard_bytes
    return Traffic(within, between)


def carrier(piece: int, members: Sequence[int]) -> int:
    """The rank of another host (with ranks `members`) that sends its host's sum of piece `piece` to the owner, and takes the
    updated piece back for its whole host."""
    return members[piece % len(members)]


def _adder(piece: int, members: Sequence[int]) -> int:
    return piece if piece in members else carrier(piece, members)


def of_all_gather(size: int, num_bytes: int) -> int:
    """Bytes a rank sends when all ranks get `num_bytes` from each."""
    return (size - 1) * num_bytes


def of_all_reduce(size: int, num_bytes: int) -> int:
    """Bytes a rank sends when `num_bytes` are summed over all ranks for all."""
    return 2 * (size - 1) * num_bytes // size
