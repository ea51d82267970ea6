"""The table of networks: what is read from an experiment directory, which model it shows."""

import json

import numpy as np
import pytest
import torch

from asrtool.errors import AsrtoolError
from asrtool.feat.pipeline import FeatureOptions
from asrtool.nnet.input import InputOptions
from asrtool.nnet.model_file import ModelBundle, save_model
from asrtool.nnet.registry import make_model
from asrtool.report.comparison import comparison_table, read_network
from asrtool.score.edit_distance import ErrorCounts
from asrtool.score.results import make_record


@pytest.fixture
def experiment(tmp_path):
    """A DNN of 4 -> 3 -> 2 units, trained for two epochs."""
    settings = {"kind": "dnn", "num_layers": 1, "hidden_dim": 3}
    bundle = ModelBundle(
        make_model(settings, 4, 2), settings, FeatureOptions(), InputOptions(right=1, stride=2), torch.zeros(2), torch.ones(2),
        np.zeros(2, np.float32),
    )  # fmt: skip
    directory = tmp_path / "dnn"
    save_model(directory / "final_ema.pt", bundle)
    numbers = {"loss": 2.0, "targets": 500}
    records = [
        {"kind": "train", "epoch": 0.5, "model": "bmuf", "fer": 0.7, "frames": 3000, "frames_per_s": 1000.0, **numbers},
        {"kind": "train", "epoch": 1.0, "model": "bmuf", "fer": 0.6, "frames": 1000, "frames_per_s": 500.0, **numbers},
        {"kind": "valid", "epoch": 1.0, "model": "bmuf", "fer": 0.5, "frames": 200, "frames_per_s": 100.0, **numbers},
        {"kind": "valid", "epoch": 2.0, "model": "bmuf", "fer": 0.6, "frames": 200, "frames_per_s": 100.0, **numbers},
        {"kind": "valid", "epoch": 1.0, "model": "ema", "fer": 0.4, "frames": 200, "frames_per_s": 100.0, **numbers},
    ]
    (directory / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return directory


def test_an_experiment_is_read(experiment):
    network = read_network(experiment)
    assert (network.name, network.stride, network.epochs) == ("dnn", 2, 2.0)
    assert network.num_parameters == (4 * 3 + 3) + (3 * 2 + 2)
    assert network.fer == {"bmuf": 50.0, "ema": 40.0}
    assert network.frames_per_s == pytest.approx(4000 / 5.0)  # 3 s and 2 s


def test_the_table_shows_the_model_of_lowest_fer(experiment):
    counts = ErrorCounts(total=200, insertions=1, deletions=2, substitutions=22)
    results = [make_record("dnn_ema", "test", "cer", counts), make_record("dnn_bmuf@1", "test_subset", "cer", counts)]
    header, _, row = comparison_table([read_network(experiment)], results)
    assert "CER %, test |" in header and "subset" not in header
    assert row == "| DNN | BMUF + EMA | 23 | 40.00 | 12.50 | 2 | 800 | 2 |"


def test_a_training_without_a_model_is_named(tmp_path):
    with pytest.raises(AsrtoolError, match=r"lstm: no final_\*\.pt; train the network first"):
        read_network(tmp_path / "lstm")
