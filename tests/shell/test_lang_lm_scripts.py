"""utils/prepare_lang.sh, utils/format_lm.sh and steps/train_lm.sh as a recipe calls them."""

import subprocess

import pytest
from small_languages import write_dictionary


@pytest.fixture
def recipe(tmp_path, repository):
    """A recipe directory with a dictionary and a text."""
    for name in ("utils", "steps"):
        (tmp_path / name).symlink_to(repository / name)
    (tmp_path / "path.sh").write_text(f'. "{repository}/path.sh"\n')
    write_dictionary(tmp_path / "dict", "<UNK> SIL\na A\nb B\n")
    (tmp_path / "text").write_text("u1 a b\nu2 b a a\n")
    return tmp_path


def run(recipe, command):
    return subprocess.run(["bash", "-c", command], cwd=recipe, capture_output=True, text=True, timeout=120)


def test_dictionary_and_text_to_grammar(recipe):
    result = run(
        recipe,
        "set -e; utils/prepare_lang.sh --position-dependent-phones false --sil-prob 0.3 dict '<UNK>' tmp lang\n"
        "steps/train_lm.sh --order 2 --vocab lang/words.txt --dev-text text text lm/lm.arpa.gz\n"
        "utils/format_lm.sh lang lm/lm.arpa.gz dict/lexicon.txt lang_test",
    )
    assert result.returncode == 0, result.stderr
    assert "text: sentences=2 words=5 oovs=0" in result.stdout
    assert "lang_test: 3 phones, 7 word symbols" in result.stdout
    assert (recipe / "lang_test" / "G.fst").exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("utils/prepare_lang.sh dict", "Usage: utils/prepare_lang.sh [options] <dict-src-dir>"),
        ("utils/format_lm.sh lang", "Usage: utils/format_lm.sh <lang-dir> <arpa>"),
        ("steps/train_lm.sh text", "e.g.: steps/train_lm.sh --order 5"),
        ("utils/prepare_lang.sh --silprob 0.5 dict '<UNK>' tmp lang", "unknown option --silprob"),
        ("utils/prepare_lang.sh dict '<NOISE>' tmp lang", "no entry for the out-of-vocabulary word '<NOISE>'"),
        ("utils/format_lm.sh lang none.arpa out", "lang/words.txt: no such symbol table"),
    ],
)
def test_bad_use(recipe, command, message):
    result = run(recipe, command)
    assert result.returncode == 1 and message in result.stderr
