"""steps/nnet/simulate.sh, `asrtool simulate-parallel` and `asrtool plan-parallel`: usage, bad input, a small run."""

import json
import runpy
import subprocess
from pathlib import Path

import pytest

from asrtool import cli

MAKE_TOY = runpy.run_path(str(Path(__file__).parents[1] / "distributed" / "training_toy.py"))["make_toy"]
PLAN = ["plan-parallel", "--params", "13e6", "--frames-per-s", "5000"]


@pytest.fixture
def task(recipe, monkeypatch) -> Path:
    """A recipe directory with the toy task in it."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return MAKE_TOY(recipe / "toy").parent


def step(task: Path, words: str) -> subprocess.CompletedProcess:
    command = ["bash", "-c", f"steps/nnet/simulate.sh {words}"]
    return subprocess.run(command, cwd=task, capture_output=True, text=True, timeout=200)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "e.g.: steps/nnet/simulate.sh --num-workers 16"),
        ("toy/ali toy/train toy/valid", "Usage: steps/nnet/simulate.sh"),
        ("toy/none toy/train toy/valid exp", "toy/none/final.mdl: no such file"),
        ("--nnet-config none.yaml toy/ali toy/train toy/valid exp", "none.yaml: no such file"),
    ],
)
def test_bad_calls(task, words, message):
    words = words if not words.startswith("toy") else f"--nnet-config toy/config.yaml {words}"
    result = step(task, words)
    assert result.returncode == 1 and message in result.stderr


def test_a_run_and_a_second_start(task):
    options = "--nnet-config toy/config.yaml --num-workers 3 --simulate-opts '--seconds-per-frame 1e-3 --workers-per-host 2'"
    words = f"{options} toy/ali toy/train toy/valid exp num_epochs=1"
    result = step(task, words)
    assert result.returncode == 0, result.stderr
    assert "done: final_bmuf.pt final_ema.pt final_ma.pt in exp" in result.stderr and (task / "exp" / "final.mdl").is_file()
    assert "3 workers would have taken 0." in result.stderr
    summary = json.loads((task / "exp" / "simulation.json").read_text())
    assert summary["num_workers"] == 3 and summary["workers_per_host"] == 2 and summary["frames"] > 1000
    assert 2 < summary["speed_up"] < 3
    result = step(task, words)
    assert result.returncode == 0 and "exp: training is done already" in result.stderr
    result = step(task, words.replace(" exp ", " exp2 ").replace("num_epochs=1", "model.kind=gru"))
    assert result.returncode == 1 and "model: kind: expected one of " in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--num-workers", "0"], "at least one worker"),
        (["--num-workers", "2", "--seconds-per-frame", "0"], "seconds per frame must be above 0"),
        (["--num-workers", "2", "--seconds-per-frame", "1e-3", "--link-mbit", "0"], "a link needs a bandwidth above 0"),
        (["--num-workers", "2", "--seconds-per-frame", "1e-3", "--spread", "-1"], "must not be negative"),
        (["--num-workers", "40", "--seconds-per-frame", "1e-3"], "cannot be split over 40 workers; use fewer workers"),
    ],
)
def test_bad_simulations(task, capsys, options, message):
    toy = task / "toy"
    words = ["--config", str(toy / "config.yaml"), *(str(toy / name) for name in ("ali", "train", "valid")), str(task / "exp")]
    assert cli.main(["simulate-parallel", *options, *words]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("asrtool simulate-parallel: ERROR: ") and message in error


def test_a_plan(capsys):
    assert cli.main([*PLAN, "--link", "1gbit", "--workers-per-host", "4", "--total-frames", "1e6", "--latency-ms", "0.2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("8 workers, 4 on each host, 13,000,000 parameters, 5,000 frames/s each, link 1,000 Mbit/s")
    assert "parallel.block_momentum=0.875" in lines[1] and "the link binds" in lines[2] and "WARNING: 1,000,000" in lines[5]
    assert len(lines) == 15


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--link", "fast"], "'fast': a link is written like 1gbit or 100mbit"),
        (["--link", "1gbit", "--num-workers", "0"], "--num-workers must be at least 1"),
        (["--link", "1gbit", "--share", "2"], "must be in (0, 1)"),
        (["--link", "1gbit", "--latency-ms", "-1"], "a latency of at least 0"),
        (["--link", "1gbit", "--params", "0"], "must be positive numbers"),
    ],
)
def test_bad_plans(capsys, options, message):
    assert cli.main([*PLAN, *options]) == 1
    error = capsys.readouterr().err
    assert error.startswith("asrtool plan-parallel: ERROR: ") and message in error


def test_what_must_be_given(capsys):
    for words in (["plan-parallel"], ["simulate-parallel", "--num-workers", "2"]):
        with pytest.raises(SystemExit) as ended:
            cli.main(words)
        assert ended.value.code == 2 and "required" in capsys.readouterr().err
