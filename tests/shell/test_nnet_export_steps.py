"""steps/nnet/align.sh and the commands that write networks for other toolkits: usage, missing files, messages."""

import os
import subprocess
from pathlib import Path

import pytest


def run(recipe: Path, command: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(["bash", "-c", command], cwd=recipe, capture_output=True, text=True, timeout=60, env=environment)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("one two three", "Usage: steps/nnet/align.sh [options] <data-dir> <lang-dir> <src-dir-or-model> <align-dir>"),
        ("", "e.g.: steps/nnet/align.sh --nj 2 --ali-dir exp/tri_ali"),
        ("--no-such-option 1 a b c d", "unknown option --no-such-option"),
        ("data lang exp/m.pt ali", "steps/nnet/align.sh: ERROR: data/feats.scp: no such file"),
    ],
)
def test_bad_calls_of_align(recipe, words, message):
    result = run(recipe, f"steps/nnet/align.sh {words}")
    assert result.returncode == 1 and message in result.stderr


@pytest.mark.parametrize(
    ("options", "source", "missing"),
    [
        ("", "exp/nnet", "exp/nnet/final.mdl: no such file"),
        ("", "exp/nnet/final.pt", "exp/nnet/final.mdl: no such file"),
        ("--ali-dir exp/ali", "exp/nnet", "exp/ali/tree: no such file"),
    ],
)
def test_the_model_of_the_alignments_is_looked_for(recipe, options, source, missing):
    for name in ("data/feats.scp", "data/text", "lang/phones.txt", "lang/L.fst", "exp/nnet/final.pt", "exp/ali/final.mdl"):
        (recipe / name).parent.mkdir(parents=True, exist_ok=True)
        (recipe / name).touch()
    result = run(recipe, f"steps/nnet/align.sh {options} data lang {source} exp/new_ali")
    assert result.returncode == 1 and f"ERROR: {missing}" in result.stderr and not (recipe / "exp/new_ali").exists()


@pytest.mark.parametrize(
    ("command", "status", "message"),
    [
        ("align-nnet --beam 50 x y z w", 1, "--retry-beam above --beam"),
        ("align-nnet --boost-silence 2 x y z w", 2, "unrecognized arguments: --boost-silence"),
        ("align-nnet x y z w", 1, "y/phones.txt: no such file"),
        ("adjust-priors --max-frames -1 bad.pt . m.pt", 1, "--max-frames must be at least 0"),
    ],
)
def test_verbs_say_what_is_wrong(recipe, command, status, message):
    (recipe / "bad.pt").touch()
    result = run(recipe, f". ./path.sh; asrtool {command}")
    assert result.returncode == status and message in result.stderr, result.stderr
    assert status == 2 or len(result.stderr.splitlines()) == 1, result.stderr
