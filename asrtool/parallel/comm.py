"""Exchange between ranks: alone (SingleComm) or over torch.distributed (TorchComm); in_process.py has virtual workers."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from asrtool.errors import AsrtoolError
from asrtool.parallel.protocol import Comm, UpdateRange
from asrtool.parallel.shared_memory import SharedBuffers, share
from asrtool.parallel.summation import UPDATE_ELEMENTS, ranges, update_in_ranges, weighted_sum_

MESSAGE_ELEMENTS = 1024 * 1024  # of one point-to-point message, 4 MiB of float32
MESSAGES_AHEAD = 4  # messages from each peer that may arrive before they are added up: bounds the staging memory


class Done:
    """An exchange that was over at once."""

    def wait(self) -> None:
        pass


class SingleComm:
    """One rank: nobody to talk to."""

    rank = 0
    size = 1
    host = (0,)
    alive = (0,)
    bytes_sent = 0

    def computed(self, num_frames: int) -> None:
        pass

    def allocate(self, num_elements: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        return torch.zeros(num_elements, dtype=dtype, device=device)

    def all_reduce_(self, tensor: Tensor) -> None:
        pass

    def all_gather(self, tensor: Tensor) -> Tensor:
        return tensor.clone()

    def reduce_scatter(self, flat: Tensor, weights: Sequence[float] | None = None) -> Tensor:
        shard = torch.empty_like(flat)
        weighted_sum_([flat], weights or [1.0], shard)
        return shard

    def exchange(self, flat: Tensor, weights: Sequence[float], update: UpdateRange) -> None:
        weighted_sum_([flat], weights, flat)
        update_in_ranges(0, flat, update)

    def start_exchange(self, flat: Tensor, weights: Sequence[float], update: UpdateRange) -> Done:
        self.exchange(flat, weights, update)
        return Done()

    def broadcast_(self, tensor: Tensor, source: int = 0) -> None:
        pass

    def barrier(self) -> None:
        pass

    def close(self) -> None:
        pass


class TorchComm:
    """Ranks of a torch.distributed process group (the default one unless given).

    gloo exchanges shards directly between all pairs of ranks, in messages of 4 MiB: while one is on its way the one before it
    is added up, updated and sent back. When all ranks are on one host they read each other's buffer in shared memory instead.
    NCCL uses its own reduce-scatter and all-gather.

    Args:
        native: use the backend's collectives; default: all but gloo.
        shared_memory: try shared memory for buffers on the CPU.
    """

    def __init__(self, group: dist.ProcessGroup | None = None, native: bool | None = None, shared_memory: bool = True) -> None:
        self.group = group if group is not None else dist.group.WORLD
        self.rank = dist.get_rank(self.group)
        self.size = dist.get_world_size(self.group)
        self.native = dist.get_backend(self.group) != "gloo" if native is None else native
        self._peers = [dist.get_global_rank(self.group, rank) for rank in range(self.size)]
        self._staging = torch.empty(0)
        self._shared: SharedBuffers | None = None
        self._try_shared = shared_memory and not self.native
        self.host = [0] * self.size
        self.alive = range(self.size)
        self.bytes_sent = 0

    def computed(self, num_frames: int) -> None:
        pass

    def start_exchange(self, flat: Tensor, weights: Sequence[float], update: UpdateRange) -> Done:
        self.exchange(flat, weights, update)
        return Done()

    def allocate(self, num_elements: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        if self._try_shared and device.type == "cpu":
            self._shared = share(num_elements, dtype, self.rank, self.all_gather)
            if self._shared is not None:
                return self._shared.flats[self.rank]
        return torch.zeros(num_elements, dtype=dtype, device=device)

    @contextmanager
    def _contact(self, what: str) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise AsrtoolError(
                f"rank {self.rank}: lost contact with {what} ({reason[:200]}); see that rank's log, then restart from the "
                "last checkpoint"
            ) from error

    def all_reduce_(self, tensor: Tensor) -> None:
        with self._contact("another worker"):
            dist.all_reduce(tensor, group=self.group)

    def all_gather(self, tensor: Tensor) -> Tensor:
        result = tensor.new_empty(self.size * tensor.numel())
        with self._contact("another worker"):
            dist.all_gather_single(result, tensor.contiguous().view(-1), group=self.group)
        return result

    def broadcast_(self, tensor: Tensor, source: int = 0) -> None:
        with self._contact("another worker"):
            dist.broadcast(tensor, self._peers[source], group=self.group)

    def barrier(self) -> None:
        with self._contact("another worker"):
            dist.barrier(group=self.group)

    def close(self) -> None:
        if dist.is_initialized():
            dist.destroy_process_group(self.group)

    def reduce_scatter(self, flat: Tensor, weights: Sequence[float] | None = None) -> Tensor:
        weights = [1.0] * self.size if weights is None else list(weights)
        shard_size = flat.numel() // self.size
        if self.native:
            return self._native_reduce_scatter(flat, weights)
        self._pairwise(flat, weights, None)
        return flat[self.rank * shard_size : (self.rank + 1) * shard_size].clone()

    def exchange(self, flat: Tensor, weights: Sequence[float], update: UpdateRange) -> None:
        if self._shared is not None and self._shared.is_own(flat):
            self._through_memory(flat, weights, update)
            return
        if not self.native:
            self._pairwise(flat, list(weights), update)
            return
        shard = self._native_reduce_scatter(flat, list(weights))
        update_in_ranges(0, shard, update)
        with self._contact("another worker"):
            dist.all_gather_single(flat, shard, group=self.group)

    def _native_reduce_scatter(self, flat: Tensor, weights: list[float]) -> Tensor:
        weight = weights[self.rank]
        if weight == 0:
            flat.zero_()  # not a product: 0 * NaN is NaN
        elif weight != 1:
            flat.mul_(weight)
        shard = flat.new_empty(flat.numel() // self.size)
        with self._contact("another worker"):
            dist.reduce_scatter_single(shard, flat, group=self.group)
        return shard

    def _through_memory(self, flat: Tensor, weights: Sequence[float], update: UpdateRange) -> None:
        """The own shard's sum straight from the others' buffers; nobody else reads that part of the own one until the barrier."""
        shard_size = flat.numel() // self.size
        first = self.rank * shard_size
        scratch = flat.new_empty(min(UPDATE_ELEMENTS, shard_size))
        self.barrier()  # all have packed their parameters
        for begin, end in ranges(0, shard_size, UPDATE_ELEMENTS):
            own = slice(first + begin, first + end)
            total = scratch[: end - begin]
            weighted_sum_([other[own] for other in self._shared.flats], weights, total)
            update(begin, end, total)
            flat[own].copy_(total)
        self.barrier()  # all shards are there
        for rank, other in enumerate(self._shared.flats):
            if rank != self.rank:
                piece = slice(rank * shard_size, (rank + 1) * shard_size)
                flat[piece].copy_(other[piece])
        self.barrier()  # all have read: training may change the parameters again

    def _stage(self, like: Tensor, num_rows: int, row_size: int) -> Tensor:
        """[MESSAGES_AHEAD, num_rows, row_size], kept between syncs."""
        size = MESSAGES_AHEAD * num_rows * row_size
        if self._staging.numel() != size or self._staging.dtype != like.dtype:
            self._staging = like.new_empty(size)
        return self._staging.view(MESSAGES_AHEAD, num_rows, row_size)

    def _pairwise(self, flat: Tensor, weights: list[float], update: UpdateRange | None) -> None:
        """Reduce-scatter by direct messages; with `update` also the all-gather of the updated values into `flat`.

        Messages of the way back are expected from the start: a peer sends one only after it has received this rank's part of
        it, so it cannot overwrite what is still to be sent.
        """
        shard_size = flat.numel() // self.size
        pieces = flat.view(self.size, shard_size)
        others = [rank for rank in range(self.size) if rank != self.rank]
        senders = [rank for rank in others if weights[rank] != 0]
        chunks = list(ranges(0, shard_size, MESSAGE_ELEMENTS))
        staging = self._stage(flat, len(others), min(shard_size, MESSAGE_ELEMENTS))

        def expect(index: int) -> list[dist.Work]:
            begin, end = chunks[index]
            rows = staging[index % MESSAGES_AHEAD]
            return [
                dist.irecv(rows[row, : end - begin], self._peers[rank], group=self.group, tag=2 * index)
                for row, rank in enumerate(senders)
            ]

        with self._contact("another worker"):
            arriving = [expect(index) for index in range(min(MESSAGES_AHEAD, len(chunks)))]
            pending = [
                dist.isend(pieces[rank, begin:end], self._peers[rank], group=self.group, tag=2 * index)
                for index, (begin, end) in enumerate(chunks)
                for rank in others
                if weights[self.rank] != 0
            ]
            if update is not None:
                pending += [
                    dist.irecv(pieces[rank, begin:end], self._peers[rank], group=self.group, tag=2 * index + 1)
                    for index, (begin, end) in enumerate(chunks)
                    for rank in others
                ]
        for index, (begin, end) in enumerate(chunks):
            for work, rank in zip(arriving[index], senders):
                with self._contact(f"rank {rank}"):
                    work.wait()
            own = pieces[self.rank, begin:end]
            rows = staging[index % MESSAGES_AHEAD]
            self._add_up(own, dict(zip(senders, rows[:, : end - begin])), weights, begin, update)
            with self._contact("another worker"):
                if index + MESSAGES_AHEAD < len(chunks):
                    arriving.append(expect(index + MESSAGES_AHEAD))
                if update is not None:
                    pending += [dist.isend(own, self._peers[rank], group=self.group, tag=2 * index + 1) for rank in others]
        with self._contact("another worker"):
            for work in pending:
                work.wait()

    def _add_up(
        self, own: Tensor, received: dict[int, Tensor], weights: list[float], begin: int, update: UpdateRange | None
    ) -> None:
        """Sum over the ranks into `own`, then the update, range by range while they are in the cache."""
        for left, right in ranges(0, own.numel(), UPDATE_ELEMENTS):
            parts = [own[left:right] if rank == self.rank else received.get(rank, own)[left:right] for rank in range(self.size)]
            total = next((part for part, weight in zip(parts, weights) if weight != 0), own[left:right])
            weighted_sum_(parts, weights, total)
            if update is not None:
                update(begin + left, begin + right, total)
            if total is not parts[self.rank]:
                parts[self.rank].copy_(total)


def make_comm(backend: str | None = None, timeout_s: float = 1800.0) -> Comm:
    """What torchrun's environment asks for: SingleComm without WORLD_SIZE or with 1, else TorchComm.

    With NCCL (the default where every local rank has a GPU of its own) the GPU of LOCAL_RANK becomes current.

    Args:
        timeout_s: how long a rank waits for the others before it gives up; a dead one is noticed at once.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return SingleComm()
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    if backend is None:
        backend = "nccl" if torch.cuda.device_count() >= int(os.environ.get("LOCAL_WORLD_SIZE", size)) else "gloo"
    device = None
    if backend == "nccl":
        device = torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
    try:
        dist.init_process_group(backend, timeout=timedelta(seconds=timeout_s), device_id=device)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise AsrtoolError(f"rank {os.environ.get('RANK')}: cannot reach the other workers ({reason[:200]})") from error
    return TorchComm()
