"""A line of communication between the ranks of a torch.distributed process group, with groups of its own."""

import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

from asrtool.errors import AsrtoolError

BARRIER_TAG = 1 << 30


class Lane:
    """The process groups that one thread at a time talks through, and staging memory.

    Attributes:
        hosts: the host of each rank, from 0.
    """

    def __init__(self, group: dist.ProcessGroup, hosts: Sequence[int] = ()) -> None:
        self.group = group
        self.rank = dist.get_rank(group)
        self.size = dist.get_world_size(group)
        self.peers = [dist.get_global_rank(group, rank) for rank in range(self.size)]
        self.hosts = list(hosts)
        self._staging: dict[str, Tensor] = {}

    def beside(self) -> "Lane":
        """Another lane between the same ranks, for another thread; collective."""
        partial = self.size < dist.get_world_size()
        with self.contact("another worker"):
            group = dist.new_group(self.peers, backend=dist.get_backend(self.group), use_local_synchronization=partial)
        return Lane(group, self.hosts)

    def host_barrier(self) -> None:
        """Waits for the ranks of this host. A dissemination barrier: after round k each knows that 2^k of them have come."""
        members = [rank for rank, host in enumerate(self.hosts) if host == self.hosts[self.rank]]
        place, step = members.index(self.rank), 1
        said, heard = torch.zeros(1), torch.zeros(1)
        while step < len(members):
            after, before = members[(place + step) % len(members)], members[place - step]
            self.wait([self.receive(heard, before, BARRIER_TAG + step), self.send(said, after, BARRIER_TAG + step)])
            step *= 2

    @contextmanager
    def contact(self, what: str) -> Iterator[None]:
        """Turns the backend's errors into one that says what to do."""
        try:
            yield
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise AsrtoolError(
                f"rank {self.rank}: lost contact with {what} ({reason[:200]}); see that rank's log, then restart from the "
                "last checkpoint"
            ) from error

    def send(self, tensor: Tensor, rank: int, tag: int) -> dist.Work:
        """Begins to send a contiguous tensor."""
        with self.contact(f"rank {rank}"):
            return dist.isend(tensor, self.peers[rank], group=self.group, tag=tag)

    def receive(self, tensor: Tensor, rank: int, tag: int) -> dist.Work:
        """Begins to receive into a contiguous tensor."""
        with self.contact(f"rank {rank}"):
            return dist.irecv(tensor, self.peers[rank], group=self.group, tag=tag)

    def wait(self, works: Iterable[dist.Work]) -> None:
        with self.contact("another worker"):
            for work in works:
                work.wait()

    def stage(self, name: str, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Uninitialised memory, kept until another shape is asked for under that name."""
        held = self._staging.get(name)
        if held is None or held.shape != torch.Size(shape) or held.dtype != dtype:
            held = self._staging[name] = torch.empty(shape, dtype=dtype)
        return held


def find_hosts(lane: Lane) -> list[int]:
    """The host of each rank, numbered in the order of ranks; collective.

    Ranks are on one host if torchrun says so (GROUP_RANK, the number of its agent), or without it if their hosts' names agree.
    """
    name = os.environ.get("GROUP_RANK") or socket.gethostname()
    names: list[str] = [""] * lane.size
    with lane.contact("another worker"):
        dist.all_gather_object(names, name, group=lane.group)
    return [list(dict.fromkeys(names)).index(other) for other in names]
