"""Two real workers under torchrun: the whole training, kill -9 of one of them, SIGTERM; all end with the same models."""

import json
import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from asrtool.nnet.model_file import load_model

MAKE_TOY = runpy.run_path(str(Path(__file__).with_name("training_toy.py")))["make_toy"]
KILL = runpy.run_path(str(Path(__file__).with_name("kill_training.py")))
TIME_LIMIT_S = 100


def command(toy: Path, experiment: Path, *overrides: str) -> list[str]:
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "asrtool.cli", "train-nnet"]
    data = [str(toy / "ali"), str(toy / "train"), str(toy / "valid"), str(experiment)]
    return [sys.executable, *words, "--config", str(toy / "config.yaml"), *data, *overrides]


def start(toy: Path, experiment: Path, log: Path, *overrides: str) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    with open(log, "w") as file:
        return subprocess.Popen(command(toy, experiment, *overrides), stdout=file, stderr=file, env=environment)


def finish(process: subprocess.Popen) -> int:
    try:
        return process.wait(TIME_LIMIT_S)
    finally:
        process.kill()


def workers_of(process: subprocess.Popen) -> list[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in children]


def wait_for(path: Path, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + TIME_LIMIT_S
    while not path.exists():
        assert process.poll() is None and time.monotonic() < deadline, f"{path} does not appear"
        time.sleep(0.01)


def outcome(experiment: Path) -> tuple[dict, list]:
    weights = {
        str(path.relative_to(experiment)): load_model(path).model.state_dict() for path in sorted(experiment.rglob("*.pt"))
    }
    lines = [json.loads(line) for line in (experiment / "metrics.jsonl").read_text().splitlines()]
    return weights, [{key: value for key, value in line.items() if key not in KILL["TIMINGS"]} for line in lines]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    toy = MAKE_TOY(tmp_path_factory.mktemp("training") / "toy", num_utterances=40)
    experiment = toy.parent / "whole"
    log = toy.parent / "whole.log"
    assert finish(start(toy, experiment, log)) == 0, log.read_text()
    return toy, experiment, log.read_text()


def test_two_workers_train_on_disjoint_halves(whole):
    _, experiment, log = whole
    weights, records = outcome(experiment)
    names = [f"final_{name}.pt" for name in ("bmuf", "ema", "ma")]
    names += [f"models/{name}/{epoch}.{part}.pt" for name in ("bmuf", "ema", "ma") for epoch in (1, 2) for part in (1, 2, 3, 4)]
    assert list(weights) == names
    frames = sum(record["frames"] for record in records if record["kind"] == "train")
    assert f"epoch 2: {frames // 2} of {frames // 2} frames seen (" in log
    first, last = ([r for r in records if r["kind"] == "valid" and r["epoch"] == epoch] for epoch in (1, 2))
    assert [record["model"] for record in first] == ["bmuf", "ma", "ema"]
    assert last[0]["loss"] < first[0]["loss"] < 1.9


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_whose_worker_dies_ends_with_the_same_models(whole, tmp_path, number):
    toy, expected, _ = whole
    process = start(toy, tmp_path / "exp", tmp_path / "broken.log")
    wait_for(tmp_path / "exp" / "models" / "ma" / "1.2.pt", process)
    if number == signal.SIGKILL:
        os.kill(workers_of(process)[1], signal.SIGKILL)
    else:
        process.send_signal(signal.SIGTERM)
    struck = time.monotonic()
    assert finish(process) != 0 and time.monotonic() - struck < 30
    message = "ERROR: " if number == signal.SIGKILL else "stopped on request; the same command goes on from here"
    assert message in (tmp_path / "broken.log").read_text()
    assert (tmp_path / "exp" / "checkpoints" / "latest").is_file() and not (tmp_path / "exp" / "done").exists()
    assert finish(start(toy, tmp_path / "exp", tmp_path / "again.log")) == 0, (tmp_path / "again.log").read_text()
    assert "going on from the checkpoint" in (tmp_path / "again.log").read_text()
    (ours, our_records), (weights, records) = outcome(tmp_path / "exp"), outcome(expected)
    assert our_records == records and list(ours) == list(weights)
    assert all(torch.equal(ours[name][key], weights[name][key]) for name in weights for key in weights[name])
