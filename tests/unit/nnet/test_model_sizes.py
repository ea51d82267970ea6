"""Parameters of the models at the papers' sizes, and that the settings in conf/ and docs/models.md agree with the models."""

import re
from pathlib import Path

import pytest
import torch

from asrtool.io.config import load_config
from asrtool.nnet.registry import MODELS, make_model
from asrtool.train.config import TrainConfig

ROOT = Path(__file__).parents[3]
SETTINGS = sorted(path for path in (ROOT / "conf").glob("*.yaml") if path.stem.split("_")[0] in MODELS)
MEL_BINS = {"dnn": 28, "lstm": 28, "lstmp": 40, "cldnn": 40, "tdnn": 40}


def model_of(path: Path, num_pdfs: int = 1480):
    """The model on torch's meta device (sizes without numbers), and its settings; small corpora have 28 mel bins."""
    config = load_config(TrainConfig, path)
    mel_bins = 28 if path.stem.endswith("_mini") else MEL_BINS[config.model["kind"]]
    input_dim = mel_bins * (config.features.delta_order + 1) * config.input.width
    with torch.device("meta"):
        return make_model(config.model, input_dim, num_pdfs), config


def test_the_lstmp_of_sak_has_13_million_parameters():
    """Two layers of 4 x 800 gates on inputs, 512 projected units and bias, 800 x 512 projections, the output layer."""

    def expected(num_pdfs):
        return (40 + 512 + 1) * 3200 + (512 + 512 + 1) * 3200 + 2 * 800 * 512 + (512 + 1) * num_pdfs

    with torch.device("meta"):
        models = {num_pdfs: make_model({"kind": "lstmp"}, 40, num_pdfs) for num_pdfs in (1480, 14247)}
    assert {num_pdfs: model.num_parameters() for num_pdfs, model in models.items()} == {
        1480: expected(1480),
        14247: expected(14247),
    }
    assert expected(1480) == 6_628_040 and round(expected(14247) / 1e6) == 13


def test_the_cldnn_of_sainath():
    """11 x 40 windows -> 256 maps of 3 x 32, pooled to 3 x 11 -> 256 maps of 1 x 8 -> 256 -> LSTMP 2 x 832/512 -> 1024."""
    with torch.device("meta"):
        model = make_model({"kind": "cldnn"}, 440, 1480)
    convolutions = 256 * (81 + 1) + 256 * (256 * 12 + 1)
    lstmp = (256 + 512 + 1) * 3328 + (512 + 512 + 1) * 3328 + 2 * 832 * 512
    assert model.num_parameters() == convolutions + (8 * 256 + 1) * 256 + lstmp + (512 + 1) * 1024 + (1024 + 1) * 1480


def test_the_tdnn_of_kaldi_and_the_dnn_of_the_ema_paper():
    with torch.device("meta"):
        tdnn, dnn = make_model({"kind": "tdnn"}, 40, 1480), make_model({"kind": "dnn"}, 924, 1480)
    assert tdnn.num_parameters() == (201 + 4 * 2049 + 1025) * 1024 + 1025 * 1480
    assert tdnn.right_context == 2 + 2 + 3 + 2 + 3
    assert dnn.num_parameters() == 925 * 2048 + 7 * 2049 * 2048 + 2049 * 1480


@pytest.mark.parametrize("path", SETTINGS, ids=lambda path: path.stem)
def test_settings_make_their_model(path):
    model, config = model_of(path)
    assert config.model["kind"] == path.stem.split("_")[0]
    assert config.input.label_delay >= getattr(model, "right_context", 0)
    assert model.num_parameters() < (40e6 if "mini" not in path.stem else 8e6)


def test_every_kind_has_settings_for_large_and_small_corpora():
    assert {path.stem for path in SETTINGS} >= {f"{kind}{suffix}" for kind in MODELS for suffix in ("", "_mini")}


def test_the_page_states_the_parameters():
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|.*`(conf/\w+.yaml)` \| ([0-9.]+) M \|$", page, re.MULTILINE)
    assert {kind for kind, _, _ in rows} == set(MODELS)
    for _, path, stated in rows:
        assert float(stated) == round(model_of(ROOT / path)[0].num_parameters() / 1e6, 1), path
