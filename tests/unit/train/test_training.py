"""Training on one worker, through the command: results, resuming bit for bit, bad input."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from asrtool.io.kaldi_table import MatrixWriter
from asrtool.loader import table
from asrtool.nnet.forward import loglikes
from asrtool.nnet.model_file import load_model
from asrtool.nnet.registry import MODELS
from asrtool.train.at_sync import AtSync
from asrtool.train.epoch_end import EpochEnd
from asrtool.train.metrics import MetricsLog
from asrtool.train.minibatch import MinibatchStep


@pytest.mark.parametrize("kind", ["lstm", "dnn"])
def test_training_learns_and_leaves_all_models(runs, tmp_path, kind, capsys):
    toy = runs.make_toy(tmp_path / "toy", kind, "single")
    experiment = tmp_path / "exp"
    assert runs.train(toy, experiment, "num_epochs=3") == 0
    names = [str(path.relative_to(experiment)) for path in sorted(experiment.rglob("*.pt"))]
    parts = [f"{epoch}.{part}" for epoch in (1, 2, 3) for part in (1, 2, 3, 4)]
    averages = ["ema", "ma", "single"]
    assert names == [f"final_{name}.pt" for name in averages] + [f"models/{n}/{p}.pt" for n in averages for p in parts]
    valid = [record for record in runs.records(experiment) if record["kind"] == "valid"]
    assert [(record["epoch"], record["model"]) for record in valid] == [
        (e, n) for e in (1, 2, 3) for n in ("single", "ma", "ema")
    ]
    assert 0 < valid[-3]["fer"] < 0.6 and valid[-1]["loss"] < valid[0]["loss"]
    assert {"loss", "fer", "frames", "targets", "frames_per_s"} <= set(valid[0])
    trained = [record for record in runs.records(experiment) if record["kind"] == "train"]
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
    assert runs.train(toy, experiment, "num_epochs=3") == 0  # done: returns at once
    assert {path: path.stat().st_mtime_ns for path in experiment.rglob("*") if path.is_file()} == stamps
    assert "is done already" in capsys.readouterr().err


REJECTING = ("schedule.kind=newbob", "schedule.learning_rate=0.6", "num_epochs=4")  # with epochs that are rejected
ADAM = ("optimizer.kind=adamw", "optimizer.weight_decay=0.1", "schedule.learning_rate=0.01")


@pytest.mark.parametrize(
    ("kind", "stop_at", "overrides"),
    [
        ("lstm", (3, 9), ()),
        ("dnn", (2, 7, 12), ()),
        ("lstm", (3, 14, 30), REJECTING),
        ("dnn", (5, 11), ADAM),
        ("lstm", (5, 16), (*ADAM, "parallel.algorithm=bmuf", "parallel.block_lr=0.7")),
    ],
)
def test_a_run_that_dies_goes_on_bit_for_bit(runs, tmp_path, monkeypatch, kind, stop_at, overrides):
    toy = runs.make_toy(tmp_path / "toy", kind, "single")
    assert runs.train(toy, tmp_path / "whole", *overrides) == 0
    rejected = [record for record in runs.records(tmp_path / "whole", "event") if record["what"] == "rejected"]
    assert bool(rejected) == (overrides == REJECTING)
    die_at_syncs(monkeypatch, stop_at)
    codes = [runs.train(toy, tmp_path / "broken", *overrides) for _ in range(len(stop_at) + 1)]
    assert codes == [130] * len(stop_at) + [0]
    runs.assert_same(tmp_path / "whole", tmp_path / "broken")


SIZES = {
    "lstmp": "{kind: lstmp, num_layers: 1, num_cells: 8, projection_dim: 6, peepholes: true}",
    "tdnn": "{kind: tdnn, offsets: [[-1, 0, 1], [-2, 0], [0]], hidden_dim: 7}",
    "cldnn": "{kind: cldnn, window_frames: 3, num_maps: 4, filter1: [2, 2], filter2: [2, 1], pool: 2, reduction_dim: 6, "
    "num_cells: 8, projection_dim: 6, num_layers: 1, num_fc_layers: 1, fc_dim: 6}",
}


@pytest.mark.parametrize("kind", sorted(set(MODELS) - {"dnn", "lstm"}))
def test_every_other_model_resumes_bit_for_bit(runs, toy, tmp_path, monkeypatch, kind):
    overrides = (f"model={SIZES[kind]}", "parallel.algorithm=single", "optimizer.kind=adam", "schedule.learning_rate=0.01")
    assert runs.train(toy, tmp_path / "whole", *overrides) == 0
    die_at_syncs(monkeypatch, (3, 9))
    assert [runs.train(toy, tmp_path / "broken", *overrides) for _ in range(3)] == [130, 130, 0]
    runs.assert_same(tmp_path / "whole", tmp_path / "broken")


def die_at_syncs(monkeypatch, stop_at):
    original = AtSync.__call__
    syncs = 0

    def dying(self, report):
        nonlocal syncs
        syncs += 1
        original(self, report)
        if syncs in stop_at:
            raise KeyboardInterrupt

    monkeypatch.setattr(AtSync, "__call__", dying)


def test_sigterm_saves_and_the_run_goes_on_bit_for_bit(runs, toy, tmp_path, monkeypatch):
    assert runs.train(toy, tmp_path / "whole", "parallel.algorithm=single") == 0
    original = MinibatchStep.__call__
    steps = 0

    def terminated(self, batch, learning_rate):
        nonlocal steps
        steps += 1
        if steps == 7:
            os.kill(os.getpid(), signal.SIGTERM)
        original(self, batch, learning_rate)

    monkeypatch.setattr(MinibatchStep, "__call__", terminated)
    overrides = ("parallel.algorithm=single", "checkpoint.every_syncs=0")
    assert runs.train(toy, tmp_path / "broken", *overrides) == 143
    assert steps < 15 and (tmp_path / "broken" / "checkpoints" / "latest").is_file()
    assert runs.train(toy, tmp_path / "broken", *overrides) == 0
    runs.assert_same(tmp_path / "whole", tmp_path / "broken")


def test_a_killed_process_goes_on_bit_for_bit(runs, toy, tmp_path):
    assert runs.train(toy, tmp_path / "whole", "parallel.algorithm=single") == 0
    script = (
        "import os, sys; from asrtool.train.minibatch import MinibatchStep; step = MinibatchStep.__call__\n"
        "def die(self, batch, rate):\n"
        "    if self.position.epoch == 1 and self.position.batches_done == 4: os.kill(os.getpid(), 9)\n"
        "    step(self, batch, rate)\n"
        "MinibatchStep.__call__ = die\n"
        "from asrtool.cli import main; main(sys.argv[1:])"
    )
    words = [str(toy / "config.yaml"), str(toy / "ali"), str(toy / "train"), str(toy / "valid"), str(tmp_path / "broken")]
    command = [sys.executable, "-c", script, "train-nnet", "--config", *words, "parallel.algorithm=single"]
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == -9
    assert runs.train(toy, tmp_path / "broken", "parallel.algorithm=single") == 0
    runs.assert_same(tmp_path / "whole", tmp_path / "broken")


def test_large_alignments_are_unpacked_into_a_file(runs, toy, tmp_path, monkeypatch):
    assert runs.train(toy, tmp_path / "memory", "num_epochs=1") == 0
    monkeypatch.setattr(table, "LARGE_ALIGNMENTS", 0)
    seen = []
    write = MetricsLog.write
    monkeypatch.setattr(
        MetricsLog, "write", lambda log, record: seen.append((log.path.parent / "pdfs").is_dir()) or write(log, record)
    )
    assert runs.train(toy, tmp_path / "file", "num_epochs=1") == 0
    assert all(seen) and not (tmp_path / "file" / "pdfs").exists()
    runs.assert_same(tmp_path / "memory", tmp_path / "file")


def test_validation_on_a_part_of_the_data(runs, toy, tmp_path):
    assert runs.train(toy, tmp_path / "exp", "parallel.algorithm=single", "num_epochs=1", "valid_max_frames=100") == 0
    assert 0 < runs.records(tmp_path / "exp")[-1]["frames"] <= 150


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


def test_the_last_epoch_is_kept_on_request(runs, toy, tmp_path):
    assert runs.train(toy, tmp_path / "exp", "num_epochs=2", "keep_epoch=last") == 0
    for name in ("ema", "ma"):
        assert (tmp_path / f"exp/final_{name}.pt").read_bytes() == (tmp_path / f"exp/models/{name}/2.4.pt").read_bytes()


def test_an_exploding_loss_names_the_utterances(runs, toy, tmp_path, capsys):
    overrides = ("parallel.algorithm=single", "schedule.learning_rate=1e6", "optimizer.max_gradient_norm=0")
    assert runs.train(toy, tmp_path / "exp", *overrides) == 1
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
    "label delay": (
        set_config(model={"kind": "tdnn", "offsets": [[-1, 0, 2], [0]], "hidden_dim": 7}),
        "input.label_delay: 1 is less than the model's right context, 2 windows; set it to 2",
    ),
    "unknown model": (set_config(model={"kind": "gru"}), "model: kind: expected one of "),
    "unknown algorithm": (set_config(parallel={"algorithm": "bfum"}), "algorithm 'bfum' is unknown"),
    "bad range": (set_config(optimizer={"momentum": 1.5}), "momentum must be in"),
    "bad input": (set_config(input={"stride": 0}), "stride >= 1"),
    "no speaker statistics": (set_config(features={"cmvn": "speaker"}), "cmvn.scp: no such file"),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_is_one_line_and_status_1(runs, toy, tmp_path, capsys, name):
    spoil, message = BAD_INPUT[name]
    spoil(toy)
    assert runs.train(toy, tmp_path / "exp") == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if "ERROR:" in line]
    assert len(errors) == 1 and message in errors[0], errors


def test_other_settings_in_the_same_directory_are_refused(runs, toy, tmp_path, monkeypatch, capsys):
    def stop(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(EpochEnd, "__call__", stop)
    assert runs.train(toy, tmp_path / "exp") == 130
    assert runs.train(toy, tmp_path / "exp", "seed=2", "checkpoint.keep=5") == 1
    assert "this run began with other settings of seed (1, now 2); use a new experiment directory" in capsys.readouterr().err


def test_a_damaged_checkpoint_says_what_to_do(runs, toy, tmp_path, monkeypatch, capsys):
    def stop(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(EpochEnd, "__call__", stop)
    assert runs.train(toy, tmp_path / "exp") == 130
    latest = json.loads((tmp_path / "exp" / "checkpoints" / "latest").read_text())
    path = tmp_path / "exp" / "checkpoints" / f"{latest['serial']:08d}" / "rank0.pt"
    whole = torch.load(path, weights_only=True)
    torch.save({**whole, "format": 1}, path)
    assert runs.train(toy, tmp_path / "exp") == 1
    assert "checkpoints: of another version of asrtool; go on with that one, or remove it" in capsys.readouterr().err
    path.write_bytes(path.read_bytes()[:1000])
    assert runs.train(toy, tmp_path / "exp") == 1
    assert "damaged checkpoint" in capsys.readouterr().err
    (tmp_path / "exp" / "checkpoints" / "latest").write_text(json.dumps({"serial": 9}))
    assert runs.train(toy, tmp_path / "exp") == 1
    assert "00000009/workers: damaged checkpoint ([Errno 2] No such file" in capsys.readouterr().err
