"""Signs of life: a star of small TCP connections between rank 0 and the others, and a thread for them on each rank."""

import contextlib
import os
import selectors
import socket
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from asrtool.parallel.sockets import wire
from asrtool.parallel.sockets.rendezvous import Rendezvous

FRAME = struct.Struct("<BI")  # kind, rank
BEAT, LOST, GOODBYE, STOPPED = range(4)
PURPOSE = "heartbeat"
HAS_STOPPED = "it has stopped"
FAREWELL_S = 2.0  # for the other end of a connection to hang up too


@dataclass
class _Peer:
    connection: socket.socket
    seen: float  # time of the last sign of life
    unread: bytearray = field(default_factory=bytearray)
    ended: bool = False  # without a goodbye


class Heartbeat:
    """Tells who is lost: rank 0 watches all others, they watch rank 0 and hear from it of each other.

    Being stopped as a whole (SIGSTOP, a suspended machine) is not held against the others: silence counts from when this
    process runs again.

    Args:
        on_loss: called in the thread with (rank, reason), once for each lost rank. On ranks other than 0 rank 0 is also lost when
            this rank is cut off from it, or when rank 0 has given this rank up.
        at_once: a connection that ends without a goodbye is a loss at once; otherwise like silence, after `lost_after_s`.
    """

    def __init__(
        self, rendezvous: Rendezvous, lost_after_s: float, on_loss: Callable[[int, str], None], at_once: bool = True
    ) -> None:
        self.rank, self.size = rendezvous.rank, rendezvous.size
        self.lost_after_s, self.on_loss, self.at_once = lost_after_s, on_loss, at_once
        self.interval_s = min(1.0, lost_after_s / 6)
        others = set(range(1, self.size))
        connections = rendezvous.accept(others, PURPOSE) if self.rank == 0 else {0: rendezvous.connect(0, PURPOSE)}
        now = time.monotonic()
        self._peers = {rank: _Peer(connection, now) for rank, connection in connections.items()}
        self._lost: set[int] = set()
        self._to_say: deque[tuple[int, int]] = deque()
        self._wake, self._waker = socket.socketpair()
        self._closing = False
        self._orderly = True
        self._selector = selectors.DefaultSelector()
        for rank, peer in self._peers.items():
            peer.connection.setblocking(False)
            self._selector.register(peer.connection, selectors.EVENT_READ, rank)
        self._wake.setblocking(False)
        self._selector.register(self._wake, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def report(self, rank: int) -> None:
        """This rank cannot reach rank `rank`: rank 0 gives it up."""
        self._to_say.append((LOST, rank))
        self._rouse()

    def close(self) -> None:
        """Takes leave. During an exception the others count this rank as lost."""
        if self._closing:
            return
        self._orderly = sys.exception() is None
        self._closing = True
        self._rouse()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        for peer in self._peers.values():
            peer.connection.close()
        self._selector.close()
        self._wake.close()
        self._waker.close()

    def _rouse(self) -> None:
        with contextlib.suppress(OSError):  # closed
            self._waker.send(b"x")

    def _run(self) -> None:
        due = before = time.monotonic()
        while not self._closing:
            events = self._selector.select(max(0.0, due - time.monotonic()))
            now = time.monotonic()
            if now - before > self.interval_s + self.lost_after_s / 2:  # this process was stopped
                for peer in self._peers.values():
                    peer.seen = now
            before = now
            for key, _ in events:
                if key.data is None:
                    self._wake.recv(4096)
                else:
                    self._read(key.data, now)
            while self._to_say:
                self._pass_on(*self._to_say.popleft())
            if now >= due:
                due = now + self.interval_s
                for peer in self._peers.values():
                    self._say(peer, BEAT, self.rank)
            for rank, peer in list(self._peers.items()):
                if now - peer.seen > self.lost_after_s:
                    self._lose(rank, f"no sign of life for {self.lost_after_s:g} s")
        self._take_leave()

    def _read(self, rank: int, now: float) -> None:
        peer = self._peers.get(rank)
        if peer is None:
            return
        try:
            data = peer.connection.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end(rank, "its connection has ended")
            return
        peer.seen = now
        peer.unread += data
        while len(peer.unread) >= FRAME.size:
            kind, about = FRAME.unpack_from(peer.unread)
            del peer.unread[: FRAME.size]
            self._hear(rank, kind, about)

    def _hear(self, rank: int, kind: int, about: int) -> None:
        if kind == GOODBYE:
            self._drop(rank)
        elif kind == STOPPED:
            self._end(rank, HAS_STOPPED)
        elif kind == LOST and self.rank == 0:
            if about in self._peers:
                self._lose(about, f"rank {rank} cannot reach it")
        elif kind == LOST:
            self._lose(0, "rank 0 has given this rank up") if about == self.rank else self._tell(about, "rank 0 has lost it")

    def _pass_on(self, kind: int, about: int) -> None:
        """What `report` was called with."""
        if self.rank == 0:
            self._lose(about, "rank 0 cannot reach it")
        elif 0 in self._peers:
            self._say(self._peers[0], kind, about)

    def _end(self, rank: int, reason: str) -> None:
        if self.at_once:
            self._lose(rank, reason)
        elif not self._peers[rank].ended:
            self._peers[rank].ended = True
            self._selector.unregister(self._peers[rank].connection)

    def _lose(self, rank: int, reason: str) -> None:
        if rank not in self._peers:
            return
        self._say(self._peers[rank], LOST, rank)  # in case it is only slow
        self._drop(rank)
        for peer in self._peers.values():
            self._say(peer, LOST, rank)
        self._tell(rank, reason)

    def _tell(self, rank: int, reason: str) -> None:
        if rank not in self._lost:
            self._lost.add(rank)
            self.on_loss(rank, reason)

    def _drop(self, rank: int) -> None:
        peer = self._peers.pop(rank)
        if not peer.ended:
            self._selector.unregister(peer.connection)
        wire.hang_up(peer.connection)
        peer.connection.close()

    def _say(self, peer: _Peer, kind: int, about: int) -> None:
        with contextlib.suppress(OSError):  # full or broken: its silence will show
            peer.connection.send(FRAME.pack(kind, about))

    def _take_leave(self) -> None:
        """Hangs up in order: what was said must arrive, so the other end hangs up first."""
        for peer in self._peers.values():
            self._say(peer, GOODBYE if self._orderly else STOPPED, self.rank)
        deadline = time.monotonic() + FAREWELL_S
        for peer in self._peers.values():
            try:
                peer.connection.shutdown(socket.SHUT_WR)
                peer.connection.settimeout(max(0.01, deadline - time.monotonic()))
                while peer.connection.recv(4096):
                    pass
            except OSError:
                pass


def end_process(rank: int, hosts: Sequence[str]) -> Callable[[int, str], None]:
    """For `Heartbeat.on_loss`: ends this process with one line, because its main thread may be waiting inside the backend.

    Args:
        hosts: their names, in the order of ranks.
    """

    def on_loss(other: int, reason: str) -> None:
        sys.stderr.write(f"ERROR: {lost_message(rank, other, hosts, reason)}\n")
        sys.stderr.flush()
        os._exit(1)

    return on_loss


def lost_message(rank: int, other: int, hosts: Sequence[str] | Mapping[int, str], reason: str) -> str:
    """One line: who lost whom and why, and what to do."""
    return (
        f"rank {rank} (host {hosts[rank]}): lost contact with rank {other} (host {hosts[other]}): {reason}; "
        "see that rank's log and the network, then start again: training goes on from the last checkpoint"
    )
