"""A training of virtual workers that goes on with another number of them, or without some of them."""

import math

import pytest
import torch

from asrtool.errors import AsrtoolError
from asrtool.io.config import load_config
from asrtool.parallel.exchange.single_comm import SingleComm
from asrtool.parallel.registry import ALGORITHMS
from asrtool.parallel.simulation.in_process import run_workers
from asrtool.train.at_sync import AtSync
from asrtool.train.checkpoint import CheckpointStore, Workers
from asrtool.train.config import TrainConfig
from asrtool.train.metrics import join_notes, note_values
from asrtool.train.run import TrainPaths, train_network
from asrtool.train.save_state import Saver

SETTINGS = ["parallel.ema_alpha=[0.5, 0.9]", "parallel.block_momentum=null", "models_per_epoch=2", "parallel.nesterov=true"]


@pytest.fixture
def start(tmp_path):
    """start(algorithm, workers, *settings) trains the toy task in tmp_path/exp."""

    def run(toy, workers, *settings):
        config = load_config(TrainConfig, toy / "config.yaml", [*SETTINGS, *settings])
        paths = TrainPaths(toy / "ali", toy / "train", toy / "valid", tmp_path / "exp")
        run_workers(workers, lambda comm: train_network(config, paths, comm))

    return run


@pytest.fixture
def blows(monkeypatch):
    """The run dies at the `syncs`-th sync of epoch 2 from now on; 0: not at all."""
    plan = {"syncs": 0}
    original = AtSync.__call__

    def dying(self, report):
        original(self, report)
        if self.parts.comm.rank == 1 and self.position.epoch == 1 and plan["syncs"]:
            plan["syncs"] -= 1
            if not plan["syncs"]:
                raise KeyboardInterrupt

    monkeypatch.setattr(AtSync, "__call__", dying)
    return plan


@pytest.fixture
def restored(monkeypatch):
    """What each worker has right after it has restored a checkpoint: its models, and its place in the epoch."""
    found = []
    original = Saver.restore

    def restore(self):
        is_restored = original(self)
        if is_restored:
            models, position = self.parts.algorithm.models(), self.position
            found.append((models, position.batches_done / position.batches_in_epoch, position.frames_before))
        return is_restored

    monkeypatch.setattr(Saver, "restore", restore)
    return found


def saved_models(checkpoints) -> dict[str, dict[str, torch.Tensor]]:
    """The models of the last checkpoint, put together by hand from the shards in its files."""
    store = CheckpointStore(checkpoints, SingleComm(), 1)
    states = [state["algorithm"] for state in store.load_all()]
    models = {}
    for name in ("global", "ma", "ema0.5", "ema0.9"):
        flat = torch.cat([state["shards"][name] for state in states])
        models[name] = {key: flat[begin : begin + math.prod(shape)].view(shape) for key, begin, shape in states[0]["layout"]}
    return models


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name != "single"])
def test_four_workers_then_two_then_three(runs, tmp_path, start, blows, restored, algorithm):
    toy = runs.make_toy(tmp_path / "toy", "lstm", algorithm, num_utterances=40)
    every = "checkpoint.every_syncs=1"
    for workers, before in ((4, 0), (2, 4), (3, 2)):
        restored.clear()
        expected = saved_models(tmp_path / "exp" / "checkpoints") if before else {}
        blows["syncs"] = {4: 2, 2: 1, 3: 0}[workers]
        if workers == 3:
            start(toy, workers, every)
        else:
            with pytest.raises(KeyboardInterrupt):
                start(toy, workers, every)
        assert len(restored) == (workers if before else 0)
        for models, share, frames_before in restored:
            names = dict(zip(expected, models, strict=True))  # in the same order, the global model first
            for name in expected:
                assert all(torch.equal(models[names[name]][key], expected[name][key]) for key in expected[name]), name
            assert 0.1 < share < 1 and frames_before > 100
    frames = runs.records(tmp_path / "exp", "frames")
    assert [len(record["seen"]) for record in frames] == [4, 3] and "before" not in frames[0]
    seen = sum(frames[1]["seen"]) + frames[1]["before"]
    assert abs(seen / frames[1]["total"] - 1) < 0.25, "about one epoch in all"
    texts = [record["text"] for record in runs.records(tmp_path / "exp", "event")]
    assert texts == ["going on with 2 worker(s) instead of 4", "going on with 3 worker(s) instead of 2"]
    valid = [record for record in runs.records(tmp_path / "exp", "valid") if record["model"] == algorithm]
    assert valid[1]["loss"] < valid[0]["loss"] < 2
    assert {record["workers"] for record in runs.records(tmp_path / "exp", "train")} == {4, 2, 3}


def test_newbob_goes_back_to_a_model_of_other_workers(runs, tmp_path, start, blows):
    """A rejected epoch returns to the checkpoint of an epoch that four workers accepted; two go on from it."""
    toy = runs.make_toy(tmp_path / "toy", "dnn", "bmuf", num_utterances=40)
    settings = ["schedule.kind=newbob", "schedule.learning_rate=0.5", "num_epochs=3"]
    blows["syncs"] = 1
    with pytest.raises(KeyboardInterrupt):
        start(toy, 4, *settings)
    start(toy, 2, *settings)
    events = runs.records(tmp_path / "exp", "event")
    assert [event["what"] for event in events if event["what"] in ("workers", "rejected")][:2] == ["workers", "rejected"]


def test_a_checkpoint_is_written_again_when_a_worker_is_lost_meanwhile(tmp_path):
    class Shrinking(SingleComm):
        size, alive, left = 3, [0, 1, 2], [[0, 1, 2], [0, 2], [0, 2], [0, 2]]

        def all_reduce_(self, tensor):
            Shrinking.alive = self.left.pop(1) if len(self.left) > 1 else self.alive

    store = CheckpointStore(tmp_path, Shrinking(), keep=1)
    states = iter([{"pieces": [0]}, {"pieces": [0, 1]}])
    store.save(lambda: next(states))
    assert store.workers() == Workers(3, [0, 2])
    assert store.load() == {"pieces": [0, 1]} and next(states, None) is None


def test_what_a_run_of_more_workers_left_half_written_is_removed(tmp_path):
    store = CheckpointStore(tmp_path, SingleComm(), keep=2)
    store.save(lambda: {"value": 1})
    half = tmp_path / "00000002"
    half.mkdir()
    (half / "rank3.pt").write_bytes(b"of another time")
    store = CheckpointStore(tmp_path, SingleComm(), keep=2)
    assert not half.exists() and store.serial == 1
    store.save(lambda: {"value": 2})
    assert store.load_all() == [{"value": 2}]
    (half / "workers").unlink()
    with pytest.raises(AsrtoolError, match="damaged checkpoint"):
        store.load_all()


def test_notes_are_joined_by_their_names():
    notes = {}
    for report in ({"staleness_mean": 1.0, "staleness_max": 3.0, "dropped": 1.0}, {"staleness_mean": 2.0, "staleness_max": 2.0}):
        notes = join_notes(notes, report)
    assert note_values(notes) == {"staleness_mean": 1.5, "staleness_max": 3.0, "dropped": 1.0}
