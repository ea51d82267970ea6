"""A training by virtual workers ends with the models and the records of real processes, to the bit, at N = 2 and 4."""

import json
import multiprocessing
import os
import runpy
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from asrtool.io.config import load_config
from asrtool.nnet.model_file import load_model
from asrtool.train.config import TrainConfig
from asrtool.train.run import TrainPaths, train_network
from asrtool.train.simulate import KIND, Simulation, simulate_training

MAKE_TOY = runpy.run_path(str(Path(__file__).with_name("training_toy.py")))["make_toy"]
TIMINGS = ("frames_per_s", "load_s", "step_s", "sync_s")
TIME_LIMIT_S = 100

CASES = {
    "bmuf": ["parallel.algorithm=bmuf", "parallel.nesterov=true", "parallel.ema_alpha=[0.9, 0.5]"],
    "model_averaging": ["parallel.algorithm=model_averaging", "parallel.weighting=frames", "parallel.warmup_frames=60"],
    "bsp": ["parallel.algorithm=bsp", "optimizer.momentum=0.9"],
    "overlapped bmuf": ["parallel.algorithm=bmuf", "parallel.overlap=true", "parallel.exchange_dtype=bfloat16"],
    "overlapped bsp": ["parallel.algorithm=bsp", "parallel.overlap=true", "parallel.bucket_mb=0.004"],
    "easgd": ["parallel.algorithm=easgd", "parallel.synchronous=true", "parallel.elastic_steps=2"],
}
WORKERS_PER_HOST = {2: 1, 4: 2}
RUNS = [(name, size) for size in (2, 4) for name in CASES if size == 4 or name in ("bmuf", "bsp")]


def settings(toy: Path, name: str) -> TrainConfig:
    return load_config(TrainConfig, toy / "config.yaml", CASES[name])


def paths(toy: Path, experiment: Path) -> TrainPaths:
    return TrainPaths(toy / "ali", toy / "train", toy / "valid", experiment)


def worker(rank: int, size: int, toy: Path, names: list[str]) -> None:
    """One real worker: trains by each algorithm, one after the other."""
    from asrtool.parallel.exchange.comm import TorchComm

    os.environ |= {"OMP_NUM_THREADS": "1", "RANK": str(rank), "GROUP_RANK": str(rank // WORKERS_PER_HOST[size])}
    torch.set_num_threads(1)
    for name in names:
        store = f"file://{toy}/store_{size}_{names.index(name)}"
        dist.init_process_group("gloo", init_method=store, rank=rank, world_size=size)
        train_network(settings(toy, name), paths(toy, toy / f"real_{name}_{size}"), TorchComm())


def outcome(experiment: Path) -> tuple[dict, list]:
    weights = {
        str(path.relative_to(experiment)): load_model(path).model.state_dict() for path in sorted(experiment.rglob("*.pt"))
    }
    lines = [json.loads(line) for line in (experiment / "metrics.jsonl").read_text().splitlines()]
    return weights, [{key: value for key, value in line.items() if key not in TIMINGS} for line in lines if line["kind"] != KIND]


@pytest.fixture(scope="module")
def real(tmp_path_factory) -> Path:
    """Directories real_<algorithm>_<N>, beside the toy's data."""
    toy = MAKE_TOY(tmp_path_factory.mktemp("simulation") / "toy", num_utterances=24)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch._dynamo", "asrtool.train.run"])  # imported once for all workers
    for size in (2, 4):
        names = [name for name, number in RUNS if number == size]
        workers = [context.Process(target=worker, args=(rank, size, toy, names)) for rank in range(size)]
        for process in workers:
            process.start()
        for process in workers:
            process.join(TIME_LIMIT_S)
            process.kill()
        assert [process.exitcode for process in workers] == [0] * size
    return toy


@pytest.mark.parametrize(("name", "size"), RUNS)
def test_virtual_workers_equal_processes(real, monkeypatch, name, size):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    simulation = Simulation(size, WORKERS_PER_HOST[size], seconds_per_frame=1e-4, spread=0.3, jitter=0.1, use_gpu=False)
    simulate_training(settings(real, name), paths(real, real / f"virtual_{name}_{size}"), simulation)
    torch.set_num_threads(threads)
    (ours, records), (expected, real_records) = outcome(real / f"virtual_{name}_{size}"), outcome(real / f"real_{name}_{size}")
    assert list(ours) == list(expected) and len(ours) > 20
    different = [
        (file, key) for file in expected for key in expected[file] if not torch.equal(ours[file][key], expected[file][key])
    ]
    assert not different
    assert records == real_records
    assert len([record for record in records if record["kind"] == "valid"]) == 2 * len(
        list(real.glob(f"real_{name}_{size}/final_*"))
    )
