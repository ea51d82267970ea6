"""utils/mkgraph.sh as a recipe calls it."""

import subprocess

import pytest


@pytest.fixture
def recipe(tmp_path, repository):
    (tmp_path / "utils").symlink_to(repository / "utils")
    (tmp_path / "path.sh").write_text(f'. "{repository}/path.sh"\n')
    return tmp_path


def run(recipe, command):
    return subprocess.run(["bash", "-c", command], cwd=recipe, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("utils/mkgraph.sh data/lang", "Usage: utils/mkgraph.sh [options] <lang-dir> <model-dir> <graph-dir>"),
        ("utils/mkgraph.sh --mono a b c", "unknown option --mono"),
        ("utils/mkgraph.sh --remove-oov maybe a b c", "takes true or false"),
        ("utils/mkgraph.sh data/lang exp/tri1 exp/tri1/graph", "data/lang/L_disambig.fst: no such file; make the lang directory"),
        ("utils/mkgraph.sh --self-loop-scale x a b c", "invalid float value: 'x'"),
    ],
)
def test_bad_use(recipe, command, message):
    result = run(recipe, command)
    assert result.returncode != 0 and message in result.stderr


def test_kaldis_language_and_model(recipe, kaldi_reference):
    result = run(
        recipe,
        f"set -e; cp -r {kaldi_reference}/lang lang; chmod -R u+w lang\n"
        f"utils/mkgraph.sh --self-loop-scale 1.0 lang {kaldi_reference}/gmm/chain_tree graph\n"
        f"utils/mkgraph.sh --self-loop-scale 1.0 lang {kaldi_reference}/gmm/chain_tree graph",
    )
    assert result.returncode == 0, result.stderr
    assert "graph/HCLG.fst: made" in result.stderr and "graph/HCLG.fst: up to date" in result.stderr
    assert (recipe / "graph" / "phones" / "align_lexicon.int").exists() and (recipe / "lang" / "tmp" / "LG.fst").exists()
