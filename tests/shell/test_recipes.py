"""Usage, exit status and messages of the recipes."""

import subprocess
from pathlib import Path

import pytest

RECIPES = ("mini_mandarin", "speechocean762", "aishell", "librispeech")


def run(repository: Path, recipe: str, *words: str | Path) -> subprocess.CompletedProcess:
    return subprocess.run([repository / f"egs/{recipe}/s5/run.sh", *words], capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("recipe", RECIPES)
def test_help_tells_usage_and_stages(repository, recipe):
    result = run(repository, recipe, "--help")
    assert result.returncode == 0 and "Usage: run.sh" in result.stdout and "Stages: 0 " in result.stdout


@pytest.mark.parametrize("recipe", RECIPES)
def test_unknown_option(repository, recipe):
    result = run(repository, recipe, "--hour", "3")
    assert result.returncode == 1 and "unknown option --hour" in result.stderr


def test_a_corpus_must_be_given_and_be_there(repository, tmp_path):
    result = run(repository, "speechocean762")
    assert result.returncode == 1 and "give --corpus DIR, the directory that holds speechocean762/" in result.stderr
    result = run(repository, "speechocean762", "--corpus", tmp_path, "--dir", tmp_path / "out")
    assert result.returncode == 1 and f"{tmp_path}/speechocean762" in result.stderr
    assert not (tmp_path / "out/exp/.stages/1_data").exists()


def test_aishell_wants_its_corpus(repository, tmp_path):
    result = run(repository, "aishell")
    assert result.returncode == 1 and "give --corpus DIR, the directory that holds data_aishell/" in result.stderr
    result = run(repository, "aishell", "--corpus", tmp_path, "--dir", tmp_path / "out")
    assert result.returncode == 1 and f"{tmp_path}/data_aishell/transcript" in result.stderr
    assert not (tmp_path / "out/exp/.stages/1_data").exists()


def test_imported_alignments_cannot_validate_on_dev(repository, tmp_path):
    result = run(repository, "aishell", "--corpus", tmp_path, "--dir", tmp_path, "--kaldi-ali", tmp_path, "--valid-share", "0")
    assert result.returncode == 1 and "--kaldi-ali has no alignments of dev" in result.stderr
