"""Usage, exit status and messages of the decoding and scoring steps, and of the benchmarks' runner."""

import os
import subprocess
from pathlib import Path

import pytest


def run(recipe: Path, command: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(["bash", "-c", command], cwd=recipe, capture_output=True, text=True, timeout=60, env=environment)


@pytest.mark.parametrize(
    ("step", "arguments"),
    [
        ("decode", "<graph-dir> <data-dir> <decode-dir>"),
        ("nnet/decode", "<model> <decode-dir>"),
        ("score", "<decode-dir>"),
        ("nnet/evaluate", "<dev-model>"),
        ("prepare_features", "<set>"),
    ],
)
def test_usage(recipe, step, arguments):
    result = run(recipe, f"steps/{step}.sh one")
    assert result.returncode == 1 and "Usage:" in result.stderr and "e.g.:" in result.stderr and arguments in result.stderr
    result = run(recipe, f"steps/{step}.sh --no-such-option 1 a b c")
    assert result.returncode == 1 and "unknown option --no-such-option" in result.stderr


@pytest.mark.parametrize(
    "command", ["steps/decode.sh graph data exp/decode", "steps/nnet/decode.sh graph data exp/final.pt exp/decode"]
)
def test_missing_files_are_named(recipe, command):
    result = run(recipe, command)
    assert result.returncode == 1 and result.stderr.startswith("steps/") and "ERROR: exp/final" in result.stderr


def test_a_failed_scoring_shows_its_log(recipe):
    for folder in ("data", "graph", "decode"):
        (recipe / folder).mkdir()
    result = run(recipe, "steps/score.sh data graph decode")
    assert result.returncode == 1 and "data/utt2spk: no such file" in result.stderr
    assert "Ended (code 1)" in (recipe / "decode" / "log" / "score.log").read_text()


def test_scoring_prints_the_best_line(recipe):
    for folder in ("data", "graph", "decode"):
        (recipe / folder).mkdir()
    (recipe / "data" / "utt2spk").write_text("u1 s\n")
    (recipe / "data" / "text").write_text("u1 明天 天气\n", encoding="utf-8")
    (recipe / "graph" / "words.txt").write_text("<eps> 0\n", encoding="utf-8")
    (recipe / "decode" / "hyp.txt").write_text("u1 明天 去\n", encoding="utf-8")
    command = "steps/score.sh --metric cer --recording '--best-path true' --results r.json --system s --set t data graph decode"
    result = run(recipe, command)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "%CER 50.00 [ 2 / 4, 0 ins, 1 del, 1 sub ] decode/cer_hyp\n"
    assert '"system": "s"' in (recipe / "r.json").read_text()


def test_benchmarks_runner_knows_its_names(repository):
    result = subprocess.run(
        [repository / "tests" / "benchmarks" / "run.sh", "nothing"], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 1 and "decoder_one_best" in result.stderr and "Usage:" in result.stderr
