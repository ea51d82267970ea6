"""steps/nnet/compare_parallel.sh and local/compare_parallel.sh of recipes: usage, missing files, a comparison on the toy task."""

import json
import os
import runpy
import subprocess
from pathlib import Path

import pytest

MAKE_TOY = runpy.run_path(str(Path(__file__).parents[1] / "distributed" / "training_toy.py"))["make_toy"]
SETTINGS = """
networks: [toy]
network_config: "{network}/config.yaml"
num_workers: [3]
simulate_above: 2
seeds: [1, 2]
overrides: {num_epochs: 1, parallel.ema_alpha: [0.5]}
algorithms:
  single: {overrides: {parallel.algorithm: single}, settings: {a: {rate_factor: 1.0}}}
  bmuf: {label: BMUF, overrides: {parallel.algorithm: bmuf}, settings: {b: {parallel.sync_frames: 300/N}}}
"""
# stands for steps/nnet/evaluate.sh: records an error rate of 10 % for every model
EVALUATE = """#!/usr/bin/env python
import json, sys
from asrtool.score.edit_distance import ErrorCounts
from asrtool.score.results import append_results, make_record
words = sys.argv[1:]
options = {words[i]: words[i + 1] for i in range(0, 12, 2)}
counts = ErrorCounts(total=100, insertions=1, deletions=2, substitutions=7)
records = [make_record(name, options["--set"], options["--metric"], counts) for name in words[17::3]]
append_results(options["--results"], records)
"""


@pytest.fixture
def recipe(tmp_path, repository):
    """A recipe directory with the toy task; decoding is a stand-in."""
    for name in ("utils", "conf"):
        (tmp_path / name).symlink_to(repository / name)
    (tmp_path / "steps/nnet").mkdir(parents=True)
    for name in ("train.sh", "compare_parallel.sh"):
        (tmp_path / "steps/nnet" / name).symlink_to(repository / "steps/nnet" / name)
    evaluate = tmp_path / "steps/nnet/evaluate.sh"
    evaluate.write_text(EVALUATE)
    evaluate.chmod(0o755)
    (tmp_path / "path.sh").write_text(f"export PATH={repository}/.venv/bin:$PATH PYTHONWARNINGS=ignore\n")
    for name in ("graph/HCLG.fst", "dev/feats.scp", "test/feats.scp"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    (tmp_path / "compare.yaml").write_text(SETTINGS)
    return MAKE_TOY(tmp_path / "toy").parent


def step(recipe: Path, words: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = f"steps/nnet/compare_parallel.sh {words}"
    return subprocess.run(["bash", "-c", command], cwd=recipe, capture_output=True, text=True, timeout=280, env=environment)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "Stages: 0 search, 1 other seeds, 2 decode, 3 curves, 4 results"),
        ("toy/ali toy/train toy/valid exp", "give --graph, --dev-data and --test-data, or --decode false"),
        ("--decode false toy/ali toy/none toy/valid exp", "toy/none/feats.scp: no such file"),
        ("--decode false --compare-config none.yaml toy/ali toy/train toy/valid exp", "none.yaml: no such file"),
        ("--algorithms sgd --decode false toy/ali toy/train toy/valid exp", "no algorithm 'sgd' in the settings; known: single"),
        ("--seeds x --decode false toy/ali toy/train toy/valid exp", "invalid numbers value: 'x'"),
    ],
)
def test_bad_calls(recipe, words, message):
    result = step(recipe, words)
    assert result.returncode != 0 and message in result.stderr
    assert not (recipe / "exp").exists()


def test_a_comparison_and_a_second_start(recipe):
    words = "--compare-config compare.yaml --nj 2 --curves true --tune-each false --graph graph --dev-data dev --test-data test"
    words += " --simulate-opts '--link-mbit 100' toy/ali toy/train toy/valid exp"
    result = step(recipe, words)
    assert result.returncode == 0, result.stderr
    page = (recipe / "exp/RESULTS.md").read_text()
    assert result.stdout.strip() == page.strip()
    assert "| BMUF | 3 (simulated) | b | " in page and " | 10.00 [10.00, 10.00] | " in page and "**b: " in page
    assert "compare_parallel.sh --compare-config compare.yaml" in page and "simulation: --link-mbit 100" in page
    assert "![averages_toy_bmuf-n3](figures/averages_toy_bmuf-n3.png)" in page
    bmuf = recipe / "exp/toy/bmuf-n3"
    assert sorted(path.name for path in bmuf.iterdir()) == ["b-s1", "b-s2"]
    speeds = {json.loads((run / "simulation.json").read_text())["seconds_per_frame"] for run in bmuf.iterdir()}
    assert len(speeds) == 1  # that of the one-worker run
    systems = {record["system"] for record in json.loads((bmuf / "b-s2/results.json").read_text())}
    assert {"bmuf", "ma", "ema", "bmuf@0.25", "ema@1"} <= systems
    assert not (recipe / "exp/toy/single-n1/a-s1/models").exists()
    logs = {path: path.stat().st_mtime_ns for path in recipe.glob("exp/log/*.log")}
    again = step(recipe, words.replace("--nj", "--stop-stage 1 --nj"))
    assert again.returncode == 0 and "job(s)" not in again.stderr and "job(s)" in result.stderr
    assert {path: path.stat().st_mtime_ns for path in recipe.glob("exp/log/*.log")} == logs


@pytest.mark.parametrize("corpus", ["speechocean762", "mini_mandarin", "librispeech"])
def test_recipes_say_what_is_missing(repository, tmp_path, corpus):
    script = repository / f"egs/{corpus}/s5/local/compare_parallel.sh"
    given = ["--ali", "ali", "--data", "data", "--graph", "graph"] if corpus == "librispeech" else []
    shown = subprocess.run([script, "--help"], capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0 and "Usage: local/compare_parallel.sh" in shown.stdout
    result = subprocess.run([script, *given, "--dir", tmp_path / "none"], capture_output=True, text=True, timeout=60)
    assert result.returncode == 1 and "/final.mdl: no such file" in result.stderr
