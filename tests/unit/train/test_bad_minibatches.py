"""Features of NaN and exploding losses under each policy: stop, skip, rollback."""

import pytest
import torch

from asrtool.loader.loader import Loader
from asrtool.train import bad_loss
from asrtool.train.at_sync import AtSync
from asrtool.train.bad_loss import BadLossPolicy
from asrtool.train.minibatch import MinibatchStep

SINGLE = ("parallel.algorithm=single",)


@pytest.fixture
def spoil(monkeypatch):
    """spoil({(epoch, minibatch), ...}, value) puts `value` into the first window of those training minibatches, from 0."""

    def install(places, value=float("nan"), times=10**6):
        original, left = Loader.epoch, [times]

        def spoilt(self, epoch, skip_batches=0):
            for index, batch in enumerate(original(self, epoch, skip_batches), start=skip_batches):
                if self.seed is not None and (epoch, index) in places and left[0]:
                    left[0] -= 1
                    batch.x_BTF[0, 0] = value
                yield batch

        monkeypatch.setattr(Loader, "epoch", spoilt)

    return install


@pytest.fixture
def steps(monkeypatch):
    """The minibatches trained on, as (epoch, number, whether the parameters moved, weights all finite)."""
    seen = []
    original = MinibatchStep.__call__

    def watched(self, batch, learning_rate):
        before = [parameter.detach().clone() for parameter in self._parameters]
        place = (self.position.epoch, self.position.batches_done)
        original(self, batch, learning_rate)
        moved = any(not torch.equal(old, new) for old, new in zip(before, self._parameters))
        seen.append((*place, moved, all(bool(torch.isfinite(p).all()) for p in self._parameters)))

    monkeypatch.setattr(MinibatchStep, "__call__", watched)
    return seen


def events(runs, experiment, what):
    return [record["text"] for record in runs.records(experiment, "event") if record["what"] == what]


@pytest.mark.parametrize("kind", ["lstm", "dnn"])
def test_stop_names_the_utterances(runs, tmp_path, spoil, capsys, kind):
    toy = runs.make_toy(tmp_path / "toy", kind, "single")
    spoil({(0, 4)})
    assert runs.train(toy, tmp_path / "exp") == 1
    error = capsys.readouterr().err
    assert "ERROR: epoch 1, minibatch 5, worker 0: loss nan a target; utterances train-0" in error


def test_an_exploding_loss_stops_by_its_height(runs, toy, tmp_path, capsys):
    assert (
        runs.train(toy, tmp_path / "exp", *SINGLE, "schedule.learning_rate=1e4", "max_loss=50", "optimizer.max_gradient_norm=0")
        == 1
    )
    error = capsys.readouterr().err
    assert "ERROR: epoch 1, minibatch" in error and "lower schedule.learning_rate" in error


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
@pytest.mark.parametrize("at_once", [True, False])
def test_skipped_minibatches_move_nothing_and_are_counted(runs, toy, tmp_path, spoil, steps, capsys, monkeypatch, at_once, kind):
    bad = {(0, 0), (0, 3), (1, 0), (1, 7)}
    spoil(bad)
    if not at_once:  # as on a GPU
        initialise = BadLossPolicy.__init__
        monkeypatch.setattr(BadLossPolicy, "__init__", lambda self, *words, **_: initialise(self, *words, at_once=False))
        monkeypatch.setattr(bad_loss, "READ_TOGETHER", 4)
    overrides = (*SINGLE, "bad_loss=skip", "num_epochs=2", f"optimizer.kind={kind}", "schedule.learning_rate=0.02")
    assert runs.train(toy, tmp_path / "exp", *overrides) == 0
    assert {(epoch, number) for epoch, number, moved, _ in steps if not moved} == bad
    assert all(finite for *_, finite in steps)
    trained = runs.records(tmp_path / "exp", "train")
    seen = runs.records(tmp_path / "exp", "frames")
    assert [record["seen"] for record in seen] == [[record["total"]] for record in seen]
    assert sum(record["frames"] for record in trained) == 2 * seen[0]["total"]
    assert all(record["loss"] < 3 for record in trained)
    skipped = events(runs, tmp_path / "exp", "skipped")
    assert sum(int(text.split()[0]) for text in skipped) == len(bad)
    assert "WARNING: skipped: epoch 1, minibatch 1, worker 0: loss nan a target; utterances train-0" in capsys.readouterr().err


def test_reading_outcomes_late_changes_nothing(runs, toy, tmp_path, spoil, monkeypatch):
    """The way of a GPU (the optimiser told by a tensor, outcomes read together) gives the CPU's models and records."""
    spoil({(0, 2), (1, 5)})
    overrides = (*SINGLE, "bad_loss=skip")
    assert runs.train(toy, tmp_path / "at_once", *overrides) == 0
    initialise = BadLossPolicy.__init__
    monkeypatch.setattr(BadLossPolicy, "__init__", lambda self, *words, **_: initialise(self, *words, at_once=False))
    assert runs.train(toy, tmp_path / "late", *overrides) == 0
    runs.assert_same(tmp_path / "at_once", tmp_path / "late")


@pytest.mark.parametrize(
    ("places", "counts", "minibatch"),
    [
        (range(3, 40), "5 minibatches skipped in a row, 5 in this epoch", 8),
        (range(0, 40, 2), "1 minibatches skipped in a row, 5", 9),
    ],
)
def test_too_many_skips_stop(runs, toy, tmp_path, spoil, capsys, places, counts, minibatch):
    spoil({(0, number) for number in places})
    assert runs.train(toy, tmp_path / "exp", *SINGLE, "bad_loss=skip", "bad_loss_limits={max_in_row: 4}") == 1
    error = capsys.readouterr().err
    assert f"ERROR: {counts}" in error and f"more than bad_loss_limits allows; epoch 1, minibatch {minibatch}, " in error


def test_a_gradient_that_is_not_finite_is_bad(runs, toy, tmp_path, steps, monkeypatch, capsys):
    original = AtSync.__call__

    def spoil_hook(self, report):
        original(self, report)
        if report.index == 2:
            layer = self.parts.model.output.weight
            handle = layer.register_hook(lambda gradient: (handle.remove(), gradient * float("inf"))[1])

    monkeypatch.setattr(AtSync, "__call__", spoil_hook)
    assert runs.train(toy, tmp_path / "exp", *SINGLE, "bad_loss=skip", "num_epochs=1") == 0
    assert [moved for _, _, moved, _ in steps].count(False) == 1 and all(finite for *_, finite in steps)
    assert "a target, gradient not finite; utterances" in capsys.readouterr().err


def test_rollback_goes_back_and_lowers_the_rate(runs, toy, tmp_path, spoil, steps, capsys):
    spoil({(1, 6)}, times=1)
    overrides = (*SINGLE, "bad_loss=rollback", "bad_loss_limits={rollback_factor: 0.25}", "num_epochs=3")
    assert runs.train(toy, tmp_path / "exp", *overrides) == 0
    assert len([step for step in steps if step[:2] == (1, 6)]) == 2  # trained on again
    (text,) = events(runs, tmp_path / "exp", "rollback")
    assert "rollback 1 of at most 3, learning rate times 0.25: epoch 2, minibatch 7, worker 0: loss nan" in text
    rates = [record["learning_rate"] for record in runs.records(tmp_path / "exp", "train")]
    assert rates == sorted(rates, reverse=True) and set(rates) == {0.3, 0.075}
    totals = sum(record["frames"] for record in runs.records(tmp_path / "exp", "train"))
    assert totals == sum(record["total"] for record in runs.records(tmp_path / "exp", "frames"))  # each minibatch once
    assert "epoch 2: 1039 of 1039 frames seen" in capsys.readouterr().err


@pytest.mark.parametrize("place", [(0, 0), (1, 6)])
def test_rollbacks_are_limited(runs, toy, tmp_path, spoil, capsys, place):
    spoil({place})
    assert runs.train(toy, tmp_path / "exp", *SINGLE, "bad_loss=rollback", "bad_loss_limits={max_rollbacks: 2}") == 1
    error = capsys.readouterr().err
    text = f"epoch {place[0] + 1}, minibatch {place[1] + 1}, worker 0: loss nan a target; utterances train-0"
    assert f"ERROR: {text}" in error and "after 2 rollbacks, more than bad_loss_limits allows" in error


def test_a_run_killed_after_a_rollback_goes_on_bit_for_bit(runs, toy, tmp_path, spoil, monkeypatch):
    spoil({(0, 6)}, times=1)
    overrides = (*SINGLE, "bad_loss=rollback")
    assert runs.train(toy, tmp_path / "whole", *overrides) == 0
    spoil({(0, 6)}, times=1)
    original, syncs = AtSync.__call__, []

    def dying(self, report):
        original(self, report)
        syncs.append(report)
        if len(syncs) == 8:
            raise KeyboardInterrupt

    monkeypatch.setattr(AtSync, "__call__", dying)
    assert runs.train(toy, tmp_path / "broken", *overrides) == 130
    assert runs.train(toy, tmp_path / "broken", *overrides) == 0
    runs.assert_same(tmp_path / "whole", tmp_path / "broken")
    assert len(events(runs, tmp_path / "broken", "rollback")) == 1


@pytest.mark.parametrize("override", ["bad_loss=retry", "bad_loss_limits={max_share: 2}", "bad_loss_limits={rollback_factor: 0}"])
def test_settings_out_of_range(runs, toy, tmp_path, override, capsys):
    assert runs.train(toy, tmp_path / "exp", override) == 1
    assert "bad_loss" in capsys.readouterr().err
