"""A whole asynchronous training under guards, one of whose workers is killed."""

import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

MAKE_TOY = runpy.run_path(str(Path(__file__).with_name("training_toy.py")))["make_toy"]
TIME_LIMIT_S = 120


def start(toy: Path, experiment: Path, rank: int, port: int, log: Path) -> subprocess.Popen:
    """A guard with its worker, as torchrun starts them."""
    place = {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "WORLD_SIZE": 2,
        "LOCAL_WORLD_SIZE": 2,
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": port,
    }
    environment = {**os.environ, **{key: str(value) for key, value in place.items()}}
    environment.update(OMP_NUM_THREADS="1", PYTHONWARNINGS="ignore")
    environment.pop("TORCHELASTIC_RUN_ID", None)
    command = [sys.executable, "-m", "asrtool.train.guard", "train-nnet", "--config", toy / "config.yaml"]
    settings = ["parallel.algorithm=asgd", "num_epochs=3", "schedule.learning_rate=0.1"]
    words = [*command, toy / "ali", toy / "train", toy / "valid", experiment, *settings]
    with open(log, "w") as file:
        return subprocess.Popen(list(map(str, words)), env=environment, stdout=file, stderr=file)


def child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())


def records(experiment: Path) -> list[dict]:
    path = experiment / "metrics.jsonl"
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="finds the worker through /proc")
def test_training_ends_well_without_a_killed_worker(tmp_path):
    toy, experiment = MAKE_TOY(tmp_path / "toy", num_utterances=80), tmp_path / "exp"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    logs = [tmp_path / f"log{rank}" for rank in range(2)]
    guards = [start(toy, experiment, rank, port, logs[rank]) for rank in range(2)]
    deadline = time.monotonic() + TIME_LIMIT_S
    try:
        while not any(record["kind"] == "train" for record in records(experiment)):
            assert time.monotonic() < deadline and guards[0].poll() is None, logs[0].read_text() + logs[1].read_text()
            time.sleep(0.01)
        os.kill(child_of(guards[1].pid), signal.SIGKILL)
        statuses = [guard.wait(max(1.0, deadline - time.monotonic())) for guard in guards]
    finally:
        for guard in guards:
            guard.kill()  # its worker follows
            guard.wait()
    assert statuses == [0, 0], logs[0].read_text()
    assert "was killed by SIGKILL; the others go on without it" in logs[1].read_text()
    assert "WARNING: rank 1 (host" in logs[0].read_text()
    assert (experiment / "done").exists() and (experiment / "final_asgd.pt").exists()
    losses = [record["loss"] for record in records(experiment) if record["kind"] == "valid" and record["model"] == "asgd"]
    assert losses[-1] < 0.7 * losses[0], losses
