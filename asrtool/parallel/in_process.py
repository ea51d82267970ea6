"""N virtual workers in one process: real algorithms without a cluster, the same run every time."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from asrtool.errors import AsrtoolError
from asrtool.parallel.comm import Done
from asrtool.parallel.protocol import UpdateRange
from asrtool.parallel.summation import update_in_ranges, weighted_sum_

Result = TypeVar("Result")


class _Baton:
    """Lets one worker run at a time: the next one's turn comes when this one waits for the others or ends.

    torch's random state is exchanged with the turn, so that each worker draws as if it were alone in its process.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.changed = threading.Condition()
        self.turn = 0
        self.ended = [False] * size
        self.deposits: dict[int, Any] = {}
        self.collected: list[Any] = [None] * size
        self.failure: str | None = None

    def start(self, rank: int) -> None:
        with self.changed:
            self._wait_for_turn(rank)

    def meet(self, rank: int, value: Any) -> list[Any]:
        """Deposits `value`, lets the others run up to the same point, returns the values of all in the order of ranks."""
        random_state = torch.get_rng_state()
        with self.changed:
            self.deposits[rank] = value
            if len(self.deposits) == self.size:
                values = [self.deposits[other] for other in range(self.size)]
                self.collected = [values] * self.size
                self.deposits = {}
                self.turn = 0
            else:
                self._pass_on()
            self.changed.notify_all()
            self._wait_for_turn(rank)
            torch.set_rng_state(random_state)
            return self.collected[rank]

    def end(self, rank: int, failure: str | None) -> None:
        with self.changed:
            self.ended[rank] = True
            self.failure = self.failure or failure
            self._pass_on()
            self.changed.notify_all()

    def _pass_on(self) -> None:
        runnable = [rank for rank in range(self.size) if not self.ended[rank] and rank not in self.deposits]
        if runnable:
            self.turn = runnable[0]
        elif self.deposits:
            gone = [rank for rank in range(self.size) if self.ended[rank]]
            self.failure = self.failure or f"rank {gone[0]} has ended"

    def _wait_for_turn(self, rank: int) -> None:
        while self.failure is None and self.turn != rank:
            self.changed.wait()
        if self.failure is not None:
            raise AsrtoolError(f"rank {rank}: lost contact with another worker ({self.failure})")


class InProcessComm:
    """One virtual worker's end; `run_workers` makes them. Results equal those of TorchComm on gloo bit for bit."""

    def __init__(self, baton: _Baton, rank: int) -> None:
        self._baton = baton
        self.rank = rank
        self.size = baton.size
        self.host = [0] * self.size
        self.alive = range(self.size)
        self.bytes_sent = 0

    def computed(self, num_frames: int) -> None:
        pass

    def start_exchange(self, flat: Tensor, weights: Sequence[float], update: UpdateRange) -> Done:
        self.exchange(flat, weights, update)
        return Done()

    def _meet(self, value: Any) -> list[Any]:
        return self._baton.meet(self.rank, value)

    def allocate(self, num_elements: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        return torch.zeros(num_elements, dtype=dtype, device=device)

    def all_reduce_(self, tensor: Tensor) -> None:
        weighted_sum_(self._meet(tensor.clone()), [1.0] * self.size, tensor)

    def all_gather(self, tensor: Tensor) -> Tensor:
        return torch.cat([part.reshape(-1) for part in self._meet(tensor.clone())])

    def reduce_scatter(self, flat: Tensor, weights: Sequence[float] | None = None) -> Tensor:
        weights = [1.0] * self.size if weights is None else weights
        shard_size = flat.numel() // self.size
        own = slice(self.rank * shard_size, (self.rank + 1) * shard_size)
        shard = flat.new_empty(shard_size)
        weighted_sum_([other[own] for other in self._meet(flat)], weights, shard)
        self.barrier()  # all have read before anyone goes on to change `flat`
        return shard

    def exchange(self, flat: Tensor, weights: Sequence[float], update: UpdateRange) -> None:
        shard = self.reduce_scatter(flat, weights)
        update_in_ranges(0, shard, update)
        torch.cat(self._meet(shard), out=flat)

    def broadcast_(self, tensor: Tensor, source: int = 0) -> None:
        tensor.copy_(self._meet(tensor.clone())[source])

    def barrier(self) -> None:
        self._meet(None)

    def close(self) -> None:
        pass


def run_workers(num_workers: int, work: Callable[[InProcessComm], Result]) -> list[Result]:
    """Runs `work(comm)` for every rank, one at a time, switching where they talk to each other; returns their results.

    All workers start with the caller's torch random state and keep one of their own. Other random generators are shared: seed
    one in `work`. If a worker raises, the others are told and the first exception is raised here.
    """
    baton = _Baton(num_workers)
    results: list[Any] = [None] * num_workers
    errors: list[BaseException] = []
    random_state = torch.get_rng_state()

    def run(rank: int) -> None:
        failure = None
        try:
            baton.start(rank)
            torch.set_rng_state(random_state)
            results[rank] = work(InProcessComm(baton, rank))
        except BaseException as error:  # raised again by the caller's thread
            errors.append(error)
            failure = f"rank {rank} stopped: {error}"
        finally:
            baton.end(rank, failure)

    threads = [threading.Thread(target=run, args=(rank,), name=f"worker{rank}", daemon=True) for rank in range(num_workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results
