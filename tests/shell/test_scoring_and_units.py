"""The hooks of steps/score.sh and the lang directory of subword units."""

import os
import subprocess
from pathlib import Path

import pytest


def run(recipe: Path, command: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "LC_ALL": "C"}
    return subprocess.run(["bash", "-c", command], cwd=recipe, capture_output=True, text=True, timeout=90, env=environment)


@pytest.fixture
def decoded(recipe):
    for folder in ("data", "graph", "decode", "local"):
        (recipe / folder).mkdir(exist_ok=True)
    (recipe / "data" / "utt2spk").write_text("u1 s\n")
    (recipe / "data" / "text").write_text("u1 Hello (noise) world\n")
    (recipe / "graph" / "words.txt").write_text("<eps> 0\n")
    (recipe / "decode" / "hyp.txt").write_text("u1 \u2581HEL LO \u2581WORLD uh\n", encoding="utf-8")
    return recipe


def hook(recipe: Path, name: str, text: str) -> None:
    (recipe / "local" / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
    (recipe / "local" / name).chmod(0o755)


SCORE = "steps/score.sh --normalise subwords,lower --recording '--best-path true' data graph decode"


def test_a_filter_for_both_sides_gives_way_to_one_of_a_side(decoded):
    assert run(decoded, SCORE).stdout.startswith("%WER 66.67 [ 2 / 3, 0 ins, 1 del, 1 sub ]")  # worlduh for world
    hook(decoded, "wer_output_filter", "sed 's/(noise)//; s/uh$//'")
    result = run(decoded, SCORE)
    assert result.stdout.startswith("%WER 0.00 [ 0 / 2"), result.stderr
    hook(decoded, "wer_hyp_filter", "cat")
    assert run(decoded, SCORE).stdout.startswith("%WER 50.00 [ 1 / 2, 0 ins, 0 del, 1 sub ]")
    assert (decoded / "decode" / "scoring_kaldi" / "wer_details" / "per_spk").is_file()


def test_a_filter_that_fails_is_named(decoded):
    hook(decoded, "wer_ref_filter", "exit 3")
    result = run(decoded, SCORE)
    assert result.returncode == 1 and "filter 'local/wer_ref_filter' failed: exit status 3" in result.stderr


def test_lang_directory_of_units(recipe):
    (recipe / "text").write_text("the cat sat\na hat that sat\nthe heat\n" * 3)
    assert run(recipe, "asrtool train-subwords --vocab-size 20 text bpe.model").returncode == 0
    result = run(recipe, "utils/prepare_lang_subword.sh --position-dependent-phones false bpe.model dict tmp lang")
    assert result.returncode == 0, result.stderr
    assert "\u2581t 1.0 t" in (recipe / "tmp" / "lexiconp.txt").read_text(encoding="utf-8")
    assert "\u2581t" in (recipe / "lang" / "words.txt").read_text(encoding="utf-8").split()
    result = run(recipe, "utils/prepare_lang_subword.sh bpe.model")
    assert result.returncode == 1 and "Usage: utils/prepare_lang_subword.sh" in result.stderr and "e.g.:" in result.stderr
