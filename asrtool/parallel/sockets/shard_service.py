"""Answers to the other ranks' requests: a thread for each of them, range by range as the values come in."""

import socket
import struct
import sys
import threading
import traceback
from collections.abc import Sequence

import torch
from torch import Tensor

from asrtool.errors import AsrtoolError
from asrtool.parallel.exchange.summation import ranges, update_elements
from asrtool.parallel.protocol import HEADER_SIZE, ShardServer
from asrtool.parallel.sockets import wire

REQUEST = struct.Struct(f"<IBBQ{HEADER_SIZE}d")  # piece, SEND | RECEIVE, dtype, elements, header; then the values
REPLY = struct.Struct(f"<{HEADER_SIZE}d")  # header; then the values
SEND, RECEIVE = 1, 2
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
STAGING_ELEMENTS = 1024 * 1024  # at most so many at a time for each rank that asks


class ShardService:
    """Calls this rank's `ShardServer`, one call at a time; between two ranges of a request those of others may come.

    Attributes:
        bytes_sent: payload of answers.
    """

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self.bytes_sent = 0
        self._server: ShardServer | None = None
        self._device = torch.device("cpu")
        self._lock = threading.Lock()
        self._connections: dict[int, socket.socket] = {}
        self._threads: dict[int, threading.Thread] = {}
        self._gone: set[int] = set()
        self._failure: BaseException | None = None

    def use(self, server: ShardServer, device: torch.device) -> None:
        """`server` answers from now on, with values on `device`."""
        with self._lock:
            self._server, self._device = server, device

    def start(self, connections: dict[int, socket.socket]) -> None:
        """Begins to listen to these ranks."""
        self._connections = connections
        for rank, connection in connections.items():
            thread = threading.Thread(target=self._listen, args=(rank, connection), name=f"shard for {rank}", daemon=True)
            self._threads[rank] = thread
            thread.start()

    def check(self) -> None:
        """
        Raises:
            AsrtoolError: the server has failed for another rank's request.
        """
        if self._failure is not None:
            raise AsrtoolError(f"rank {self.rank}: {self._failure}") from self._failure

    def hang_up(self, rank: int) -> None:
        """Nothing more is taken in from `rank`, which is lost, not even what has arrived."""
        self._gone.add(rank)
        if rank in self._connections:
            wire.hang_up(self._connections[rank])

    def wait_for_end(self, rank: int) -> None:
        """After `hang_up`: returns when the last update for `rank` is over."""
        if rank in self._threads:
            self._threads[rank].join()

    def close(self) -> None:
        for connection in self._connections.values():
            wire.hang_up(connection)
        for thread in self._threads.values():
            thread.join()
        for connection in self._connections.values():
            connection.close()

    def open(self, source: int, piece: int, header: Sequence[float]) -> list[float]:
        with self._lock:
            assert self._server is not None
            return list(self._server.open(source, piece, header))

    def update(self, source: int, piece: int, begin: int, values: Tensor) -> None:
        """`values`, on the server's device, become the answer."""
        with self._lock, torch.no_grad():
            assert self._server is not None
            if source in self._gone:
                raise wire.ConnectionLost("it is lost")
            self._server.update(source, piece, begin, begin + values.numel(), values)

    def _listen(self, source: int, connection: socket.socket) -> None:
        staging = _Staging()
        try:
            while True:
                self._answer(source, connection, staging)
        except wire.ConnectionLost:  # the end, or a loss that others notice better
            pass
        except Exception as error:  # a fault in the server: told to this rank's training at its next call
            traceback.print_exc(file=sys.stderr)
            self._failure = error
        finally:
            wire.hang_up(connection)

    def _answer(self, source: int, connection: socket.socket, staging: "_Staging") -> None:
        """One request."""
        piece, what, number, num_elements, *header = REQUEST.unpack(wire.receive_bytes(connection, REQUEST.size))
        reply = REPLY.pack(*self.open(source, piece, header))
        if what & RECEIVE:
            wire.send(connection, reply)
        device = self._device
        host, values = staging.of(DTYPES[number], min(num_elements, update_elements(device), STAGING_ELEMENTS), device)
        for begin, end in ranges(0, num_elements, max(1, host.numel())):
            here, there = host[: end - begin], values[: end - begin]
            memory = wire.memory_of(here)
            if what & SEND:
                wire.receive(connection, memory)
                if there.device != here.device:
                    there.copy_(here)
            self.update(source, piece, begin, there)
            if what & RECEIVE:
                if there.device != here.device:
                    here.copy_(there)
                wire.send(connection, b"", memory)
                self.bytes_sent += len(memory)
        if not what & RECEIVE:  # at the end: whoever has the reply knows that all is taken in
            wire.send(connection, reply)


class _Staging:
    """A range on the CPU, and on the server's device: the same memory where that is the CPU."""

    def __init__(self) -> None:
        self._host = self._values = torch.empty(0)

    def of(self, dtype: torch.dtype, num_elements: int, device: torch.device) -> tuple[Tensor, Tensor]:
        if (self._host.numel(), self._host.dtype, self._values.device) != (num_elements, dtype, device):
            self._host = torch.empty(num_elements, dtype=dtype, pin_memory=device.type == "cuda")
            self._values = self._host if device.type == "cpu" else torch.empty(num_elements, dtype=dtype, device=device)
        return self._host, self._values
