"""N virtual workers in one process: real algorithms without a cluster, the same run every time."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from asrtool.errors import AsrtoolError
from asrtool.parallel.exchange import traffic
from asrtool.parallel.exchange.summation import ranges, sum_dtype, update_elements, update_in_ranges, weighted_sum_
from asrtool.parallel.protocol import HEADER_SIZE, ShardServer, UpdateRange
from asrtool.parallel.simulation.baton import Baton, Meeting
from asrtool.parallel.simulation.simulated_time import SimulatedTime
from asrtool.parallel.simulation.virtual_clocks import VirtualClocks

Result = TypeVar("Result")


class LostWorker(Exception):
    """Raised in `work`: this virtual worker dies here, unexpectedly for the others."""


class Overlapped:
    """An exchange whose result is there already, while the clock says that it is still under way."""

    def __init__(self, clocks: VirtualClocks, rank: int, done: float, cost_s: float) -> None:
        self._clocks, self._rank, self._done, self._cost_s = clocks, rank, done, cost_s
        self._started = clocks.now[rank]

    def wait(self) -> None:
        self._clocks.wait(self._rank, self._done, self._cost_s, self._started)


class InProcessComm:
    """One virtual worker's end; `run_workers` makes them. Results equal those of TorchComm on gloo bit for bit.

    Attributes:
        clocks: of all virtual workers.
        native: models are on the GPU, all on the same one.
    """

    def __init__(self, baton: Baton, exchange: "_Exchange", rank: int, on_gpu: bool = False) -> None:
        self._baton = baton
        self._shared = exchange
        self.native = on_gpu
        self.clocks = baton.clocks
        self.rank = rank
        self.size = baton.size
        self.host: Sequence[int] = self.clocks.hosts
        self.alive: Sequence[int] = range(self.size)

    @property
    def bytes_sent(self) -> int:
        """Payload sent to other ranks: by collectives and requests, and by this rank's server with its answers."""
        return self._shared.bytes_sent[self.rank]

    def _sent(self, num_bytes: int) -> None:
        self._shared.bytes_sent[self.rank] += num_bytes
        self.clocks.sent(self.rank, num_bytes)

    def computed(self, num_frames: int) -> None:
        self.clocks.computed(self.rank, num_frames)

    def allocate(self, num_elements: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        return torch.zeros(num_elements, dtype=dtype, device=device)

    def _meet(self, value: Any, cost_s: float | None = 0.0) -> Meeting:
        meeting = self._baton.meet(self.rank, value, cost_s)
        if len(meeting.alive) < len(self.alive):
            self.alive = meeting.alive
        return meeting

    # --- collectives

    def all_reduce_(self, tensor: Tensor) -> None:
        num_bytes = tensor.numel() * tensor.element_size()
        self._sent(traffic.of_all_reduce(self.size, num_bytes))
        values = self._meet(tensor.clone(), self.clocks.times.all_reduce_s(self.host, num_bytes)).values
        parts = [value for value in values if value is not None]
        weighted_sum_(parts, [1.0] * len(parts), tensor)

    def all_gather(self, tensor: Tensor) -> Tensor:
        num_bytes = tensor.numel() * tensor.element_size()
        self._sent(traffic.of_all_gather(self.size, num_bytes))
        values = self._meet(tensor.clone(), self.clocks.times.all_gather_s(self.host, num_bytes)).values
        return torch.cat([torch.zeros_like(tensor).view(-1) if value is None else value.reshape(-1) for value in values])

    def reduce_scatter(self, flat: Tensor, weights: Sequence[float] | None = None) -> Tensor:
        weights = [1.0] * self.size if weights is None else weights
        shard = self._own_sum(flat, weights, 0.0)
        self._meet(None, self._exchange_s(flat, weights, give_back=False))  # all have read before anyone changes `flat`
        return shard

    def exchange(self, flat: Tensor, weights: Sequence[float], update: UpdateRange) -> None:
        self._exchange(flat, weights, update, 0.0, self._exchange_s(flat, weights))

    def start_exchange(self, flat: Tensor, weights: Sequence[float], update: UpdateRange) -> Overlapped:
        cost_s = self._exchange_s(flat, weights)
        starts = [time for time in self._meet(self.clocks.now[self.rank], None).values if time is not None]
        self._exchange(flat, weights, update, None, None)
        return Overlapped(self.clocks, self.rank, self.clocks.begin(self.rank, starts, cost_s), cost_s)

    def broadcast_(self, tensor: Tensor, source: int = 0) -> None:
        num_bytes = tensor.numel() * tensor.element_size()
        self._sent((self.size - 1) * num_bytes if self.rank == source else 0)
        value = self._meet(tensor.clone(), self.clocks.times.broadcast_s(self.host, num_bytes)).values[source]
        if value is None:
            raise AsrtoolError(f"rank {self.rank}: lost contact with rank {source}; restart from the last checkpoint")
        tensor.copy_(value)

    def barrier(self) -> None:
        self._meet(None, self.clocks.times.broadcast_s(self.host, 0))

    def close(self) -> None:
        pass

    def _exchange(
        self, flat: Tensor, weights: Sequence[float], update: UpdateRange, begin_s: float | None, end_s: float | None
    ) -> None:
        shard = self._own_sum(flat, weights, begin_s)
        update_in_ranges(0, shard, update)
        values = self._meet(shard.to(flat.dtype), end_s).values  # rounded once; all have read, so `flat` may change
        torch.cat([torch.zeros_like(values[self.rank]) if value is None else value for value in values], out=flat)

    def _own_sum(self, flat: Tensor, weights: Sequence[float], cost_s: float | None) -> Tensor:
        """Sum over the workers for the own shard, in the dtype that values are updated in."""
        meeting = self._meet(flat, cost_s)
        shard_size = flat.numel() // self.size
        pieces = [flat if value is None else value for value in meeting.values]
        pieces = [piece[self.rank * shard_size : (self.rank + 1) * shard_size] for piece in pieces]
        used = [0.0 if value is None else weight for value, weight in zip(meeting.values, weights)]
        shard = torch.empty(shard_size, dtype=sum_dtype(flat.dtype), device=flat.device)
        for begin, end in ranges(0, shard_size, update_elements(flat.device)):  # the terms stay in the cache
            weighted_sum_([piece[begin:end] for piece in pieces], used, shard[begin:end], self.host)
        return shard

    def _exchange_s(self, flat: Tensor, weights: Sequence[float], give_back: bool = True) -> float:
        """Books the bytes of an exchange and returns its seconds."""
        shard, size = flat.numel() // self.size, flat.element_size()
        sum_size = sum_dtype(flat.dtype).itemsize
        sent = traffic.of_exchange(self.rank, self.host, weights, shard * size, shard * sum_size, give_back)
        self._sent(sent.total)
        return self.clocks.times.exchange_s(self.host, weights, shard, size, sum_size, give_back)

    # --- requests

    def serve(self, server: ShardServer) -> None:
        self._shared.servers[self.rank] = server
        self.barrier()

    @torch.no_grad()
    def request(
        self, owners: Sequence[int], header: Sequence[float], flat: Tensor, send: bool = True, receive: bool = True
    ) -> list[list[float] | None]:
        """All pieces are answered at the time when the worker asks; what the messages take is on its own clock alone."""
        self._baton.yield_turn(self.rank)
        shard_size = flat.numel() // self.size
        present = [None if self._baton.ended[owner] else owner for owner in owners]
        replies = []
        for piece, owner in enumerate(present):
            values = flat[piece * shard_size : (piece + 1) * shard_size]
            replies.append(None if owner is None else self._ask(owner, piece, header, values, send, receive))
        piece_bytes = shard_size * flat.element_size()
        asked = [owner for owner in present if owner is not None]
        self.clocks.request(self.rank, asked, shard_size, send * piece_bytes, receive * piece_bytes)
        return replies

    def _ask(self, owner: int, piece: int, header: Sequence[float], values: Tensor, send: bool, receive: bool) -> list[float]:
        server = self._shared.servers[owner]
        if server is None:
            raise AsrtoolError(f"rank {owner} does not answer requests: it has no server")
        reply = server.open(self.rank, piece, _padded(header))
        values = values if receive else values.clone()
        for begin, end in ranges(0, values.numel(), update_elements(values.device)):
            server.update(self.rank, piece, begin, end, values[begin:end])
        if owner != self.rank:
            num_bytes = values.numel() * values.element_size()
            self._sent(send * num_bytes)
            self._shared.bytes_sent[owner] += receive * num_bytes
            self.clocks.sent(owner, receive * num_bytes)
        return _padded(reply)


def _padded(header: Sequence[float]) -> list[float]:
    return [*map(float, header), *[0.0] * (HEADER_SIZE - len(header))]


class _Exchange:
    """What virtual workers share beside the baton."""

    def __init__(self, size: int) -> None:
        self.servers: list[ShardServer | None] = [None] * size
        self.bytes_sent = [0] * size


def run_workers(
    num_workers: int,
    work: Callable[[InProcessComm], Result],
    times: SimulatedTime | None = None,
    hosts: Sequence[int] | None = None,
    can_lose: bool = False,
    on_gpu: bool = False,
) -> list[Result]:
    """Runs `work(comm)` for every rank, one at a time, switching where they talk to each other; returns their results.

    Rank 0 runs on the caller's thread, where signals arrive. All workers start with the caller's torch random state and keep one
    of their own. Other random generators are shared: seed one in `work`. If a worker raises, the others are told and the first
    exception is raised here.

    Args:
        times: by which the workers' clocks go; None: each frame takes the same time, communication none.
        hosts: the host of each rank; None: all on one.
        can_lose: a worker that raises LostWorker is lost (its result is None) and the others go on without it, as with a comm for
            asynchronous algorithms; without that, and for rank 0, it takes the others with it.
        on_gpu: what asks the comm where to train is told: on the current GPU.
    """
    hosts = [0] * num_workers if hosts is None else list(hosts)
    if len(hosts) != num_workers:
        raise ValueError(f"hosts has {len(hosts)} entries for {num_workers} workers")
    baton = Baton(VirtualClocks(times or SimulatedTime(), hosts), can_lose)
    shared = _Exchange(num_workers)
    results: list[Any] = [None] * num_workers
    errors: list[BaseException] = []
    random_state = torch.get_rng_state()

    def run(rank: int) -> None:
        failure, lost = None, False
        try:
            baton.start(rank)
            torch.set_rng_state(random_state)
            results[rank] = work(InProcessComm(baton, shared, rank, on_gpu))
        except BaseException as error:  # raised again by the caller's thread
            failure, lost = f"rank {rank} stopped: {error}", isinstance(error, LostWorker)
            if not (lost and can_lose and rank):
                errors.append(error)
        finally:
            baton.end(rank, failure, lost)

    threads = [threading.Thread(target=run, args=(rank,), name=f"worker{rank}", daemon=True) for rank in range(1, num_workers)]
    for thread in threads:
        thread.start()
    baton.first()
    run(0)
    for thread in threads:
        thread.join()
    torch.set_rng_state(random_state)
    if errors:
        raise errors[0]
    return results
