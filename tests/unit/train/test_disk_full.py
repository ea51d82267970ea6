"""A disk that fills up: a clear line, the last checkpoint intact, and the same models once there is space again."""

import json
import re
import resource

import pytest

from asrtool.errors import AsrtoolError
from asrtool.parallel.exchange.single_comm import SingleComm
from asrtool.parallel.simulation.in_process import run_workers
from asrtool.train import experiment, model_writer, run
from asrtool.train.checkpoint import CheckpointStore
from asrtool.train.disk import writing
from asrtool.train.metrics import MetricsLog
from asrtool.train.model_writer import ModelWriter

SINGLE = "parallel.algorithm=single"
PLACES = {  # what is written when the disk is full, the which time, part of the file's name
    "checkpoint": (CheckpointStore, "_write", 3, "/checkpoints/"),
    "newbob's first checkpoint": (CheckpointStore, "_write", 1, "/checkpoints/00000001/rank0.pt"),
    "latest": (CheckpointStore, "_point_to", 3, "checkpoints/latest"),
    "model": (model_writer, "save_model", 5, "/models/"),
    "final model": (ModelWriter, "keep", 1, "/final_single.pt"),
    "metrics": (MetricsLog, "write", 5, "/metrics.jsonl"),
    "settings": (experiment, "save_config", 1, "/config.yaml"),
    "record": (run, "write_record", 1, "/run.json"),
}


@pytest.fixture
def room():
    """room(n): no file of this process can grow beyond n bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("place", PLACES)
def test_a_training_whose_disk_fills_up_goes_on_when_there_is_space(runs, toy, tmp_path, room, monkeypatch, capsys, place):
    owner, name, number, part = PLACES[place]
    overrides = (SINGLE, "num_epochs=1", f"schedule.kind={'newbob' if 'newbob' in place else 'constant'}")
    assert runs.train(toy, tmp_path / "whole", *overrides) == 0
    capsys.readouterr()
    original, calls = getattr(owner, name), []

    def limited(*words, **more):
        calls.append(words)
        if len(calls) == number:  # room for half a line of records, for nothing else
            records = tmp_path / "broken" / "metrics.jsonl"
            room(records.stat().st_size + 20 if place == "metrics" else 10)
        return original(*words, **more)

    with monkeypatch.context() as patches:
        patches.setattr(owner, name, limited)
        code = runs.train(toy, tmp_path / "broken", *overrides)
    room(resource.RLIM_INFINITY)
    errors = [line for line in capsys.readouterr().err.splitlines() if "ERROR:" in line]
    (line,) = errors
    assert code == 1 and (part in line or "metrics.jsonl" in line), errors
    assert re.search(r"\(File too large\)|\(the disk is full, or the file too large", line)
    assert "make space there, then start again: training goes on from the last checkpoint" in line
    assert runs.train(toy, tmp_path / "broken", *overrides) == 0
    runs.assert_same(tmp_path / "whole", tmp_path / "broken")
    left = [path.name for path in (tmp_path / "broken").rglob(".*") if path.name != ".lock"]
    assert left == [], "temporary files are removed"


def test_a_checkpoint_within_an_epoch_may_fail(runs, toy, tmp_path, monkeypatch, capsys):
    original, calls = CheckpointStore._write, []

    def failing(self, path, state):
        calls.append(path)
        if len(calls) in (1, 3):
            raise AsrtoolError(f"{path}: cannot be written (No space left on device)")
        original(self, path, state)

    monkeypatch.setattr(CheckpointStore, "_write", failing)
    assert runs.train(toy, tmp_path / "exp", SINGLE) == 0
    assert capsys.readouterr().err.count("WARNING: checkpoint skipped, the one before stays: ") == 2


def test_one_worker_that_cannot_write_stops_all_and_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    original = CheckpointStore._write

    def work(comm):
        store = CheckpointStore(tmp_path, comm, keep=1)
        store.save(lambda: {"value": comm.rank})
        monkeypatch.setattr(
            CheckpointStore, "_write", lambda self, *words: original(self, *words) if self.comm.rank != 1 else fail()
        )
        message = ""
        try:
            store.save(lambda: {"value": 10 + comm.rank})
        except AsrtoolError as error:
            message = str(error)
        comm.barrier()
        return message, CheckpointStore(tmp_path, comm, keep=1).load(), store.serial

    def fail():
        raise AsrtoolError("no space on rank 1")

    messages, states, serials = zip(*run_workers(3, work))
    assert messages[1] == "no space on rank 1" and all("worker 1 could not write its part" in messages[rank] for rank in (0, 2))
    assert [state["value"] for state in states] == [0, 1, 2] and serials == (1, 1, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000001", "latest"]


def test_the_last_checkpoints_and_the_needed_one_stay(tmp_path):
    store = CheckpointStore(tmp_path, SingleComm(), keep=2)
    for number in range(1, 7):
        store.save(lambda number=number: {"number": number}, needed={2} if number > 2 else ())
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["00000002", "00000005", "00000006"]
    assert store.load(2) == {"number": 2} and CheckpointStore(tmp_path, SingleComm(), keep=2).load() == {"number": 6}


def test_half_a_line_of_records_is_cut(tmp_path):
    log = MetricsLog(tmp_path / "metrics.jsonl", True)
    for number in range(3):
        log.event(number, "x", "y")
    whole = log.position
    log.event(3, "x", "y")
    log.path.write_bytes(log.path.read_bytes()[:-5])
    log.cut(whole)
    assert [json.loads(line)["epoch"] for line in log.path.read_text().splitlines()] == [0, 1, 2]
    log.path.write_bytes(log.path.read_bytes()[:-5])  # the file system has lost the end that the checkpoint speaks of
    log.cut(whole)
    assert [json.loads(line)["epoch"] for line in log.path.read_text().splitlines()] == [0, 1]


def test_other_errors_of_torch_stay_what_they_are(tmp_path):
    with pytest.raises(RuntimeError, match="a bug"), writing(tmp_path):
        raise RuntimeError("a bug")
