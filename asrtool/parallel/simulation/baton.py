"""N threads of which one runs at a time, in an order that virtual clocks decide: the same run every time."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from asrtool.errors import AsrtoolError
from asrtool.parallel.simulation.virtual_clocks import VirtualClocks


@dataclass
class Meeting:
    """What a collective has brought together.

    Attributes:
        values: of all ranks in their order; None of those that are lost.
        alive: the others.
    """

    values: list[Any]
    alive: list[int]


class Baton:
    """Whoever holds it runs; it is handed on where its holder waits for the others, or asks one of them for something.

    The next one is the worker with the smallest virtual clock among those that can go on; at equal clocks, whoever has not run
    for the longest time, and the lowest rank among these. So a request is answered when no worker can come to an earlier one any
    more: a discrete-event simulation. Only the holder touches the shared state, so nothing else needs a lock.

    torch's random states are handed on too, so that each worker draws as if it were alone in its process.

    Args:
        can_lose: the others go on without a worker that `end`s as lost, if it is not rank 0.
    """

    def __init__(self, clocks: VirtualClocks, can_lose: bool = False) -> None:
        self.size = len(clocks.now)
        self.clocks = clocks
        self.can_lose = can_lose
        self.ended = [False] * self.size
        self.lost = [False] * self.size
        self.failure: str | None = None
        self._turns = [threading.Semaphore(0) for _ in range(self.size)]
        self._deposits: dict[int, Any] = {}
        self._costs: list[float | None] = []
        self._meetings: list[Meeting | None] = [None] * self.size
        self._ran_at = [0] * self.size
        self._count = 0

    def first(self) -> None:
        """Lets the first worker begin."""
        self._turns[0].release()

    def start(self, rank: int) -> None:
        """Waits for this worker's first turn."""
        self._await_turn(rank)

    def meet(self, rank: int, value: Any, cost_s: float | None = 0.0) -> Meeting:
        """Deposits `value`, lets the others run up to the same point, and returns what all have deposited.

        Args:
            cost_s: by how much all clocks go on from the latest of them; None leaves them as they are. Of the ranks' numbers
                the largest counts.
        """
        self._deposits[rank] = value
        self._costs.append(cost_s)
        self._complete()
        self._pause(rank)
        meeting, self._meetings[rank] = self._meetings[rank], None
        return meeting

    def yield_turn(self, rank: int) -> None:
        """Returns when no other worker can come to an earlier time than this one's."""
        self._pause(rank)

    def end(self, rank: int, failure: str | None, lost: bool = False) -> None:
        """This worker will not come again."""
        self.ended[rank] = True
        if lost and self.can_lose and rank != 0:
            self.lost[rank] = True
            self._complete()
        else:
            self.failure = self.failure or failure
        self._pass_on()

    def _complete(self) -> None:
        """Ends the collective when all have come who still can."""
        alive = [rank for rank in range(self.size) if not self.lost[rank]]
        if not self._deposits or any(rank not in self._deposits for rank in alive):
            return
        costs = [cost for cost in self._costs if cost is not None]
        if costs:
            self.clocks.meet(alive, max(costs))
        meeting = Meeting([self._deposits.get(rank) for rank in range(self.size)], alive)
        for rank in alive:
            self._meetings[rank] = meeting
        self._deposits, self._costs = {}, []
        self._ran_at = [0] * self.size

    def _pause(self, rank: int) -> None:
        """Hands the baton on, and waits until it comes back."""
        self._count += 1
        self._ran_at[rank] = self._count
        following = self._next()
        if following == rank and self.failure is None:
            return
        random_state = torch.get_rng_state()
        gpu_state = torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None
        self._pass_on(following)
        self._await_turn(rank)
        torch.set_rng_state(random_state)
        if gpu_state is not None:
            torch.cuda.set_rng_state(gpu_state)

    def _next(self) -> int | None:
        """The worker whose turn it is; notes the failure when those who are left wait for one that has ended."""
        running = [rank for rank in range(self.size) if not self.ended[rank]]
        ready = [rank for rank in running if rank not in self._deposits]
        if running and not ready and self.failure is None:
            self.failure = f"rank {self.ended.index(True)} has ended"
        if self.failure is not None:
            return min(running, default=None)
        return min(ready, key=lambda rank: (self.clocks.now[rank], self._ran_at[rank], rank), default=None)

    def _pass_on(self, following: int | None = None) -> None:
        following = self._next() if following is None else following
        if following is not None:
            self._turns[following].release()

    def _await_turn(self, rank: int) -> None:
        try:
            self._turns[rank].acquire()
        except BaseException as error:  # a signal: this thread does not hold the baton, so it waits until the others have stopped
            self.failure = self.failure or f"rank {rank}: {type(error).__name__}"
            self._turns[rank].acquire()
            raise
        if self.failure is not None:
            raise AsrtoolError(f"rank {rank}: lost contact with another worker ({self.failure})")


def hosts_of(num_workers: int, workers_per_host: int | None) -> Sequence[int]:
    """The host of each rank; None: all on one host."""
    return [rank // (workers_per_host or num_workers) for rank in range(num_workers)]
