"""Ranks over plain TCP that ask each other at any time, and go on without a rank that is lost."""

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from asrtool.errors import AsrtoolError
from asrtool.io.guard_note import CUT_OFF, JOINED, tell_guard
from asrtool.parallel.exchange.single_comm import Done
from asrtool.parallel.exchange.summation import update_in_ranges
from asrtool.parallel.protocol import ShardServer, UpdateRange
from asrtool.parallel.sockets import wire
from asrtool.parallel.sockets.heartbeat import HAS_STOPPED, Heartbeat, lost_message
from asrtool.parallel.sockets.hub import Hub, Member
from asrtool.parallel.sockets.rendezvous import Rendezvous, close_all
from asrtool.parallel.sockets.shard_requests import Requests
from asrtool.parallel.sockets.shard_service import ShardService

Result = TypeVar("Result")


class TcpComm:
    """The comm of the asynchronous algorithms: `serve` and `request` between all pairs of ranks, collectives through rank 0.

    A rank whose connection ends is lost at once, one without a sign of life after `lost_after_s`; so is one that another rank
    cannot reach. The others go on: a request that it should answer returns None for its pieces, and the next collective leaves
    it out of `alive`. Rank 0, or this rank's contact with it, cannot be lost: every method then raises AsrtoolError. Before
    `serve` no rank can be.

    Tensors on a GPU travel through pinned memory.

    Args:
        store: where ranks publish their addresses; used here alone.
        timeout_s: how long a collective waits for a rank that shows signs of life.
        master: host name or address that every rank can reach; default: MASTER_ADDR, or this machine.
        native: each rank has a GPU of its own, on which its tensors may be.
    """

    def __init__(
        self,
        store: dist.Store,
        rank: int,
        size: int,
        lost_after_s: float = 30.0,
        timeout_s: float = 1800.0,
        master: str | None = None,
        native: bool = False,
    ) -> None:
        self.rank, self.size = rank, size
        self.native = native
        self.lost_after_s = lost_after_s
        self._lost: dict[int, str] = {}
        self._warned: set[int] = set()
        self._losing = threading.Lock()
        self._requests: Requests | None = None
        self._service = ShardService(rank)
        self._device = torch.device("cpu")
        self._pinned = torch.empty(0)
        self._closed = self._joined = False
        self._rendezvous = Rendezvous(store, rank, size, timeout_s, master)
        self.host = self._rendezvous.hosts
        connections = {}
        try:
            if rank == 0:
                connections = self._rendezvous.accept(set(range(1, size)), "hub")
            else:
                connections = {0: self._rendezvous.connect(0, "hub")}
            self._connections = connections
            self._heartbeat = Heartbeat(self._rendezvous, lost_after_s, self._lose)
        except BaseException:
            close_all(connections)
            self._rendezvous.close()
            raise
        for connection in connections.values():
            wire.set_time_limit(connection, timeout_s)
        self._star = Hub(connections, self.host, self._lose, self._is_lost) if rank == 0 else Member(rank, size, connections[0])
        try:
            self._collective(self._star.barrier)  # rank 0 may be the store: it waits until all have read
        except BaseException:
            self.close()
            raise

    @property
    def alive(self) -> Sequence[int]:
        return self._star.alive

    @property
    def bytes_sent(self) -> int:
        requested = 0 if self._requests is None else self._requests.bytes_sent
        return self._star.bytes_sent + self._service.bytes_sent + requested

    def computed(self, num_frames: int) -> None:
        pass

    def allocate(self, num_elements: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        self._device = device
        return torch.zeros(num_elements, dtype=dtype, device=device)

    # --- collective methods

    def all_reduce_(self, tensor: Tensor) -> None:
        with self._on_cpu(tensor) as here:
            self._collective(lambda: self._star.all_reduce_(here))

    def all_gather(self, tensor: Tensor) -> Tensor:
        here = tensor.detach().cpu().contiguous().view(-1)
        return self._collective(lambda: self._star.all_gather(here)).to(tensor.device)

    def reduce_scatter(self, flat: Tensor, weights: Sequence[float] | None = None) -> Tensor:
        here = flat.detach().cpu().contiguous()
        weights = [1.0] * self.size if weights is None else list(weights)
        return self._collective(lambda: self._star.reduce_scatter(here, weights)).to(flat.device)

    def exchange(self, flat: Tensor, weights: Sequence[float], update: UpdateRange) -> None:
        shard = self.reduce_scatter(flat, weights)
        update_in_ranges(0, shard, update)
        flat.copy_(self.all_gather(shard.to(flat.dtype)))

    def start_exchange(self, flat: Tensor, weights: Sequence[float], update: UpdateRange) -> Done:
        self.exchange(flat, weights, update)
        return Done()

    def broadcast_(self, tensor: Tensor, source: int = 0) -> None:
        with self._on_cpu(tensor) as here:
            self._collective(lambda: self._star.broadcast_(here, source))

    def barrier(self) -> None:
        self._collective(self._star.barrier)

    def serve(self, server: ShardServer) -> None:
        self._service.use(server, self._device)
        if self._requests is None:
            self.barrier()  # all listen
            others = [rank for rank in range(self.size) if rank != self.rank]
            asking = {rank: self._rendezvous.connect(rank, "request") for rank in others}
            self._requests = Requests(asking, self._service, self.lost_after_s, self._cannot_reach)
            self._service.start(self._rendezvous.accept(set(others), "request"))
        self.barrier()
        self._joined = True
        tell_guard(JOINED)

    @contextmanager
    def _on_cpu(self, tensor: Tensor) -> Iterator[Tensor]:
        """The tensor's values in contiguous CPU memory, written back afterwards."""
        here = tensor.detach().cpu().contiguous()
        yield here
        if here.data_ptr() != tensor.data_ptr():
            with torch.no_grad():
                tensor.copy_(here)

    def _collective(self, call: Callable[[], Result]) -> Result:
        """Whoever drops out of `alive` here changes nothing any more in what this rank serves."""
        self._check()
        before = self._star.alive
        try:
            result = call()
        except wire.ConnectionLost as error:
            self._lose(0, str(error))
            self._check()
            raise
        for rank in sorted(set(before) - set(self._star.alive)):
            self._lose(rank, "rank 0 has lost it")
            self._warn(rank)
            self._service.wait_for_end(rank)
            if not self._joined:
                raise self._lost_contact(rank)
        return result

    # --- requests

    def request(
        self, owners: Sequence[int], header: Sequence[float], flat: Tensor, send: bool = True, receive: bool = True
    ) -> list[list[float] | None]:
        """As in `Comm`; a piece whose owner is lost in the middle may hold a part of the answer."""
        self._check()
        assert self._requests is not None, "serve comes before request"
        pieces = flat.detach().view(self.size, -1)
        here = pieces
        if flat.device.type != "cpu":
            if self._pinned.shape != pieces.shape or self._pinned.dtype != flat.dtype:
                self._pinned = torch.empty(pieces.shape, dtype=flat.dtype, pin_memory=True)
            here = self._pinned
            if send:
                here.copy_(pieces)
        replies = self._requests.ask(owners, self._is_lost, header, here, pieces, send, receive)
        self._check()
        if here is not pieces and receive:
            for piece, owner in enumerate(owners):
                if owner != self.rank and replies[piece] is not None:
                    pieces[piece].copy_(here[piece])
        return replies

    # --- losses

    def _check(self) -> None:
        """
        Raises:
            AsrtoolError: rank 0 is out of reach; this rank's server has failed.
        """
        if self.rank != 0 and 0 in self._lost:
            tell_guard(CUT_OFF)
            raise self._lost_contact(0)
        self._service.check()

    def _lost_contact(self, rank: int) -> AsrtoolError:
        return AsrtoolError(lost_message(self.rank, rank, self._rendezvous.names, self._lost[rank]))

    def _is_lost(self, rank: int) -> bool:
        return rank in self._lost

    def _cannot_reach(self, rank: int, reason: str) -> None:
        """An owner's connection is broken: rank 0 has to know that."""
        self._heartbeat.report(rank)
        self._lose(rank, reason)

    def _lose(self, rank: int, reason: str) -> None:
        """From any thread; wakes whoever waits for that rank."""
        with self._losing:
            if rank in self._lost:
                return
            self._lost[rank] = reason
            if reason != HAS_STOPPED:  # all may be about to stop
                self._warn(rank)
        if rank in self._connections:
            wire.hang_up(self._connections[rank])
        gone = [rank] if self.rank == 0 or rank != 0 else [other for other in range(self.size) if other != self.rank]
        for other in gone:
            self._service.hang_up(other)
            if self._requests is not None:
                self._requests.hang_up(other)

    def _warn(self, rank: int) -> None:
        """Rank 0 says once that a rank is lost."""
        if self.rank != 0 or rank in self._warned:
            return
        self._warned.add(rank)
        sys.stderr.write(
            f"WARNING: rank {rank} (host {self._rendezvous.names[rank]}) is lost: {self._lost[rank]}; "
            f"{self.size - len(self._lost)} of {self.size} workers are left; see that rank's log\n"
        )

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._heartbeat.close()
        if self._requests is not None:
            self._requests.close()
        self._service.close()
        close_all(self._connections)
        self._rendezvous.close()
