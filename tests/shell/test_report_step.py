"""steps/nnet/report.sh: usage, missing files, and a page with the confusions of a model."""

import json
import runpy
import subprocess
from pathlib import Path

import pytest
import torch

from asrtool.feat.pipeline import FeatureOptions
from asrtool.nnet.input import InputOptions
from asrtool.nnet.log_prior import log_prior
from asrtool.nnet.model_file import ModelBundle, save_model
from asrtool.nnet.registry import make_model

TOY = runpy.run_path(str(Path(__file__).parents[1] / "distributed" / "training_toy.py"))


@pytest.fixture
def experiment(recipe):
    """The toy task and an untrained network."""
    TOY["make_toy"](recipe / "toy")
    settings = {"kind": "dnn", "num_layers": 2, "hidden_dim": 8}
    bundle = ModelBundle(
        model=make_model(settings, 3 * TOY["DIM"], TOY["NUM_PHONES"]),
        settings=settings,
        features=FeatureOptions(cmvn="none", delta_order=0),
        input=InputOptions(left=1, right=1),
        feature_mean_D=torch.zeros(TOY["DIM"]),
        feature_scale_D=torch.ones(TOY["DIM"]),
        log_prior_P=log_prior([1] * TOY["NUM_PHONES"]),
        info={"epoch": 1.0, "model": "ma"},
    )
    save_model(recipe / "exp" / "final_ma.pt", bundle)
    (recipe / "exp" / "run.json").write_text("{}")
    return recipe


def step(recipe: Path, words: str) -> subprocess.CompletedProcess:
    command = ["bash", "-c", f"OMP_NUM_THREADS=1 steps/nnet/report.sh {words}"]
    return subprocess.run(command, cwd=recipe, capture_output=True, text=True, timeout=200)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("toy/ali toy/valid", "Usage: steps/nnet/report.sh [options] <ali-dir> <data-dir> <exp-dir>"),
        ("toy/none toy/valid exp", "toy/none/final.mdl: no such file"),
        ("toy/ali toy/none exp", "toy/none/feats.scp: no such file"),
        ("toy/ali toy/valid toy", "toy: no final_*.pt; train the network first"),
    ],
)
def test_report_step_bad_calls(experiment, words, message):
    result = step(experiment, words)
    assert result.returncode == 1 and message in result.stderr


def test_report_step_evaluates_and_writes_the_page(experiment):
    result = step(experiment, "--max-frames 50 toy/ali toy/valid exp")
    assert result.returncode == 0, result.stderr
    evaluation = json.loads((experiment / "exp" / "evaluation_ma.json").read_text())
    assert evaluation["frames"] >= 50 and evaluation["utterances"] < evaluation["available"] == 6
    assert f"FER {100 * evaluation['fer']:.2f} %" in result.stderr
    assert "Confusion of phones" in (experiment / "exp" / "report.html").read_text()
