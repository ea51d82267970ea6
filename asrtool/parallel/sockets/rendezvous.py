"""How ranks find and reach each other: addresses through torchrun's store, then plain TCP connections."""

import contextlib
import ipaddress
import json
import os
import secrets
import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from asrtool.errors import AsrtoolError
from asrtool.parallel.sockets import wire

HELLO = struct.Struct("<16s16sI")  # token of the run, purpose of the connection, rank
HELLO_LIMIT_S = 10.0  # for a stranger that connects and says nothing
CONNECT_LIMIT_S = 30.0  # all ranks are there when connections are made


def store_from_environment(timeout_s: float) -> dist.Store:
    """The store that torchrun's environment names (MASTER_ADDR, MASTER_PORT), with keys of their own for each restart.

    Raises:
        AsrtoolError: it cannot be reached.
    """
    try:
        store, _, _ = next(dist.rendezvous("env://", timeout=timedelta(seconds=timeout_s)))
    except (RuntimeError, ValueError) as error:
        raise out_of_reach(error) from error
    return dist.PrefixStore(f"asrtool/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)


def out_of_reach(error: Exception) -> AsrtoolError:
    """What torch.distributed's `error` at the start means, in one line."""
    reason = str(error).strip().splitlines()[0]
    return AsrtoolError(f"rank {os.environ.get('RANK')}: cannot reach the other workers ({reason[:200]})")


@dataclass(frozen=True)
class Address:
    """Where a rank listens, and on which host it says that it is."""

    address: str
    port: int
    host: str


class Rendezvous:
    """The listening socket of this rank and the addresses of all; made by all ranks at the same time.

    A rank publishes the address of the interface by which it reaches the master. One that reaches it by a loopback address is on
    the master's host: the others reach it by the master's name.

    Attributes:
        hosts: index of the host of each rank, from 0 in the order of ranks.
        names: of the hosts, for messages, in the order of ranks.

    Raises:
        AsrtoolError: a rank does not come within `timeout_s`.
    """

    def __init__(self, store: dist.Store, rank: int, size: int, timeout_s: float, master: str | None = None) -> None:
        self.rank, self.size = rank, size
        self._accepted: dict[tuple[str, int], socket.socket] = {}  # purpose, rank; not asked for yet
        self.master = master or os.environ.get("MASTER_ADDR", "127.0.0.1")
        dual = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if dual else socket.AF_INET
        self.listener = socket.create_server(("", 0), family=family, dualstack_ipv6=dual, backlog=4 * size + 16)
        try:
            self.listener.settimeout(CONNECT_LIMIT_S)
            name = os.environ.get("GROUP_RANK", "") + "/" + socket.gethostname()
            mine = {"address": own_address(self.master), "port": self.listener.getsockname()[1], "host": name}
            if rank == 0:
                mine["token"] = secrets.token_hex(16)
            store.set(f"rank{rank}", json.dumps(mine))
            published = [self._wait_for(store, other, timeout_s) for other in range(size)]
        except BaseException:
            self.listener.close()
            raise
        self.token = bytes.fromhex(published[0]["token"])
        self.addresses = [Address(entry["address"], entry["port"], entry["host"]) for entry in published]
        groups = [place.host.split("/")[0] or place.host for place in self.addresses]
        self.hosts = [list(dict.fromkeys(groups)).index(group) for group in groups]
        self.names = [place.host.split("/", 1)[1] for place in self.addresses]

    def _wait_for(self, store: dist.Store, other: int, timeout_s: float) -> dict:
        try:
            store.wait([f"rank{other}"], timedelta(seconds=timeout_s))
            return json.loads(store.get(f"rank{other}"))
        except RuntimeError as error:  # of torch.distributed
            raise AsrtoolError(f"rank {self.rank}: rank {other} has not come; see that rank's log") from error

    def connect(self, other: int, purpose: str) -> socket.socket:
        """A connection to rank `other`, which accepts it by `accept`."""
        place = self.addresses[other]
        address = self.master if ipaddress.ip_address(place.address).is_loopback else place.address
        try:
            connection = socket.create_connection((address, place.port), timeout=CONNECT_LIMIT_S)
            prepare(connection)
            wire.send(connection, HELLO.pack(self.token, purpose.encode(), self.rank))
        except (OSError, wire.ConnectionLost) as error:
            where = f"{address} port {place.port}"
            raise AsrtoolError(f"rank {self.rank}: cannot connect to rank {other} ({where}: {error}); see its log") from error
        return connection

    def accept(self, ranks: set[int], purpose: str) -> dict[int, socket.socket]:
        """The connections that `ranks` make for this purpose. Strangers, who do not know the run's token, are sent away."""
        deadline = time.monotonic() + CONNECT_LIMIT_S
        while missing := sorted(rank for rank in ranks if (purpose, rank) not in self._accepted):
            if time.monotonic() > deadline:
                raise AsrtoolError(f"rank {self.rank}: rank {missing[0]} has not connected; see that rank's log")
            with contextlib.suppress(TimeoutError, wire.ConnectionLost):
                self._accept_one()
        return {rank: self._accepted.pop((purpose, rank)) for rank in sorted(ranks)}

    def _accept_one(self) -> None:
        """The next one, whatever it is for: a rank may be ahead of this one."""
        connection, _ = self.listener.accept()
        try:
            prepare(connection)
            wire.set_time_limit(connection, HELLO_LIMIT_S)
            token, purpose, rank = HELLO.unpack(wire.receive_bytes(connection, HELLO.size))
            if token != self.token:
                raise wire.ConnectionLost("a stranger")
            wire.set_time_limit(connection, 0)
            self._accepted[purpose.rstrip(b"\0").decode(), rank] = connection
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        self.listener.close()
        close_all(self._accepted)


def prepare(connection: socket.socket) -> None:
    """Blocking, small packets at once."""
    connection.settimeout(None)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def close_all(connections: Mapping[Any, socket.socket]) -> None:
    for connection in connections.values():
        wire.hang_up(connection)
        connection.close()


def own_address(master: str) -> str:
    """The address of the interface that reaches `master`; nothing is sent.

    Raises:
        AsrtoolError: no route to it.
    """
    problem: OSError | None = None
    for family, _, _, _, where in _resolve(master):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect(where)
                return probe.getsockname()[0].split("%")[0]
        except OSError as error:
            problem = error
    raise AsrtoolError(f"{master}: no way to the master's host ({problem}); check MASTER_ADDR and the network")


def _resolve(master: str) -> list[tuple]:
    try:
        return socket.getaddrinfo(master, 9, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        raise AsrtoolError(f"{master}: the master's host has no address ({error}); check MASTER_ADDR") from error
