"""Collective methods through rank 0: it waits for every rank or its loss, and its answer tells all who is alive.

What a collective method costs goes through one host, so this is for what is small or rare. In return a lost rank hinders nobody:
it counts as zeros, and all others drop it at the same method.
"""

import socket
import struct
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from asrtool.errors import AsrtoolError
from asrtool.parallel.exchange.summation import host_groups, sum_dtype
from asrtool.parallel.sockets import wire

METHODS = ("barrier", "all_reduce", "all_gather", "broadcast", "reduce_scatter")
CALL = struct.Struct("<IBQ")  # number of the call, method, bytes that follow
ANSWER = struct.Struct("<IBQ")  # number of the call, 1 if it failed, bytes that follow after the bytes of `alive`


class Member:
    """The end of a rank other than 0.

    Attributes:
        alive: ranks that took part in the last call.
        bytes_sent: payload.

    Raises:
        ConnectionLost: from any method when rank 0 is gone.
        AsrtoolError: rank 0 says that the call cannot be answered.
    """

    def __init__(self, rank: int, size: int, connection: socket.socket) -> None:
        self.rank, self.size = rank, size
        self.connection = connection
        self.alive: Sequence[int] = range(size)
        self.bytes_sent = 0
        self._calls = 0

    def barrier(self) -> None:
        self._call("barrier", None, None)

    def all_reduce_(self, tensor: Tensor) -> None:
        self._call("all_reduce", tensor, tensor)

    def all_gather(self, tensor: Tensor) -> Tensor:
        result = tensor.new_empty(self.size * tensor.numel())
        self._call("all_gather", tensor, result)
        return result

    def broadcast_(self, tensor: Tensor, source: int) -> None:
        self._call("broadcast", tensor if source == self.rank else None, tensor)

    def reduce_scatter(self, flat: Tensor, weights: Sequence[float]) -> Tensor:
        shard = flat.new_empty(flat.numel() // self.size, dtype=sum_dtype(flat.dtype))
        self._call("reduce_scatter", flat if weights[self.rank] != 0 else None, shard)
        return shard

    def _call(self, method: str, given: Tensor | None, wanted: Tensor | None) -> None:
        self._calls += 1
        body = memoryview(b"") if given is None else wire.memory_of(given)
        wire.send(self.connection, CALL.pack(self._calls, METHODS.index(method), len(body)), body)
        self.bytes_sent += len(body)
        _, failed, length = ANSWER.unpack(wire.receive_bytes(self.connection, ANSWER.size))
        alive = wire.receive_bytes(self.connection, self.size)
        if failed:
            raise AsrtoolError(f"rank {self.rank}: {wire.receive_bytes(self.connection, length).decode()}")
        if wanted is not None:
            wire.receive(self.connection, wire.memory_of(wanted))
        self.alive = [rank for rank in range(self.size) if alive[rank]]


class Hub:
    """Rank 0's end; methods and attributes as of `Member`.

    Args:
        connections: by rank.
        hosts: of all ranks: they say the order of sums.
        lose: told (rank, reason) of a rank whose connection fails; `is_lost` says who is known to be lost by other signs.
    """

    def __init__(
        self,
        connections: dict[int, socket.socket],
        hosts: Sequence[int],
        lose: Callable[[int, str], None],
        is_lost: Callable[[int], bool],
    ) -> None:
        self.size = len(connections) + 1
        self.connections, self.hosts = connections, hosts
        self.alive: Sequence[int] = range(self.size)
        self.bytes_sent = 0
        self._lose, self._is_lost = lose, is_lost
        self._calls = 0

    def barrier(self) -> None:
        self._hear("barrier", dict.fromkeys(self._members()))
        self._answer(lambda rank: None)

    def all_reduce_(self, tensor: Tensor) -> None:
        tensor.copy_(self._sum("all_reduce", tensor, [1.0] * self.size))
        self._answer(lambda rank: tensor)

    def all_gather(self, tensor: Tensor) -> Tensor:
        rows = tensor.new_zeros(self.size, tensor.numel())
        rows[0] = tensor.view(-1)
        self._hear("all_gather", {rank: rows[rank] for rank in self._members()})
        for rank in set(range(self.size)) - set(self.alive):
            rows[rank].zero_()  # it may have sent a part
        self._answer(lambda rank: rows)
        return rows.view(-1)

    def broadcast_(self, tensor: Tensor, source: int) -> None:
        self._hear("broadcast", {rank: tensor if rank == source else None for rank in self._members()})
        if source not in self.alive:
            self._refuse(f"rank {source}, whose values all wait for, is lost; see its log, then start again")
        self._answer(lambda rank: tensor)

    def reduce_scatter(self, flat: Tensor, weights: Sequence[float]) -> Tensor:
        shards = self._sum("reduce_scatter", flat, weights).view(self.size, -1)
        self._answer(lambda rank: shards[rank])
        return shards[0].clone()

    def _members(self) -> list[int]:
        return [rank for rank in self.alive if rank != 0]

    def _sum(self, method: str, own: Tensor, weights: Sequence[float]) -> Tensor:
        """Sum of weights[r] * (tensor of rank r), equal to the bit to `summation.weighted_sum_`."""
        self._calls += 1
        dtype = sum_dtype(own.dtype)
        total: Tensor | None = None
        there = [0]
        staging = torch.empty_like(own) if self.size > 1 else own
        for group in host_groups(self.hosts):
            subtotal: Tensor | None = None
            for rank in group:
                piece = own
                if rank != 0:
                    if rank not in self.alive or not self._receive(rank, method, staging if weights[rank] != 0 else None):
                        continue
                    there.append(rank)
                    piece = staging
                if weights[rank] == 0:
                    continue
                scaled = piece.to(dtype, copy=True)
                if weights[rank] != 1:
                    scaled.mul_(weights[rank])
                subtotal = scaled if subtotal is None else subtotal.add_(scaled)
            if subtotal is not None:
                total = subtotal if total is None else total.add_(subtotal)
        self.alive = sorted(there)
        return torch.zeros_like(own, dtype=dtype) if total is None else total

    def _hear(self, method: str, places: dict[int, Tensor | None]) -> None:
        """Takes every rank's call, or its loss."""
        self._calls += 1
        self.alive = [0, *(rank for rank, place in places.items() if self._receive(rank, method, place))]

    def _receive(self, rank: int, method: str, place: Tensor | None) -> bool:
        """False: the rank is lost."""
        if self._is_lost(rank):
            return False
        connection = self.connections[rank]
        try:
            number, said, length = CALL.unpack(wire.receive_bytes(connection, CALL.size))
            expected = 0 if place is None else place.numel() * place.element_size()
            if (number, said, length) != (self._calls, METHODS.index(method), expected):
                self._refuse(
                    f"rank {rank} calls {METHODS[said]} with {length} bytes where rank 0 calls {method} with {expected}: "
                    "the ranks do not run the same training"
                )
            if place is not None:
                wire.receive(connection, wire.memory_of(place))
        except wire.ConnectionLost as error:
            self._lose(rank, str(error))
            return False
        return True

    def _answers(self, failed: bool, length: int) -> Iterator[tuple[int, bytes]]:
        alive = bytes(rank in self.alive for rank in range(self.size))
        head = ANSWER.pack(self._calls, failed, length) + alive
        return ((rank, head) for rank in self.alive if rank != 0)

    def _answer(self, result: Callable[[int], Tensor | None]) -> None:
        for rank, head in self._answers(False, 0):
            tensor = result(rank)
            body = None if tensor is None else wire.memory_of(tensor)
            self._say(rank, head, body)

    def _refuse(self, why: str) -> None:
        message = why.encode()
        for rank, head in self._answers(True, len(message)):
            self._say(rank, head, memoryview(message))
        raise AsrtoolError(f"rank 0: {why}")

    def _say(self, rank: int, head: bytes, body: memoryview | None) -> None:
        """To one that is lost meanwhile: it drops out at the next call."""
        try:
            wire.send(self.connections[rank], head, body)
            self.bytes_sent += 0 if body is None else len(body)
        except wire.ConnectionLost as error:
            self._lose(rank, str(error))
