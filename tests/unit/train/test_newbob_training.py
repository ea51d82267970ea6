"""newbob in a training: what is rejected is gone from the model, and decisions are recorded."""

import pytest
import torch

from asrtool.train.epoch_end import EpochEnd

SETTINGS = ("parallel.algorithm=single", "schedule.kind=newbob")


@pytest.fixture
def losses(monkeypatch):
    """losses([...]) makes these the validation losses (the untrained model's first) whatever the model."""

    def install(values):
        original, left = EpochEnd._validate, iter(values)

        def validate(self, models):
            results = original(self, models)
            first = next(iter(results.values()))
            first.loss = next(left)
            return results

        monkeypatch.setattr(EpochEnd, "_validate", validate)

    return install


def test_a_rejected_epoch_leaves_no_trace_in_the_models(runs, toy, tmp_path, losses, monkeypatch):
    states = []
    original = EpochEnd.__call__

    def watched(self):
        original(self)
        models = self.parts.algorithm.models()
        worker = {name: value.clone() for name, value in self.parts.model.state_dict().items()}
        states.append((models, worker, len(self.parts.optimizer.state), self.position.total_frames))

    monkeypatch.setattr(EpochEnd, "__call__", watched)
    losses([3.0, 2.0, 2.5, 1.9, 1.8])
    assert runs.train(toy, tmp_path / "exp", *SETTINGS, "num_epochs=4", "parallel.sync_frames=200") == 0
    accepted, rejected, after, _ = states
    assert list(accepted[0]) == ["single", "ma", "ema"]
    for name, weights in accepted[0].items():
        assert all(torch.equal(weights[key], rejected[0][name][key]) for key in weights)
    assert all(torch.equal(accepted[1][key], rejected[1][key]) for key in accepted[1])
    assert accepted[2] > 0 and rejected[2] == 0, "the optimiser's momentum is reset"
    assert accepted[3] == rejected[3] == after[3] // 2
    assert any(not torch.equal(after[0]["ma"][key], accepted[0]["ma"][key]) for key in after[0]["ma"])
    events = [(record["epoch"], record["what"]) for record in runs.records(tmp_path / "exp", "event")]
    assert events == [(2, "rejected"), (2, "halved"), (3, "halved"), (4, "halved")]
    rates = {record["epoch"] // 1: record["learning_rate"] for record in runs.records(tmp_path / "exp", "train")}
    assert [rates[epoch] for epoch in (0.0, 1.0, 2.0, 3.0)] == pytest.approx([0.3, 0.3, 0.15, 0.075])
    for name in ("single", "ma", "ema"):
        final, last = tmp_path / f"exp/final_{name}.pt", tmp_path / f"exp/models/{name}/4.4.pt"
        assert final.read_bytes() == last.read_bytes()


@pytest.mark.parametrize("keep_epoch", ["best", "last"])
def test_training_ends_at_the_accepted_epoch(runs, toy, tmp_path, losses, keep_epoch):
    losses([3.0, 2.0, 1.99, 2.5])
    assert runs.train(toy, tmp_path / "exp", *SETTINGS, "num_epochs=9", f"keep_epoch={keep_epoch}") == 0
    events = [(record["epoch"], record["what"]) for record in runs.records(tmp_path / "exp", "event")]
    assert events == [(2, "halved"), (3, "rejected"), (3, "stopped")]
    assert (tmp_path / "exp/final_ema.pt").read_bytes() == (tmp_path / "exp/models/ema/2.4.pt").read_bytes()


def test_no_epoch_better_than_the_untrained_model(runs, toy, tmp_path, losses, capsys):
    losses([1.0, 2.0, 2.0, 2.0])
    assert runs.train(toy, tmp_path / "exp", *SETTINGS, "num_epochs=3") == 1
    assert "ERROR: no epoch has lowered the validation loss of the untrained model; lower" in capsys.readouterr().err
