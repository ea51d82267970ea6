"""Exchange between ranks over torch.distributed; single_comm.py has one rank alone, simulation/in_process.py virtual workers."""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from asrtool.parallel.exchange import native as collectives
from asrtool.parallel.exchange import traffic
from asrtool.parallel.exchange.background import Background, Job
from asrtool.parallel.exchange.hierarchical import Exchange
from asrtool.parallel.exchange.lane import Lane, find_hosts
from asrtool.parallel.exchange.shared_memory import SharedMemory
from asrtool.parallel.exchange.summation import sum_dtype
from asrtool.parallel.protocol import UpdateRange


class TorchComm:
    """Ranks of a torch.distributed process group (the default one unless given).

    On gloo the ranks of a host read each other's buffer in shared memory, and what goes to other hosts goes directly to the rank
    that needs it, in messages of 4 MiB: while one is on its way the one before it is added up, updated and sent back
    (hierarchical.py). NCCL uses its own collectives, which know the hosts themselves.

    Args:
        native: use the backend's collectives; default: all but gloo.
        shared_memory: try shared memory for buffers on the CPU.
        hosts: the host of each rank; default: by torchrun's agents, else by the hosts' names.
    """

    def __init__(
        self,
        group: dist.ProcessGroup | None = None,
        native: bool | None = None,
        shared_memory: bool = True,
        hosts: Sequence[int] | None = None,
    ) -> None:
        self.group = group if group is not None else dist.group.WORLD
        self._lane = Lane(self.group)
        self.rank, self.size = self._lane.rank, self._lane.size
        self.host = self._lane.hosts = find_hosts(self._lane) if hosts is None else list(hosts)
        self.native = dist.get_backend(self.group) != "gloo" if native is None else native
        self.alive = range(self.size)
        self.bytes_sent = 0
        self._memory = SharedMemory(self.rank, self.host) if shared_memory and not self.native else None
        self._background: tuple[Background, Lane] | None = None

    def computed(self, num_frames: int) -> None:
        pass

    def allocate(self, num_elements: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        flat = None
        if self._memory is not None and device.type == "cpu":
            flat = self._memory.allocate(num_elements, dtype, self._gather)
        return torch.zeros(num_elements, dtype=dtype, device=device) if flat is None else flat

    def all_reduce_(self, tensor: Tensor) -> None:
        with self._lane.contact("another worker"):
            dist.all_reduce(tensor, group=self.group)
        self.bytes_sent += traffic.of_all_reduce(self.size, tensor.nbytes)

    def all_gather(self, tensor: Tensor) -> Tensor:
        self.bytes_sent += traffic.of_all_gather(self.size, tensor.nbytes)
        return self._gather(tensor)

    def _gather(self, tensor: Tensor) -> Tensor:
        result = tensor.new_empty(self.size * tensor.numel())
        with self._lane.contact("another worker"):
            dist.all_gather_single(result, tensor.contiguous().view(-1), group=self.group)
        return result

    def broadcast_(self, tensor: Tensor, source: int = 0) -> None:
        with self._lane.contact("another worker"):
            dist.broadcast(tensor, self._lane.peers[source], group=self.group)
        if self.rank == source:
            self.bytes_sent += (self.size - 1) * tensor.nbytes

    def barrier(self) -> None:
        with self._lane.contact("another worker"):
            dist.barrier(group=self.group)

    def close(self) -> None:
        if self._background is not None:
            self._background[0].close()
        if dist.is_initialized():
            dist.destroy_process_group(self.group)

    def reduce_scatter(self, flat: Tensor, weights: Sequence[float] | None = None) -> Tensor:
        weights = [1.0] * self.size if weights is None else weights
        views = self._views(flat)
        self._count(flat, views is None, weights, give_back=False)
        if self.native:
            return collectives.reduce_scatter(self._lane, flat, weights)
        return Exchange(self._lane, flat, views, weights, None).run()

    def exchange(self, flat: Tensor, weights: Sequence[float], update: UpdateRange) -> None:
        views = self._views(flat)
        self._count(flat, views is None, weights)
        self._exchange(self._lane, flat, views, weights, update)

    def start_exchange(self, flat: Tensor, weights: Sequence[float], update: UpdateRange) -> Job:
        if self._background is None:
            self._background = Background(), self._lane.beside()
        thread, lane = self._background
        views = self._views(flat)
        self._count(flat, views is None, weights)
        return thread.start(lambda: self._exchange(lane, flat, views, weights, update), flat.device)

    def _exchange(
        self, lane: Lane, flat: Tensor, views: dict[int, Tensor] | None, weights: Sequence[float], update: UpdateRange
    ) -> None:
        if self.native:
            collectives.exchange(lane, flat, weights, update)
        else:
            Exchange(lane, flat, views, weights, update).run()

    def _views(self, flat: Tensor) -> dict[int, Tensor] | None:
        return None if self._memory is None else self._memory.find(flat)

    def _count(self, flat: Tensor, direct: bool, weights: Sequence[float], give_back: bool = True) -> None:
        shard = flat.numel() // self.size
        hosts = range(self.size) if direct else self.host
        bytes_each, sum_bytes = shard * flat.dtype.itemsize, shard * sum_dtype(flat.dtype).itemsize
        self.bytes_sent += traffic.of_exchange(self.rank, hosts, weights, bytes_each, sum_bytes, give_back).total
