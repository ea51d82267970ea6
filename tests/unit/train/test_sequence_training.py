"""Sequence training through the command and by virtual workers: it learns, resumes, stops, skips, refuses what does not fit."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from asrtool import cli
from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph
from asrtool.graph.denominator import DenominatorGraph
from asrtool.nnet.model_file import load_model
from asrtool.parallel.simulation.in_process import run_workers
from asrtool.sequence.held_out import DevDecoding, WordErrors
from asrtool.sequence.module import SpeechModule
from asrtool.train.at_sync import AtSync
from asrtool.train.epoch_end import EpochEnd
from asrtool.train.sequence_run import train_sequence
from asrtool.train.sequence_validation import SequenceValidation

TOY = runpy.run_path(str(Path(__file__).parents[2] / "distributed" / "sequence_toy.py"))
TIMES = ("wait_s", "forward_s", "search_s", "criterion_s")
QUICK = ("held_out.max_utterances=-1", "num_epochs=2", "models_per_epoch=1")


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield TOY["make_sequence_toy"](tmp_path_factory.mktemp("sequence") / "toy")
    torch.set_num_threads(before)


def train(toy, experiment, *overrides):
    return cli.main(TOY["words"](toy, experiment, *overrides))


def virtual(toy, experiment, *overrides, workers=2):
    run_workers(workers, lambda comm: train_sequence(*TOY["settings"](toy, experiment, *overrides), comm))


def records(experiment, kind):
    lines = [json.loads(line) for line in (experiment / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


def assert_same(runs, one, other):
    left, right = runs.models(one), runs.models(other)
    assert list(left) == list(right) and left
    assert all(torch.equal(left[name][key], right[name][key]) for name in left for key in left[name])
    lines = [
        [{key: value for key, value in line.items() if key not in TIMES} for line in runs.records(experiment, timeless=True)]
        for experiment in (one, other)
    ]
    assert lines[0] == lines[1]


@pytest.mark.parametrize("criterion", ["smbr", "mmi"])
def test_it_learns_and_leaves_all_models(runs, toy, tmp_path, criterion):
    experiment = tmp_path / "exp"
    assert train(toy, experiment, f"sequence.criterion={criterion}", "num_epochs=3", "held_out.patience=0") == 0
    valid = records(experiment, "valid")
    assert [(r["epoch"], r["model"]) for r in valid] == [(0, "single")] + [
        (epoch, name) for epoch in (1, 2, 3) for name in ("single", "ma", "ema")
    ]
    start, *_, last = [record for record in valid if record["model"] == "single"]
    assert last["sequence_loss"] < 0.8 * start["sequence_loss"] and last["wer"] < start["wer"]
    assert start["sequence_utterances"] == 6 and start["sequence_failed"] == start["wer_failed"] == 0
    errors = last["insertions"] + last["deletions"] + last["substitutions"]
    assert last["wer"] == pytest.approx(errors / last["words"], abs=1e-6) and last["words"] == 30
    trained = records(experiment, "train")
    means = [
        np.average([r["loss"] for r in trained if epoch < r["epoch"] <= epoch + 1]) for epoch in range(3)
    ]  # of the training utterances, as they were when they were used
    assert means[2] < means[1] < means[0]
    assert sum(r["lattices"] for r in trained) >= 3 * 24 and max(r.get("lattice_staleness_max", 0) for r in trained) > 0
    assert {"depth_mean", "silence_share_mean", "missing_numerator", "skipped_targets", "search_s"} <= set(trained[0])
    for name in ("single", "ma", "ema"):  # the epoch that is kept is the first one with the lowest word error rate
        _, best = min((r["wer"], r["epoch"]) for r in valid if r["model"] == name and r["epoch"] > 0)
        final, kept = experiment / f"final_{name}.pt", experiment / f"models/{name}/{int(best)}.4.pt"
        assert final.read_bytes() == kept.read_bytes()
    ours, ce = load_model(experiment / "final_single.pt"), load_model(toy / "ce" / "final_single.pt")
    assert ours.settings == ce.settings and np.array_equal(ours.log_prior_P, ce.log_prior_P)
    assert ours.feature_mean_D.equal(ce.feature_mean_D) and (ours.input, ours.features) == (ce.input, ce.features)
    assert train(toy, experiment, f"sequence.criterion={criterion}", "num_epochs=3", "held_out.patience=0") == 0  # done already


def phone_loop(directory):
    """The denominator graph of the toy: any phone after any other, each frame's pdf is its phone's."""
    graph = CsrGraph.from_fst_file(directory / "graph" / "HCLG.fst")
    graph.arc_olabel[:] = graph.arc_ilabel[:] = (graph.arc_ilabel + 1) // 2  # transition-ids 2p + 1 and 2p + 2 -> pdf + 1
    DenominatorGraph.from_graph(graph, np.zeros(TOY["NUM_PHONES"], np.int8)).save(directory / "den")
    return directory / "den"


def test_lattice_free_mmi_needs_no_speech_module(toy, tmp_path):
    words = TOY["words"](toy, tmp_path / "exp", "sequence.criterion=lfmmi", "sequence.acoustic_scale=1.0", "num_epochs=3")
    words[1:1] = ["--den-graph", str(phone_loop(toy))]
    assert cli.main([*words, "loader.batch_frames=300", "held_out.patience=0", "sequence.ce_weight=0.1"]) == 0
    start, *_, last = [record for record in records(tmp_path / "exp", "valid") if record["model"] == "single"]
    assert last["sequence_loss"] < 0.8 * start["sequence_loss"] and last["wer"] <= start["wer"]
    trained = records(tmp_path / "exp", "train")
    assert trained[0]["loss"] == pytest.approx(-trained[0]["lattice_free_objective_mean"] / 3, rel=0.2)
    assert trained[-1]["loss"] < trained[0]["loss"]


def test_a_speech_process_beside_the_trainer(runs, toy, tmp_path):
    assert train(toy, tmp_path / "exp", *QUICK, "speech.num_processes=1", "speech.refresh=2", "speech.max_staleness=6") == 0
    trained = records(tmp_path / "exp", "train")
    assert sum(r["lattices"] for r in trained) >= 48 and sum(r["failed"] for r in trained) == 0
    assert max(r.get("lattice_staleness_max", 0) for r in trained) <= 6 and sum(r["search_s"] for r in trained) > 0
    start, *_, last = [record for record in records(tmp_path / "exp", "valid") if record["model"] == "single"]
    assert last["wer"] < start["wer"]


def test_virtual_workers_with_modelled_time(toy, tmp_path):
    words = TOY["words"](toy, tmp_path / "exp", *QUICK, "parallel.algorithm=asgd", "num_epochs=1", "speech.num_processes=2")
    assert cli.main(["simulate-seq", "--num-workers", "3", "--seconds-per-frame", "1e-3", *words[1:]]) == 0
    summary = json.loads((tmp_path / "exp" / "simulation.json").read_text())
    assert summary["frames"] == records(tmp_path / "exp", "frames")[0]["total"] and summary["speed_up"] > 1.5
    assert summary["num_workers"] == 3 and sum(r["lattices"] for r in records(tmp_path / "exp", "train")) >= 24


def die_at_syncs(monkeypatch, stop_at, rank=0):
    original, syncs = AtSync.__call__, []

    def dying(self, report):
        original(self, report)
        if self.parts.comm.rank == rank:
            syncs.append(report)
            if len(syncs) in stop_at:
                raise KeyboardInterrupt

    monkeypatch.setattr(AtSync, "__call__", dying)


def test_a_run_that_dies_goes_on_bit_for_bit(runs, toy, tmp_path, monkeypatch):
    """Its lattices are some steps old: those under way and those made ahead are in the checkpoint."""
    assert train(toy, tmp_path / "whole", *QUICK) == 0
    assert max(r.get("lattice_staleness_max", 0) for r in records(tmp_path / "whole", "train")) >= 2
    die_at_syncs(monkeypatch, (5, 12, 19))
    assert [train(toy, tmp_path / "broken", *QUICK) for _ in range(4)] == [130, 130, 130, 0]
    assert_same(runs, tmp_path / "whole", tmp_path / "broken")


@pytest.mark.parametrize("settings", [("bsp", "optimizer.momentum=0.5"), ("bmuf", "loader.batching=utterances")])
def test_virtual_workers_go_on_bit_for_bit(runs, toy, tmp_path, monkeypatch, settings):
    overrides = (*QUICK, f"parallel.algorithm={settings[0]}", settings[1], "loader.batch_frames=200")
    virtual(toy, tmp_path / "whole", *overrides)
    die_at_syncs(monkeypatch, (3, 6), rank=1)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            virtual(toy, tmp_path / "broken", *overrides)
    virtual(toy, tmp_path / "broken", *overrides)
    assert_same(runs, tmp_path / "whole", tmp_path / "broken")
    start, last = (records(tmp_path / "whole", "valid")[index] for index in (0, -3))
    assert last["wer"] < start["wer"]


def test_another_number_of_workers_goes_on(runs, toy, tmp_path, monkeypatch):
    die_at_syncs(monkeypatch, (3,))
    with pytest.raises(KeyboardInterrupt):
        virtual(toy, tmp_path / "exp", *QUICK, "parallel.algorithm=bmuf")
    virtual(toy, tmp_path / "exp", *QUICK, "parallel.algorithm=bmuf", workers=3)
    models = runs.models(tmp_path / "exp")
    assert models and all(bool(tensor.isfinite().all()) for weights in models.values() for tensor in weights.values())
    assert "going on with 3 worker(s) instead of 2" in [record["text"] for record in records(tmp_path / "exp", "event")]


def test_training_stops_when_the_word_error_rate_rises(toy, tmp_path, monkeypatch):
    """Of the global model, twice in a row; the count survives a new start."""
    rates = {"single": [40, 30, 31, 29, 30, 31, 10], "ma": [0, 50, 49, 48, 47, 46, 45], "ema": [0, 40, 50, 50, 50, 50, 50]}
    now = {}
    validate, measure = EpochEnd._validate, SequenceValidation.measure
    monkeypatch.setattr(EpochEnd, "_validate", lambda self, m: now.update(epoch=self.position.epoch) or validate(self, m))
    monkeypatch.setattr(SequenceValidation, "measure", lambda self, p, name: now.update(name=name) or measure(self, p, name))
    errors = lambda *_: WordErrors(substitutions=rates[now["name"]][now["epoch"]], words=100)  # noqa: E731
    monkeypatch.setattr(DevDecoding, "__call__", errors)
    original, died = AtSync.__call__, []

    def dying(self, report):
        original(self, report)
        if self.position.epoch == 4 and not died:
            died.append(report)
            raise KeyboardInterrupt

    monkeypatch.setattr(AtSync, "__call__", dying)
    overrides, exp = ("held_out.max_utterances=-1", "num_epochs=9", "models_per_epoch=1"), tmp_path / "exp"
    assert [train(toy, exp, *overrides) for _ in range(2)] == [130, 0]
    valid = [record["wer"] for record in records(exp, "valid") if record["model"] == "single"]
    assert valid == [0.4, 0.3, 0.31, 0.29, 0.3, 0.31]
    (event,) = records(exp, "event")
    assert (event["what"], event["epoch"]) == ("stopped", 5)
    assert event["text"] == "finished: the word error rate of single has risen 2 times in a row, to 31.00 %"
    for name, epoch in (("single", 3), ("ma", 5), ("ema", 1)):
        assert (exp / f"final_{name}.pt").read_bytes() == (exp / f"models/{name}/{epoch}.1.pt").read_bytes()


def test_skipped_utterances_are_counted_and_training_goes_on(toy, tmp_path, monkeypatch, capsys):
    original = SpeechModule._check

    def check(self, job):
        if job.result.name in ("train-003", "train-010"):
            job.loglikes[2] = np.nan
        original(self, job)

    monkeypatch.setattr(SpeechModule, "_check", check)
    overrides = (*QUICK, "speech.min_counted=20", "speech.max_failed=0.5", "parallel.algorithm=bmuf")
    virtual(toy, tmp_path / "exp", *overrides)
    trained = records(tmp_path / "exp", "train")
    assert sum(r.get("failed_nan", 0) for r in trained) == sum(r["failed"] for r in trained) >= 4
    assert sum(r["skipped_targets"] for r in trained) > 20
    frames = records(tmp_path / "exp", "frames")
    assert [sum(record["seen"]) for record in frames] == [record["total"] for record in frames]
    clean = 2 * (sum(frames[0]["seen"]) // 3)
    assert sum(r["targets"] for r in trained) < clean + 60
    assert "WARNING: train-003: left out: the network's outputs are not finite" in capsys.readouterr().err
    with pytest.raises(AsrtoolError, match=r"of the last \d+ utterances gave no outer gradient \(allowed: 1%\)"):
        virtual(toy, tmp_path / "strict", *overrides, "speech.max_failed=0.01")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("input={left: 1, right: 1, stride: 2}",), "input: {'left': 1, 'right': 1, 'stride': 2, 'label_delay': 0} is not what"),
        (("model={kind: lstm, num_cells: 13, fc_dim: 10}",), "was trained with"),
        (("loader.batching=frames",), "loader.batching: frames: smbr needs streams or utterances"),
        (("sequence.criterion=ctc",), "sequence: criterion: expected one of mmi, smbr"),
        (("speech.beams=13",), "speech: unknown key 'beams'"),
        (("sequence.criterion=lfmmi",), "criterion lfmmi needs a denominator graph"),
    ],
)
def test_settings_that_do_not_fit(toy, tmp_path, capsys, overrides, message):
    assert train(toy, tmp_path / "exp", *overrides) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "ERROR" in line]
    assert message in line


def test_settings_of_the_model_may_be_given_and_resuming_checks_them(toy, tmp_path, monkeypatch, capsys):
    die_at_syncs(monkeypatch, (1,))
    same = ("model={kind: lstm, num_cells: 12, fc_dim: 10}", "features={cmvn: none, delta_order: 0}")
    assert train(toy, tmp_path / "exp", *QUICK, *same) == 130
    assert train(toy, tmp_path / "exp", *QUICK, "sequence.boost=0.5") == 1
    assert train(toy, tmp_path / "exp", *QUICK, "sequence.acoustic_scale=0.25", "speech.num_processes=1") == 1
    assert "sequence.acoustic_scale (0.5, now 0.25); use a new" in capsys.readouterr().err


def test_missing_paths_are_named(toy, tmp_path):
    config, paths = TOY["settings"](toy, tmp_path / "exp")
    for change, message in [
        ({"graph_dir": None}, "denominators: give a graph"),
        ({"graph_dir": None, "denlats_dir": tmp_path}, "held_out: the sequence criterion needs a graph or lattices"),
        ({"wer_data": None}, "needs both data and a graph"),
        ({"init_model": None}, "starts from a model"),
    ]:
        with pytest.raises(AsrtoolError, match=message):
            train_sequence(config, type(paths)(**{**vars(paths), **change}))
