"""Usage, exit status and messages of the steps with speaker adaptation."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from asrtool.cli import main

STEPS = {
    "train_sat": (6, "<num-leaves>"),
    "align_fmllr": (4, "<src-dir>"),
    "decode_fmllr": (3, "<decode-dir>"),
    "nnet/make_fmllr_feats": (5, "<gmm-dir>"),
}


def run(recipe: Path, command: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(["bash", "-c", command], cwd=recipe, capture_output=True, text=True, timeout=60, env=environment)


@pytest.mark.parametrize("step", STEPS)
def test_usage_and_missing_files(recipe, step):
    number, argument = STEPS[step]
    result = run(recipe, f"steps/{step}.sh")
    assert result.returncode == 1 and "Usage:" in result.stderr and "e.g.:" in result.stderr and argument in result.stderr
    result = run(recipe, f"steps/{step}.sh --no-such-option 1 a b c")
    assert result.returncode == 1 and "unknown option --no-such-option" in result.stderr
    result = run(recipe, f"steps/{step}.sh {' '.join(['nothing/x'] * number)}")
    assert result.returncode == 1 and "ERROR: nothing" in result.stderr and "no such file" in result.stderr


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("train-sat --fmllr-iters '2,4' 100 500 x y z w", "--fmllr-iters '2,4': expected iteration numbers"),
        ("train-sat --fmllr-update-type half 100 500 x y z w", "--fmllr-update-type 'half': expected one of full, diag"),
        ("train-sat --silence-weight 2 100 500 x y z w", "--silence-weight must be from 0 to 1"),
        ("train-sat 100 50 x y z w", "that of Gaussians not below it"),
        ("align-fmllr --fmllr-min-count -1 x y z w", "--fmllr-min-count must be at least 0"),
        ("align-fmllr --boost-silence 0 x y z w", "--boost-silence must be above 0"),
    ],
)
def test_verbs_say_what_is_wrong_in_one_line(command, message, capsys):
    assert main(shlex.split(command)) == 1
    said = capsys.readouterr().err
    assert message in said and len(said.splitlines()) == 1, said


def test_the_first_pass_is_made_where_none_is_given(recipe):
    """steps/decode.sh and asrtool are replaced by programs that print how they are called."""
    (recipe / "exp").mkdir()
    graph, data = recipe / "graph", recipe / "data"
    for path in (
        "graph/HCLG.fst",
        "graph/words.txt",
        "graph/phones/silence.csl",
        "data/feats.scp",
        "exp/final.mdl",
        "exp/final.alimdl",
    ):
        (recipe / path).parent.mkdir(parents=True, exist_ok=True)
        (recipe / path).write_text("")
    assert graph.is_dir() and data.is_dir()
    command = "steps/decode_fmllr.sh --cmd ./say --acwt 0.1 graph data exp/decode/"
    (recipe / "say").write_text('#!/usr/bin/env bash\necho "$@" >> said\n')
    (recipe / "say").chmod(0o755)
    result = run(recipe, command)
    # the first pass, which says only how it was called, has left no lattices
    assert result.returncode == 1 and "exp/decode.si/lat.1.gz: no such file" in result.stderr
    said = (recipe / "said").read_text()
    assert "decode-gmm" in said and "exp/final.alimdl graph data exp/decode.si" in said and "--max-active 2000" in said
    (recipe / "exp/decode.si").mkdir(exist_ok=True)
    (recipe / "exp/decode.si/lat.1.gz").write_text("")
    (recipe / "said").unlink()
    assert run(recipe, command).returncode == 0
    second = (recipe / "said").read_text().splitlines()[-1]
    assert "decode-fmllr" in second and "--si-dir exp/decode.si --alignment-model exp/final.alimdl" in second
    assert "--acoustic-scale 0.1" in second and second.endswith("exp graph data exp/decode")
    (recipe / "said").unlink()
    run(recipe, command.replace("--acwt 0.1", "--si-dir exp/decode.si --alignment-model exp/final.mdl"))
    assert len((recipe / "said").read_text().splitlines()) == 1 and "decode-gmm" not in (recipe / "said").read_text()
