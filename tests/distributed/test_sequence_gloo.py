"""Every parallel algorithm drives sequence training: two processes each, one of them killed on the way."""

import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from asrtool.nnet.model_file import load_model
from asrtool.parallel.registry import ALGORITHMS
from asrtool.parallel.simulation.in_process import run_workers
from asrtool.train.sequence_run import train_sequence

HERE = Path(__file__).parent
TOY = runpy.run_path(str(HERE / "sequence_toy.py"))
LIMIT_S = 300
COMMON = ["models_per_epoch=1", "parallel.lost_after_s=20"]
SYNCHRONOUS = {
    "model_averaging": ["parallel.algorithm=model_averaging"],
    "bmuf": ["parallel.algorithm=bmuf", "parallel.nesterov=true"],
    "bmuf_overlap": ["parallel.algorithm=bmuf", "parallel.overlap=true"],
    "bsp": ["parallel.algorithm=bsp", "sequence.criterion=mmi"],
    "easgd_synchronous": ["parallel.algorithm=easgd", "parallel.synchronous=true"],
}
ASYNCHRONOUS = {
    "asgd": ["parallel.algorithm=asgd", "sequence.ce_weight=0.1"],
    "easgd": ["parallel.algorithm=easgd"],
}


def free_ports(count: int) -> int:
    """The first of `count` ports in a row that were free a moment ago."""
    for _ in range(50):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            first = probe.getsockname()[1]
        sockets = [socket.socket() for _ in range(count)]
        try:
            for offset, one in enumerate(sockets):
                one.bind(("127.0.0.1", first + offset))
            return first
        except OSError:
            continue
        finally:
            for one in sockets:
                one.close()
    raise RuntimeError("no free ports")


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Path:
    return TOY["make_sequence_toy"](tmp_path_factory.mktemp("sequence") / "toy", num_utterances=12)


@pytest.fixture(scope="module")
def codes(toy) -> dict[str, list[list[int]]]:
    """Exit codes of the ranks for each start of each training in toy/<name>."""
    cases = [(name, sync, SYNCHRONOUS[name]) for name in SYNCHRONOUS for sync in (3, 0)]
    cases += [(name, 3, ASYNCHRONOUS[name]) for name in ASYNCHRONOUS]
    words = [f"{name}:{sync}:{','.join([*COMMON, *settings])}" for name, sync, settings in cases]
    command = [sys.executable, HERE / "sequence_ranks.py", toy, free_ports(len(cases)), *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    with open(toy / "log", "w") as log:
        process = subprocess.Popen(
            list(map(str, command)), env=environment, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
        )
        try:
            output, _ = process.communicate(timeout=LIMIT_S)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
    found = {}
    for (name, _, _), line in zip(cases, [line for line in output.splitlines() if line.startswith("[")], strict=True):
        found.setdefault(name, []).append(json.loads(line))
    return found


def weights(experiment: Path) -> dict:
    return {str(path.relative_to(experiment)): load_model(path).model.state_dict() for path in sorted(experiment.rglob("*.pt"))}


def losses(experiment: Path) -> list[float]:
    """The global model's, by the sequence criterion, of each epoch."""
    lines = [json.loads(line) for line in (experiment / "metrics.jsonl").read_text().splitlines()]
    first = next(line for line in lines if line["kind"] == "valid")
    return [line["sequence_loss"] for line in lines if line["kind"] == "valid" and line["model"] == first["model"]]


def test_all_algorithms_are_here():
    named = [word.split("=")[1] for words in (SYNCHRONOUS | ASYNCHRONOUS).values() for word in words if "algorithm" in word]
    assert set(named) | {"single"} == set(ALGORITHMS)  # single: tests/unit/train/test_sequence_training.py


@pytest.mark.parametrize("name", SYNCHRONOUS)
def test_a_killed_training_goes_on_and_ends_as_one_of_virtual_workers(toy, codes, name):
    killed, restarted = codes[name]
    assert killed[1] == -signal.SIGKILL and killed[0] != 0 and restarted == [0, 0], (toy / "log").read_text()[-4000:]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    untouched = TOY["settings"](toy, toy / f"virtual_{name}", *COMMON, *SYNCHRONOUS[name], wer=False)
    run_workers(2, lambda comm: train_sequence(*untouched, comm))
    torch.set_num_threads(threads)
    ours, expected = weights(toy / name), weights(toy / f"virtual_{name}")
    assert list(ours) == list(expected) and len(ours) > 6
    assert [(f, key) for f in expected for key in expected[f] if not torch.equal(ours[f][key], expected[f][key])] == []
    start, *_, end = losses(toy / name)
    assert end < start


@pytest.mark.parametrize("name", ASYNCHRONOUS)
def test_an_asynchronous_training_goes_on_without_a_killed_worker(toy, codes, name):
    assert codes[name] == [[0, -signal.SIGKILL]], (toy / "log").read_text()[-4000:]
    models = weights(toy / name)
    assert f"final_{name}.pt" in models
    assert all(bool(tensor.isfinite().all()) for model in models.values() for tensor in model.values())
    start, *_, end = losses(toy / name)
    assert end < start
