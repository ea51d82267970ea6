"""A training under torchrun that can be started and hurt: kill_training.py's victim."""

import contextlib
import json
import os
import random
import resource
import runpy
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from asrtool.io.config import load_config
from asrtool.parallel.registry import needs_servers
from asrtool.parallel.simulation.in_process import run_workers
from asrtool.train.config import TrainConfig
from asrtool.train.run import TrainPaths, train_network
from asrtool.train.sequence_run import train_sequence

SEQUENCE_TOY = runpy.run_path(str(Path(__file__).with_name("sequence_toy.py")))
LAUNCHER = Path(__file__).parents[2] / "utils" / "torchrun.py"
LIMIT_S = 120  # of a run after a blow, before the test gives up


@dataclass
class Episode:
    """What was done to a run, the exit status that it ended with (None: it went on), and the seconds from the blow to either."""

    blow: str
    workers: int
    status: int | None
    end_s: float
    log: str

    def __str__(self) -> str:
        return f"{self.blow} ({self.workers} workers): {'went on' if self.status is None else self.status} in {self.end_s:.1f} s"


class FrameTask:
    """Cross-entropy training of the toy; `settings` are KEY=VALUE."""

    def __init__(self, toy: Path, experiment: Path, settings: list[str]) -> None:
        self.config = load_config(TrainConfig, toy / "config.yaml", settings)
        self.paths = TrainPaths(toy / "ali", toy / "train", toy / "valid", experiment)
        data = [toy / name for name in ("ali", "train", "valid")]
        self.words = ["train-nnet", "--config", toy / "config.yaml", *data, experiment, *settings]

    def train(self, comm) -> None:
        train_network(self.config, self.paths, comm)


class SequenceTask:
    """sMBR training of the sequence toy, word errors counted after each epoch."""

    def __init__(self, toy: Path, experiment: Path, settings: list[str]) -> None:
        self.config, self.paths = SEQUENCE_TOY["settings"](toy, experiment, *settings)
        self.words = SEQUENCE_TOY["words"](toy, experiment, *settings)

    def train(self, comm) -> None:
        train_sequence(self.config, self.paths, comm)


class Victim:
    """A training that can be started and hurt; `settings` are KEY=VALUE, `make_task` one of the tasks above."""

    def __init__(self, experiment: Path, toy: Path, settings: list[str], make_task: type = FrameTask) -> None:
        self.experiment = experiment
        experiment.parent.mkdir(parents=True, exist_ok=True)
        self.task = make_task(toy, experiment, settings)
        self.config = self.task.config
        self.log = experiment.parent / f"{experiment.name}.log"
        self.filler = experiment / "filler"
        self.asynchronous = needs_servers(self.config.parallel)
        self.num_workers = 2

    def train_untouched(self) -> None:
        """The same training, in this process."""
        with open(self.log, "w") as log, contextlib.redirect_stderr(log):
            run_workers(self.num_workers, self.task.train)

    def start(self) -> subprocess.Popen:
        words = [LAUNCHER, "--num-workers", self.num_workers, "--save-s", 10, *self.task.words]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
        with open(self.log, "w") as file:  # through `cat`, which no limit on the size of files hits
            self.writer = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=file)
        command = [sys.executable, *map(str, words)]
        try:
            return subprocess.Popen(command, stdout=self.writer.stdin, stderr=subprocess.STDOUT, env=environment)
        finally:
            self.writer.stdin.close()

    def end(self, process: subprocess.Popen) -> None:
        """Whatever has happened, nothing is left of the run, and its log is complete."""
        for pid in self.workers(process).values():
            kill(pid, signal.SIGKILL)
        process.kill()
        process.wait()
        self.writer.wait(LIMIT_S)
        self.filler.unlink(missing_ok=True)

    def workers(self, process: subprocess.Popen) -> dict[int, int]:
        """Rank -> process id: the launcher's children are guards, whose children are the workers."""
        found = {}
        for guard in children(process.pid):
            for pid in children(guard):
                try:
                    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
                except OSError:
                    continue
                found |= {int(entry[5:]): pid for entry in environment if entry.startswith(b"RANK=")}
        return found

    def progress(self) -> int:
        """The serial of the last checkpoint."""
        try:
            return json.loads((self.experiment / "checkpoints" / "latest").read_text())["serial"]
        except OSError:
            return 0

    @property
    def done(self) -> bool:
        return (self.experiment / "done").exists()

    def strike(self, blow: str, process: subprocess.Popen, generator: random.Random, num_alive: int) -> int | None:
        """The process that was hit, or None when there was nothing to hit yet."""
        workers = self.workers(process)
        if len(workers) < num_alive:
            return None
        others = [pid for rank, pid in workers.items() if rank > 0] or list(workers.values())
        hit = {"kill torchrun": process.pid, "SIGTERM": process.pid, "kill worker 0": workers.get(0)}
        pid = hit.get(blow) or generator.choice(others)
        if blow.startswith("kill"):
            kill(pid, signal.SIGKILL)
        elif blow == "SIGTERM":
            kill(pid, signal.SIGTERM)
        elif blow == "silence":
            kill(pid, signal.SIGSTOP)
        elif blow == "file too large":
            limit = generator.choice([0, 300, 5_000, 50_000])
            for worker in workers.values():
                resource.prlimit(worker, resource.RLIMIT_FSIZE, (limit, limit))
        else:
            self.fill()
        return pid

    def fill(self) -> None:
        try:
            with open(self.filler, "wb", buffering=0) as file:
                while file.write(bytes(1 << 16)):
                    pass
        except OSError:
            pass

    def goes_on(self, process: subprocess.Popen) -> bool:
        """Waits until the others have noticed the loss and saved a checkpoint after it, or the training is over."""
        deadline, serial = time.monotonic() + LIMIT_S, None
        while process.poll() is None and time.monotonic() < deadline and not self.done:
            if serial is None and "is lost; training goes on" in self.log.read_text():
                serial = self.progress()
            if serial is not None and self.progress() > serial:
                return True
            time.sleep(0.05)
        return self.done

    def episodes(self, blows: list[str], generator: random.Random, longest_s: float) -> list[Episode]:
        """Starts, and strikes with the next of `blows` until the run has ended; they are taken off the list.

        After a blow that an asynchronous training survives comes one that it does not.
        """
        process, found, lost = self.start(), [], 0
        try:
            while blows and process.poll() is None:
                fatal = [blow for blow in blows if not self.survives(blow)]
                blow = blows[0] if not lost else (fatal or ["kill torchrun"])[0]
                before = self.progress()
                while self.progress() == before and process.poll() is None:
                    time.sleep(0.02)
                time.sleep(generator.random() * longest_s)
                pid = None
                while pid is None and process.poll() is None and not self.done:
                    pid = self.strike(blow, process, generator, self.num_workers - lost)
                if pid is None:
                    break
                if blow in blows:
                    blows.remove(blow)
                struck = time.monotonic()
                went_on = self.survives(blow) and self.goes_on(process)
                if blow == "silence" and went_on:
                    kill(pid, signal.SIGKILL)  # torchrun would wait for it
                lost += went_on
                status = None if went_on else process.wait(LIMIT_S)
                found.append(Episode(blow, self.num_workers, status, time.monotonic() - struck, ""))
        finally:
            self.end(process)
        for episode in found:
            episode.log = self.log.read_text()
        return found

    def survives(self, blow: str) -> bool:
        return self.asynchronous and blow in ("kill worker", "silence")

    def run_to_the_end(self) -> None:
        process = self.start()
        try:
            if process.wait(1800):
                sys.exit(f"{self.experiment}: ended with {process.returncode}:\n{self.log.read_text()}")
        finally:
            self.end(process)


def children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
