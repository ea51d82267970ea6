"""Training on one worker, through the command: results, resuming bit for bit, bad input."""

import json
import os
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from asrtool import cli
from asrtool.io.kaldi_table import MatrixWriter
from asrtool.nnet.forward import loglikes
from asrtool.nnet.model_file import load_model
from asrtool.train import trainer as trainer_module

MAKE_TOY = runpy.run_path(str(Path(__file__).parents[2] / "distributed" / "training_toy.py"))["make_toy"]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Two threads over matrices this small only wait for each other, on a busy machine for long."""
    before = torch.get_num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def toy(tmp_path):
    return MAKE_TOY(tmp_path / "toy")


def train(toy: Path, experiment: Path, *overrides: str) -> int:
    words = ["train-nnet", "--config", str(toy / "config.yaml"), str(toy / "ali"), str(toy / "train"), str(toy / "valid")]
    return cli.main([*words, str(experiment), *overrides])


def models(experiment: Path) -> dict[str, dict[str, torch.Tensor]]:
    return {str(path.relative_to(experiment)): load_model(path).model.state_dict() for path in sorted(experiment.rglob("*.pt"))}


def assert_same_run(one: Path, other: Path) -> None:
    left, right = models(one), models(other)
    assert list(left) == list(right) and left
    for name in left:
        for key in left[name]:
            assert torch.equal(left[name][key], right[name][key]), (name, key)
    assert records(one, timeless=True) == records(other, timeless=True)


def records(experiment: Path, timeless: bool = False) -> list[dict]:
    lines = [json.loads(line) for line in (experiment / "metrics.jsonl").read_text().splitlines()]
    if timeless:
        for line in lines:
            del line["frames_per_s"]
    return lines


@pytest.mark.parametrize("kind", ["lstm", "dnn"])
def test_training_learns_and_leaves_all_models(tmp_path, kind, capsys):
    toy = MAKE_TOY(tmp_path / "toy", kind, "single")
    experiment = tmp_path / "exp"
    assert train(toy, experiment, "num_epochs=3") == 0
    names = [str(path.relative_to(experiment)) for path in sorted(experiment.rglob("*.pt"))]
    parts = [f"{epoch}.{part}" for epoch in (1, 2, 3) for part in (1, 2, 3, 4)]
    averages = ["ema", "ma", "single"]
    assert names == [f"final_{name}.pt" for name in averages] + [f"models/{n}/{p}.pt" for n in averages for p in parts]
    valid = [record for record in records(experiment) if record["kind"] == "valid"]
    assert [(record["epoch"], record["model"]) for record in valid] == [
        (e, n) for e in (1, 2, 3) for n in ("single", "ma", "ema")
    ]
    assert 0 < valid[-3]["fer"] < 0.6 and valid[-1]["loss"] < valid[0]["loss"]
    assert {"loss", "fer", "frames", "targets", "frames_per_s"} <= set(valid[0])
    trained = [record for record in records(experiment) if record["kind"] == "train"]
    total = sum(record["frames"] for record in trained)
    error = capsys.readouterr().err
    assert f"epoch 3: {total // 3} of {total // 3} frames seen" in error
    assert json.loads((experiment / "run.json").read_text())["seed"] == 1
    bundle = load_model(experiment / "final_ema.pt")
    assert bundle.info["model"] == "ema"
    for name in averages:  # the epoch that is kept is the one with the lowest validation FER
        _, best = min((record["fer"], record["epoch"]) for record in valid if record["model"] == name)
        final, kept = (experiment / path for path in (f"final_{name}.pt", f"models/{name}/{int(best)}.4.pt"))
        assert final.read_bytes() == kept.read_bytes()
    scores = loglikes(bundle, bundle.pipeline(toy / "valid")("valid-000"))
    assert scores.shape[1] == 6 and np.isfinite(scores).all()
    stamps = {path: path.stat().st_mtime_ns for path in experiment.rglob("*") if path.is_file()}
    assert train(toy, experiment, "num_epochs=3") == 0  # done: returns at once
    assert {path: path.stat().st_mtime_ns for path in experiment.rglob("*") if path.is_file()} == stamps
    assert "is done already" in capsys.readouterr().err


@pytest.mark.parametrize(("kind", "stop_at"), [("lstm", (3, 9)), ("dnn", (2, 7, 12))])
def test_a_run_that_dies_goes_on_bit_for_bit(tmp_path, monkeypatch, kind, stop_at):
    toy = MAKE_TOY(tmp_path / "toy", kind, "single")
    assert train(toy, tmp_path / "whole") == 0
    original = trainer_module.Trainer._on_sync
    syncs = 0

    def dying(self, report):
        nonlocal syncs
        syncs += 1
        original(self, report)
        if syncs in stop_at:
            raise KeyboardInterrupt

    monkeypatch.setattr(trainer_module.Trainer, "_on_sync", dying)
    codes = [train(toy, tmp_path / "broken") for _ in range(len(stop_at) + 1)]
    assert codes == [130] * len(stop_at) + [0]
    assert_same_run(tmp_path / "whole", tmp_path / "broken")


def test_sigterm_saves_and_the_run_goes_on_bit_for_bit(toy, tmp_path, monkeypatch):
    assert train(toy, tmp_path / "whole", "parallel.algorithm=single") == 0
    original = trainer_module.Trainer._step
    steps = 0

    def terminated(self, batch):
        nonlocal steps
        steps += 1
        if steps == 7:
            os.kill(os.getpid(), signal.SIGTERM)
        original(self, batch)

    monkeypatch.setattr(trainer_module.Trainer, "_step", terminated)
    overrides = ("parallel.algorithm=single", "checkpoint.every_syncs=0")
    assert train(toy, tmp_path / "broken", *overrides) == 143
    assert steps < 15 and (tmp_path / "broken" / "checkpoints" / "latest").is_file()
    assert train(toy, tmp_path / "broken", *overrides) == 0
    assert_same_run(tmp_path / "whole", tmp_path / "broken")


def test_a_killed_process_goes_on_bit_for_bit(toy, tmp_path):
    assert train(toy, tmp_path / "whole", "parallel.algorithm=single") == 0
    script = (
        "import os, sys; from asrtool.train import trainer; step = trainer.Trainer._step\n"
        "def die(self, batch):\n"
        "    if self.epoch == 1 and self.batches_done == 4: os.kill(os.getpid(), 9)\n"
        "    step(self, batch)\n"
        "trainer.Trainer._step = die\n"
        "from asrtool.cli import main; main(sys.argv[1:])"
    )
    words = [str(toy / "config.yaml"), str(toy / "ali"), str(toy / "train"), str(toy / "valid"), str(tmp_path / "broken")]
    command = [sys.executable, "-c", script, "train-nnet", "--config", *words, "parallel.algorithm=single"]
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == -9
    assert train(toy, tmp_path / "broken", "parallel.algorithm=single") == 0
    assert_same_run(tmp_path / "whole", tmp_path / "broken")


def test_newbob_stops_before_the_last_epoch(toy, tmp_path):
    overrides = ("parallel.algorithm=single", "schedule.start_halving=0.99", "schedule.end_halving=0.98", "num_epochs=9")
    assert train(toy, tmp_path / "exp", *overrides) == 0
    assert max(record["epoch"] for record in records(tmp_path / "exp")) < 9
    assert (tmp_path / "exp" / "final_ma.pt").is_file()


def test_validation_on_a_part_of_the_data(toy, tmp_path):
    assert train(toy, tmp_path / "exp", "parallel.algorithm=single", "num_epochs=1", "valid_max_frames=100") == 0
    assert 0 < records(tmp_path / "exp")[-1]["frames"] <= 150


def spoil_features(toy: Path, value: float) -> str:
    """Rewrites the training features with one bad value; returns the utterance."""
    from asrtool.io.kaldi_table import MatrixReader

    matrices = dict(MatrixReader(toy / "train" / "feats.scp").items())
    utterance = "train-004"
    matrices[utterance] = matrices[utterance].copy()
    matrices[utterance][3, 1] = value
    with MatrixWriter(toy / "train" / "feats.ark", toy / "train" / "feats.scp") as writer:
        for name, matrix in matrices.items():
            writer.write(name, matrix)
    return utterance


def test_the_last_epoch_is_kept_on_request(toy, tmp_path):
    assert train(toy, tmp_path / "exp", "num_epochs=2", "keep_epoch=last") == 0
    for name in ("ema", "ma"):
        assert (tmp_path / f"exp/final_{name}.pt").read_bytes() == (tmp_path / f"exp/models/{name}/2.4.pt").read_bytes()


def test_an_exploding_loss_names_the_utterances(toy, tmp_path, capsys):
    overrides = ("parallel.algorithm=single", "schedule.learning_rate=1e6", "optimizer.max_gradient_norm=0")
    assert train(toy, tmp_path / "exp", *overrides) == 1
    error = capsys.readouterr().err
    assert "ERROR: epoch 1, minibatch" in error and "utterances train-0" in error and "lower schedule.learning_rate" in error


def bad_alignment_length(toy):
    (toy / "train" / "utt2num_frames").write_text(
        (toy / "train" / "utt2num_frames").read_text().replace("train-003 ", "train-003 1")
    )


def bad_transition_id(toy):
    from asrtool.io.alignment import read_alignments, write_alignments

    alignments = read_alignments(toy / "ali")
    alignments["train-002"] = alignments["train-002"] + 90
    write_alignments(toy / "ali" / "ali.1.gz", alignments)


def set_config(**changes):
    def spoil(toy):
        config = yaml.safe_load((toy / "config.yaml").read_text())
        (toy / "config.yaml").write_text(yaml.safe_dump({**config, **changes}))

    return spoil


BAD_INPUT = {
    "length": (bad_alignment_length, "train-003: 1"),
    "transition id": (bad_transition_id, "train-002: transition-id"),
    "no final.mdl": (lambda toy: (toy / "ali" / "final.mdl").unlink(), "final.mdl: no such file"),
    "no alignments": (lambda toy: (toy / "ali" / "ali.1.gz").unlink(), "no alignments"),
    "no features": (lambda toy: (toy / "valid" / "feats.scp").unlink(), "feats.scp: no such file; make features"),
    "NaN": (lambda toy: spoil_features(toy, float("nan")), "train-004: NaN"),
    "unknown key": (set_config(num_epoch=3), "unknown key 'num_epoch'"),
    "unknown model": (set_config(model={"kind": "gru"}), "kind: expected one of dnn, lstm, found 'gru'"),
    "unknown algorithm": (set_config(parallel={"algorithm": "bfum"}), "algorithm 'bfum' is unknown"),
    "bad range": (set_config(optimizer={"momentum": 1.5}), "momentum must be in"),
    "bad input": (set_config(input={"stride": 0}), "stride >= 1"),
    "no speaker statistics": (set_config(features={"cmvn": "speaker"}), "cmvn.scp: no such file"),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_is_one_line_and_status_1(toy, tmp_path, capsys, name):
    spoil, message = BAD_INPUT[name]
    spoil(toy)
    assert train(toy, tmp_path / "exp") == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if "ERROR:" in line]
    assert len(errors) == 1 and message in errors[0], errors


def test_other_settings_in_the_same_directory_are_refused(toy, tmp_path, monkeypatch, capsys):
    def stop(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer_module.Trainer, "_end_epoch", stop)
    assert train(toy, tmp_path / "exp") == 130
    assert train(toy, tmp_path / "exp", "seed=2", "checkpoint.keep=5") == 1
    assert "this run began with other settings of seed; use a new experiment directory" in capsys.readouterr().err


def test_a_damaged_checkpoint_says_what_to_do(toy, tmp_path, monkeypatch, capsys):
    def stop(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer_module.Trainer, "_end_epoch", stop)
    assert train(toy, tmp_path / "exp") == 130
    latest = json.loads((tmp_path / "exp" / "checkpoints" / "latest").read_text())
    path = tmp_path / "exp" / "checkpoints" / f"{latest['serial']:08d}" / "rank0.pt"
    path.write_bytes(path.read_bytes()[:1000])
    assert train(toy, tmp_path / "exp") == 1
    assert "damaged checkpoint" in capsys.readouterr().err
    (tmp_path / "exp" / "checkpoints" / "latest").write_text(json.dumps({"serial": 1, "world_size": 2}))
    assert train(toy, tmp_path / "exp") == 1
    assert "checkpoint of 2 workers, started with 1; go on with --num-workers 2" in capsys.readouterr().err
