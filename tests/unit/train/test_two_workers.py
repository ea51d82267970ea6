"""Two virtual workers in one process through the whole training: resuming, rejection, bad minibatches of one of them."""

import threading

import pytest
import torch

from asrtool.io.config import load_config
from asrtool.loader.loader import Loader
from asrtool.parallel.simulation.in_process import run_workers
from asrtool.train.at_sync import AtSync
from asrtool.train.config import TrainConfig
from asrtool.train.run import TrainPaths, train_network

NEWBOB = ("schedule.kind=newbob", "schedule.learning_rate=0.9", "num_epochs=4")
ADAMW = ("optimizer.kind=adamw", "optimizer.weight_decay=0.1", "schedule.learning_rate=0.01")


def train(toy, experiment, *overrides, workers=2):
    config = load_config(TrainConfig, toy / "config.yaml", list(overrides))
    paths = TrainPaths(toy / "ali", toy / "train", toy / "valid", experiment)
    run_workers(workers, lambda comm: train_network(config, paths, comm))


@pytest.mark.parametrize("algorithm", ["bmuf", "bsp"])
@pytest.mark.parametrize("overrides", [NEWBOB, ADAMW])
def test_a_run_that_dies_goes_on_bit_for_bit(runs, tmp_path, monkeypatch, algorithm, overrides):
    toy = runs.make_toy(tmp_path / "toy", "lstm", algorithm)
    train(toy, tmp_path / "whole", *overrides)
    rejected = [record for record in runs.records(tmp_path / "whole", "event") if record["what"] == "rejected"]
    assert rejected or overrides != NEWBOB
    original, syncs = AtSync.__call__, []

    def dying(self, report):
        original(self, report)
        if self.parts.comm.rank == 1:
            syncs.append(report)
            if len(syncs) in (4, 10):
                raise KeyboardInterrupt

    monkeypatch.setattr(AtSync, "__call__", dying)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train(toy, tmp_path / "broken", *overrides)
    train(toy, tmp_path / "broken", *overrides)
    runs.assert_same(tmp_path / "whole", tmp_path / "broken")


@pytest.mark.parametrize("algorithm", ["bmuf", "bsp"])
@pytest.mark.parametrize("policy", ["skip", "rollback"])
def test_bad_minibatches_of_one_worker(runs, tmp_path, monkeypatch, algorithm, policy):
    """Nobody hangs; the models stay finite; every frame is counted; all take the same way."""
    toy = runs.make_toy(tmp_path / "toy", "lstm", algorithm)
    original, left = Loader.epoch, [1]

    def spoilt(self, epoch, skip_batches=0):
        for index, batch in enumerate(original(self, epoch, skip_batches), start=skip_batches):
            if self.seed is not None and threading.current_thread().name == "worker1" and (epoch, index) == (1, 3) and left:
                left.clear()
                batch.x_BTF[0] = float("nan")
            yield batch

    monkeypatch.setattr(Loader, "epoch", spoilt)
    train(toy, tmp_path / "exp", f"bad_loss={policy}")
    (event,) = runs.records(tmp_path / "exp", "event")
    assert event["what"] == {"skip": "skipped", "rollback": "rollback"}[policy] and 1 <= event["epoch"] <= 2
    models = runs.models(tmp_path / "exp")
    assert all(bool(torch.isfinite(tensor).all()) for weights in models.values() for tensor in weights.values())
    total = sum(record["frames"] for record in runs.records(tmp_path / "exp", "train"))
    seen = [sum(record["seen"]) for record in runs.records(tmp_path / "exp", "frames")]
    assert seen == [record["total"] for record in runs.records(tmp_path / "exp", "frames")] and total == sum(seen)


def test_times_of_the_workers_add_up(runs, tmp_path):
    toy = runs.make_toy(tmp_path / "toy", "lstm", "bmuf")
    train(toy, tmp_path / "exp")
    for record in runs.records(tmp_path / "exp", "train"):
        assert record["workers"] == 2 and min(record["load_s"], record["step_s"], record["sync_s"]) >= 0
        own = record["frames"] / record["frames_per_s"]  # rank 0's seconds
        assert record["step_s"] > 0 and own <= record["load_s"] + record["step_s"] + record["sync_s"] + 0.001
