"""Runs a worker as its child, so that a launcher that ends all workers when one fails need not learn of each failure.

    torchrun OPTIONS -m asrtool.train.guard train-nnet ...     in place of     torchrun OPTIONS -m asrtool.cli train-nnet ...

An asynchronous training goes on without a worker that has died. The worker tells its guard when that is so; then the guard ends
with status 0 whatever happens to the worker. Other failures are passed on: of worker 0, of a worker that has not yet joined the
others or is cut off from worker 0, and of any worker of a synchronous training. So is the status of one that was told to stop.
This module imports nothing large: the guard stays small.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
from types import FrameType

from asrtool.io.guard_note import CUT_OFF, DESCRIPTOR, JOINED

FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
STOPPED_STATUS = 143  # of a worker that has saved and ended because it was told to
PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Runs `asrtool ARGUMENTS`."""
    return guarded([sys.executable, "-m", "asrtool.cli", *arguments])


def guarded(command: list[str]) -> int:
    """`run`, and the end of the launcher is the end of both."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        die_with_parent(os.getppid())
    return run(command)


def run(command: list[str]) -> int:
    """Runs the worker; returns the status to end with, or ends by the signal that ended the worker."""
    worker = Worker(command)
    status = worker.wait()
    rank = os.environ.get("RANK", "0")
    failed = status not in (0, STOPPED_STATUS) and not worker.told_to_stop
    if failed and rank != "0" and JOINED in worker.notes and CUT_OFF not in worker.notes:
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"failed with status {status}"
        sys.stderr.write(f"WARNING: worker {rank} (host {socket.gethostname()}) {how}; the others go on without it\n")
        return 0
    if status < 0:
        end_by_signal(-status)
    return status


class Worker:
    """The child process.

    Attributes:
        told_to_stop: a signal has been forwarded to it.
        notes: what it has told by `guard_note.tell_guard`; complete after `wait`.
    """

    def __init__(self, command: list[str]) -> None:
        self.notes = b""
        self._received: list[int] = []
        self._child: subprocess.Popen | None = None
        for number in FORWARDED:
            signal.signal(number, self._forward)
        guard = os.getpid()
        self._reading, writing = os.pipe()
        os.set_blocking(self._reading, False)
        environment = {**os.environ, DESCRIPTOR: str(writing)}
        self._child = subprocess.Popen(command, env=environment, pass_fds=[writing], preexec_fn=lambda: die_with_parent(guard))
        os.close(writing)
        for number in list(self._received):  # those that came before there was a child
            self._child.send_signal(number)

    @property
    def told_to_stop(self) -> bool:
        return bool(self._received)

    def wait(self) -> int:
        """Its status; negative: the signal that killed it."""
        status = self._child.wait()
        with contextlib.suppress(BlockingIOError):  # nothing, and a process that the worker has left behind holds the other end
            self.notes = os.read(self._reading, 65_536)
        os.close(self._reading)
        return status

    def _forward(self, number: int, frame: FrameType | None) -> None:
        self._received.append(number)
        if self._child is not None:
            self._child.send_signal(number)


def be_killed_with_parent() -> None:
    """This process is killed when the one that started it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def die_with_parent(parent: int) -> None:
    """The same where `parent` started this process and may be gone already."""
    be_killed_with_parent()
    if sys.platform == "linux" and os.getppid() != parent:
        os._exit(1)


def end_by_signal(number: int) -> None:
    """Ends this process as its worker was ended, so that the launcher tells the user the same."""
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
