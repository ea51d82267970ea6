"""Training on a GPU: the path that reads no result between synchronisations."""

import json
import runpy
from pathlib import Path

import pytest
import torch

from asrtool import cli
from asrtool.loader.loader import Loader

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
MAKE_TOY = runpy.run_path(str(Path(__file__).parents[1] / "distributed" / "training_toy.py"))["make_toy"]


@pytest.mark.parametrize("kind", ["lstm", "dnn"])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_training_learns_and_skips_a_bad_minibatch(tmp_path, monkeypatch, kind, optimizer):
    original, left = Loader.epoch, [(0, 0), (1, 2)]

    def spoilt(self, epoch, skip_batches=0):
        for index, batch in enumerate(original(self, epoch, skip_batches), start=skip_batches):
            if self.seed is not None and (epoch, index) in left:
                batch.x_BTF[0] = float("nan")
            yield batch

    monkeypatch.setattr(Loader, "epoch", spoilt)
    toy, experiment = MAKE_TOY(tmp_path / "toy", kind, "single"), tmp_path / "exp"
    rate = "schedule.learning_rate=0.01" if optimizer == "adamw" else "num_epochs=3"
    data = [str(toy / name) for name in ("ali", "train", "valid")]
    words = ["train-nnet", "--config", str(toy / "config.yaml"), *data, str(experiment)]
    assert cli.main([*words, "num_epochs=3", "bad_loss=skip", f"optimizer.kind={optimizer}", rate]) == 0
    lines = [json.loads(line) for line in (experiment / "metrics.jsonl").read_text().splitlines()]
    skipped = [int(line["text"].split()[0]) for line in lines if line["kind"] == "event" and line["what"] == "skipped"]
    assert sum(skipped) == len(left)
    losses = [line["loss"] for line in lines if line["kind"] == "valid" and line["model"] == "single"]
    assert losses[-1] < losses[0] < 1.9
    assert json.loads((experiment / "run.json").read_text())["device"] == "cuda:0"
