"""Stopping on request: SIGTERM asks a training to save at its next synchronisation and to end."""

import os
import signal
import socket
import threading
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import torch

from asrtool.errors import AsrtoolError
from asrtool.parallel.protocol import Comm


class Stopped(Exception):
    """SIGTERM arrived; the state is saved."""


class StopSignal:
    """SIGTERM comes from a scheduler that wants the machine, or from torchrun when another worker is dead.

    In the second case there is no next synchronisation, so `check` ends this worker soon: not only when it comes to wait for
    the dead one.

    Args:
        needed: ranks without which training cannot go on.
    Attributes:
        requested: SIGTERM has arrived here.
        agreed: all workers know, since the last sync.
    """

    def __init__(self, comm: Comm, device: torch.device, needed: Collection[int]) -> None:
        self.requested = False
        self.agreed = False
        host = zlib.crc32(socket.gethostname().encode())
        rows = comm.all_gather(torch.tensor([os.getpid(), host], dtype=torch.int64, device=device)).view(-1, 2).tolist()
        self._neighbours = {rank: pid for rank, (pid, where) in enumerate(rows) if where == host and rank in needed}

    @contextmanager
    def watching(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():  # a virtual worker: signals go to the main thread
            yield
            return
        previous = signal.signal(signal.SIGTERM, self._request)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, previous)

    def check(self) -> None:
        """Between two minibatches.

        Raises:
            AsrtoolError: SIGTERM has come, and another worker on this host is dead.
        """
        if not self.requested:
            return
        for rank, pid in self._neighbours.items():
            if not os.path.exists(f"/proc/{pid}") and os.path.exists("/proc/self"):
                raise AsrtoolError(
                    f"worker {rank} (process {pid}) is dead; start again: training goes on from the last checkpoint"
                )

    def _request(self, number: int, frame: object) -> None:
        self.requested = True
