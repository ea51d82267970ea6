"""Requests to all owners at once: what is sent and what comes back go on side by side, whichever connection is ready."""

import selectors
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from torch import Tensor

from asrtool.parallel.exchange.summation import ranges, update_elements
from asrtool.parallel.sockets import wire
from asrtool.parallel.sockets.shard_service import DTYPES, RECEIVE, REPLY, REQUEST, SEND, ShardService

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
_END = object()


class _Flow:
    """The requests of one round to one owner, one after the other on its connection, which does not block.

    An answer overwrites what was sent: the owner answers a range only after it has received it.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.bytes_sent = 0
        self._outgoing: deque[memoryview] = deque()
        self._incoming: deque[memoryview] = deque()
        self._replies: list[tuple[int, bytearray, int]] = []  # piece, head, buffers left to come when it is complete

    def add(self, piece: int, values: Tensor, header: Sequence[float], send: bool, receive: bool) -> None:
        what = SEND * send + RECEIVE * receive
        head = REQUEST.pack(piece, what, DTYPES.index(values.dtype), values.numel(), *header)
        self._outgoing.append(memoryview(head))
        memory = wire.memory_of(values)
        if send and len(memory):
            self._outgoing.append(memory)
            self.bytes_sent += len(memory)
        reply = bytearray(REPLY.size)
        self._incoming.append(memoryview(reply))
        if receive and len(memory):
            self._incoming.append(memory)
        self._replies.append((piece, reply, len(self._incoming)))
        self._expected = len(self._incoming)

    @property
    def wants(self) -> int:
        return READ * bool(self._incoming) | WRITE * bool(self._outgoing)

    def go_on(self, ready: int) -> None:
        """
        Raises:
            OSError: the connection is broken.
        """
        if ready & WRITE and self._outgoing:
            sent = self.connection.send(self._outgoing[0])
            _advance(self._outgoing, sent)
        if ready & READ and self._incoming:
            received = self.connection.recv_into(self._incoming[0])
            if received == 0:
                raise ConnectionResetError("ended")
            _advance(self._incoming, received)

    def answered(self) -> Iterator[tuple[int, list[float]]]:
        """(piece, reply header) of the requests that are complete."""
        done = self._expected - len(self._incoming)
        return ((piece, list(REPLY.unpack(reply))) for piece, reply, needed in self._replies if needed <= done)


def _advance(buffers: deque[memoryview], count: int) -> None:
    if count == len(buffers[0]):
        buffers.popleft()
    else:
        buffers[0] = buffers[0][count:]


class Requests:
    """This rank's connections to the owners.

    Args:
        service: answers for the pieces that this rank owns itself.
        lose: told (rank, reason) of an owner whose connection ends, or makes no progress for `lost_after_s`.

    Attributes:
        bytes_sent: payload of requests.
    """

    def __init__(
        self,
        connections: dict[int, socket.socket],
        service: ShardService,
        lost_after_s: float,
        lose: Callable[[int, str], None],
    ) -> None:
        self.connections, self.service = connections, service
        self.lost_after_s, self.lose = lost_after_s, lose
        self.bytes_sent = 0
        for connection in connections.values():
            connection.setblocking(False)

    def ask(
        self,
        owners: Sequence[int],
        is_lost: Callable[[int], bool],
        header: Sequence[float],
        pieces: Tensor,
        own_pieces: Tensor,
        send: bool,
        receive: bool,
    ) -> list[list[float] | None]:
        """`Comm.request` for `pieces` [size, shard] on the CPU; `own_pieces` are the same on the server's device."""
        replies: list[list[float] | None] = [None] * len(owners)
        flows: dict[int, _Flow] = {}
        for piece, owner in enumerate(owners):
            if owner != self.service.rank and not is_lost(owner):
                flow = flows.setdefault(owner, _Flow(self.connections[owner]))
                flow.add(piece, pieces[piece], header, send, receive)
        own = [piece for piece, owner in enumerate(owners) if owner == self.service.rank]
        work = self._answer_self(own, replies, header, own_pieces, send, receive)
        self._run(flows, work)
        for flow in flows.values():
            self.bytes_sent += flow.bytes_sent
            for piece, reply in flow.answered():
                replies[piece] = reply
        return replies

    def _answer_self(
        self,
        own: Sequence[int],
        replies: list[list[float] | None],
        header: Sequence[float],
        pieces: Tensor,
        send: bool,
        receive: bool,
    ) -> Iterator[None]:
        """The same for the own pieces, without a connection; stops after each range."""
        source = self.service.rank
        for piece in own:
            replies[piece] = self.service.open(source, piece, header)
            for begin, end in ranges(0, pieces.shape[1], update_elements(pieces.device)):
                values = pieces[piece, begin:end]
                self.service.update(source, piece, begin, values if receive else values.clone())
                yield

    def _run(self, flows: dict[int, _Flow], work: Iterator[None]) -> None:
        """Moves all flows to their ends, the own work between them when nothing is ready."""
        working, quiet = True, 0
        with selectors.DefaultSelector() as selector:
            wanted = {owner: flow.wants for owner, flow in flows.items()}
            for owner, flow in flows.items():
                selector.register(flow.connection, flow.wants, owner)
            while working or selector.get_map():
                events = selector.select(0 if working else self.lost_after_s / 2)
                for key, ready in events:
                    owner = key.data
                    try:
                        flows[owner].go_on(ready)
                    except BlockingIOError:
                        continue
                    except OSError:
                        selector.unregister(key.fileobj)
                        self.lose(owner, "its connection has ended")
                        continue
                    wants = flows[owner].wants
                    if not wants:
                        selector.unregister(key.fileobj)
                    elif wants != wanted[owner]:
                        wanted[owner] = wants
                        selector.modify(key.fileobj, wants, owner)
                if working:
                    working = next(work, _END) is not _END
                elif not events:
                    quiet += 1  # twice, because after a stop of this very process the first wait is over at once
                    if quiet == 2:
                        for key in list(selector.get_map().values()):
                            selector.unregister(key.fileobj)
                            self.lose(key.data, f"no answer for {self.lost_after_s:g} s")
                else:
                    quiet = 0

    def hang_up(self, rank: int) -> None:
        """The connection to `rank`, which is lost, ends; a request that waits for it goes on without."""
        if rank in self.connections:
            wire.hang_up(self.connections[rank])

    def close(self) -> None:
        for connection in self.connections.values():
            wire.hang_up(connection)
            connection.close()
