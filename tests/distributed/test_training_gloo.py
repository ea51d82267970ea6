"""Two real workers under torchrun: the whole training, with the models and records of two virtual workers."""

import runpy
from pathlib import Path

from asrtool.nnet.model_file import load_model

KILL = runpy.run_path(str(Path(__file__).with_name("kill_training.py")))


def test_two_workers_train_on_disjoint_halves_as_virtual_ones_do(tmp_path):
    toy = KILL["MAKE_TOY"](tmp_path / "toy", num_utterances=40)
    whole, virtual = (KILL["Victim"](tmp_path / name, toy, []) for name in ("whole", "virtual"))
    whole.run_to_the_end()
    virtual.train_untouched()
    assert KILL["CHECKS"]["differences"](whole.experiment, virtual.experiment) == []
    weights, records = KILL["CHECKS"]["outcome"](whole.experiment)
    names = [f"final_{name}.pt" for name in ("bmuf", "ema", "ma")]
    names += [f"models/{name}/{epoch}.{part}.pt" for name in ("bmuf", "ema", "ma") for epoch in (1, 2) for part in (1, 2, 3, 4)]
    assert list(weights) == names and load_model(whole.experiment / "final_bmuf.pt").info["model"] == "bmuf"
    frames = sum(record["frames"] for record in records if record["kind"] == "train")
    assert f"epoch 2: {frames // 2} of {frames // 2} frames seen (" in whole.log.read_text()
    first, last = ([r for r in records if r["kind"] == "valid" and r["epoch"] == epoch] for epoch in (1, 2))
    assert [record["model"] for record in first] == ["bmuf", "ma", "ema"]
    assert last[0]["loss"] < first[0]["loss"] < 1.9
    assert all(record["bytes_sent"] > 0 for record in records if record["kind"] == "train")
