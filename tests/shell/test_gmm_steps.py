"""Usage, exit status and messages of the GMM steps."""

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
        ("train_mono", "<data-dir>"),
        ("train_deltas", "<num-leaves>"),
        ("train_lda_mllt", "<num-leaves>"),
        ("align_si", "<src-dir>"),
        ("import_alignment", "<kaldi-exp-dir>"),
    ],
)
def test_usage_and_missing_files(recipe, step, arguments):
    result = run(recipe, f"steps/{step}.sh")
    assert result.returncode == 1 and "Usage:" in result.stderr and "e.g.:" in result.stderr and arguments in result.stderr
    result = run(recipe, f"steps/{step}.sh --no-such-option 1 a b c")
    assert result.returncode == 1 and "unknown option --no-such-option" in result.stderr
    number = {"train_mono": 3, "train_deltas": 6, "train_lda_mllt": 6, "align_si": 4, "import_alignment": 3}[step]
    result = run(recipe, f"steps/{step}.sh {' '.join(['nothing'] * number)}")
    assert result.returncode == 1 and "ERROR: nothing" in result.stderr and "no such file" in result.stderr


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("train-mono --realign-iters 'a b' x y z", "expected iteration numbers"),
        ("train-mono --beam 50 x y z", "--retry-beam above --beam"),
        ("train-mono --use-gpu maybe x y z", "--use-gpu 'maybe': expected auto, yes or no"),
        ("train-mono --nj 0 x y z", "--nj and --memory-limit must be at least 1"),
        ("train-deltas 100 50 x y z w", "that of Gaussians not below it"),
        ("train-deltas --context-opts=--width=3 100 500 x y z w", "only --context-width=N and --central-position=N"),
        ("train-lda-mllt --context-opts=--context-width=5 100 500 x y z w", "at most one phone to each side"),
        ("train-lda-mllt --mllt-iters '2,4' 100 500 x y z w", "--mllt-iters '2,4': expected iteration numbers"),
        ("train-lda-mllt --dim 0 100 500 x y z w", "--dim must be at least 1"),
        ("align-gmm --boost-silence 0 x y z w", "--boost-silence must be above 0"),
        ("import-alignment x y z", "x/final.mdl: no such file"),
    ],
)
def test_verbs_say_what_is_wrong_in_one_line(recipe, command, message):
    result = run(recipe, f". ./path.sh; asrtool {command}")
    assert result.returncode == 1 and message in result.stderr and len(result.stderr.splitlines()) == 1, result.stderr
