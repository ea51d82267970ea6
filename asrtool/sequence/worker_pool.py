"""The processes of a speech module: started, spoken to, found dead, replaced."""

import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import asrtool
from asrtool.errors import AsrtoolError
from asrtool.sequence import worker
from asrtool.sequence.shared_parameters import SharedParameters
from asrtool.sequence.worker import Setup, Work

_GRACE_S = 5.0  # for a process to end by itself
# the toolkit's folder comes last, for where it is not installed
_RUN = "import sys; sys.path.append(sys.argv[1]); from asrtool.sequence.worker import main; main(sys.argv[2:])"


@dataclass
class Worker:
    """A process; ticket: of the job that it works on, 0 for none; ready: whether it has read its files."""

    process: subprocess.Popen
    line: Connection
    life: int
    ready: bool = False
    ticket: int = 0


class WorkerPool:
    """`num_processes` processes that share the trainer's parameters.

    Each is a fresh interpreter (nothing is forked from a trainer with threads and a GPU), with one thread and no GPU. It ends
    when the trainer's end of its life line is closed, which the system does however the trainer ends.
    """

    def __init__(self, num_processes: int, setup: Setup, shared: SharedParameters) -> None:
        self.setup, self.shared = setup, shared
        self._early_deaths = 0
        self.workers: list[Worker] = []
        try:
            for _ in range(num_processes):
                self.workers.append(self._start())
        except BaseException:
            self.close()
            raise

    def _start(self) -> Worker:
        ours, theirs = socket.socketpair()
        life_end, life = os.pipe()
        memory = self.shared.descriptor
        command = [sys.executable, "-P", "-c", _RUN, str(Path(asrtool.__file__).parents[1])]
        with theirs:
            try:
                process = subprocess.Popen(
                    [*command, *map(str, (theirs.fileno(), life_end, memory))],
                    stdin=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(), life_end, memory),
                    env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
                )
            finally:
                os.close(life_end)
        line = Connection(ours.detach())
        new = Worker(process, line, life)
        self._send(new, self.setup)
        return new

    @staticmethod
    def _send(to: Worker, message: Any) -> bool:
        try:
            to.line.send(message)
            return True
        except (BrokenPipeError, ConnectionResetError):  # `receive` will find it dead
            return False

    @property
    def idle(self) -> list[Worker]:
        """Those that can be given work."""
        return [one for one in self.workers if one.ready and not one.ticket]

    def give(self, to: Worker, work: Work) -> None:
        """Sends work to an idle one. Should it be dead, that comes out in `receive`."""
        to.ticket = work.ticket
        self._send(to, work)

    def receive(self, also: list[Any], timeout_s: float | None = None) -> tuple[list[tuple[int, Any]], list[tuple[int, str]]]:
        """Waits until a process has something to say, or one of `also` (file descriptors) has.

        Returns:
            (what was done: (ticket, results), who died: (ticket or 0, how)); the dead are replaced.

        Raises:
            AsrtoolError: what a process found wrong with its files; or processes die before they are ready.
            RuntimeError: a bug in a process, with its traceback.
        """
        lines = {one.line: one for one in self.workers}
        done, deaths = [], []
        for source in wait([*lines, *also], timeout_s):
            one = lines.get(source)
            if one is None:
                continue
            try:
                kind, what = one.line.recv()
            except (EOFError, ConnectionResetError):
                deaths.append((one.ticket, self._replace(one)))
                continue
            if kind == worker.READY:
                one.ready, self._early_deaths = True, 0
            elif kind == worker.DONE:
                done.append(what)
                one.ticket = 0
            elif kind == worker.WRONG:
                raise AsrtoolError(what)
            else:
                raise RuntimeError(f"in a process of the speech module:\n{what}")
        return done, deaths

    def _replace(self, dead: Worker) -> str:
        """Puts a new process in the place of a dead one; how that ended."""
        how = describe_end(_end(dead))
        self._early_deaths += not dead.ready
        if self._early_deaths >= self.setup.options.max_deaths:
            raise AsrtoolError(f"processes of the speech module die before they are ready ({how}); is there too little memory?")
        print(f"WARNING: a process of the speech module died ({how}); a new one takes its place", file=sys.stderr)
        self.workers[self.workers.index(dead)] = self._start()
        return how

    def close(self) -> None:
        """Ends all processes."""
        for one in self.workers:
            if not one.ready:  # still at its imports, after which it would look
                one.process.kill()
            os.close(one.life)
            one.life = -1
        for one in self.workers:
            _end(one)
        self.workers.clear()


def _end(one: Worker) -> int:
    """Waits for a process that was told to end, or kills it; its exit status."""
    if one.life >= 0:
        os.close(one.life)
        one.life = -1
    one.line.close()
    try:
        return one.process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        one.process.kill()
        return one.process.wait()


def describe_end(status: int) -> str:
    """ "signal SIGKILL", "exit status 1"."""
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
