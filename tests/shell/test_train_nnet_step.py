"""steps/nnet/train.sh: usage, missing files, bad settings, and a training of two workers."""

import json
import os
import runpy
import subprocess
import time
from pathlib import Path

import pytest

from asrtool.io.config import load_config
from asrtool.train.config import TrainConfig

MAKE_TOY = runpy.run_path(str(Path(__file__).parents[1] / "distributed" / "training_toy.py"))["make_toy"]


@pytest.fixture
def recipe(tmp_path, repository):
    """A recipe directory with the toy task in it."""
    for name in ("steps", "utils", "conf"):
        (tmp_path / name).symlink_to(repository / name)
    (tmp_path / "path.sh").write_text(f"export PATH={repository}/.venv/bin:$PATH PYTHONWARNINGS=ignore\n")
    return MAKE_TOY(tmp_path / "toy").parent


def step(recipe: Path, words: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = f"steps/nnet/train.sh {words}"
    return subprocess.run(["bash", "-c", command], cwd=recipe, capture_output=True, text=True, timeout=200, env=environment)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "e.g.: steps/nnet/train.sh --nnet-config"),
        ("toy/ali toy/train toy/valid", "Usage: steps/nnet/train.sh"),
        ("toy/none toy/train toy/valid exp", "toy/none/final.mdl: no such file"),
        ("toy/ali toy/train toy/none exp", "toy/none/feats.scp: no such file"),
        ("--nnet-config none.yaml toy/ali toy/train toy/valid exp", "none.yaml: no such file"),
        ("--num-workers two toy/ali toy/train toy/valid exp", "--num-workers takes a number from 1, not 'two'"),
        ("--no-such 1 toy/ali toy/train toy/valid exp", "unknown option --no-such"),
    ],
)
def test_bad_calls(recipe, words, message):
    result = step(recipe, words)
    assert result.returncode == 1 and message in result.stderr


def test_training_and_a_second_start(recipe):
    words = "--nnet-config toy/config.yaml --num-workers 2 toy/ali toy/train toy/valid exp num_epochs=1"
    result = step(recipe, words)
    assert result.returncode == 0, result.stderr
    assert "done: final_bmuf.pt final_ema.pt final_ma.pt in exp" in result.stderr
    result = step(recipe, words)
    assert result.returncode == 0 and "exp: training is done already" in result.stderr


def test_an_error_in_a_worker_is_shown(recipe):
    result = step(recipe, "--nnet-config toy/config.yaml --num-workers 1 toy/ali toy/train toy/valid exp model.kind=gru")
    assert result.returncode == 1
    assert "ERROR: toy/config.yaml: model: kind: expected one of " in result.stderr


def test_sigterm_reaches_the_workers_and_the_next_start_goes_on(recipe):
    words = (
        "--nnet-config toy/config.yaml --num-workers 2 toy/ali toy/train toy/valid exp num_epochs=300 parallel.sync_frames=400"
    )
    script = subprocess.Popen(
        ["bash", "-c", f"exec steps/nnet/train.sh {words}"],
        cwd=recipe,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 100
    while not (recipe / "exp" / "models" / "ma" / "1.4.pt").exists():
        assert script.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    script.terminate()
    _, error = script.communicate(timeout=100)
    assert script.returncode == 143, error
    assert "exp: stopped on request; start again to go on from the last checkpoint" in error
    assert "stopped on request; the same command goes on from here" in (recipe / "exp/log/train.log").read_text()
    serial = json.loads((recipe / "exp/checkpoints/latest").read_text())["serial"]
    assert serial >= 1 and not (recipe / "exp/done").exists()


@pytest.mark.parametrize("name", ["lstm", "dnn", "lstm_mini", "dnn_mini"])
def test_the_settings_that_come_with_the_toolkit_are_valid(repository, name):
    config = load_config(TrainConfig, repository / "conf" / f"{name}.yaml")
    assert config.model["kind"] == name.removesuffix("_mini") and config.num_epochs == 4
