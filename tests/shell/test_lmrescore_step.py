"""steps/lmrescore.sh: usage, files in and out, scoring."""

import subprocess

import numpy as np
import pytest
from random_lattices import random_compact
from random_ngrams import random_model

from asrtool.io.symbols import SymbolTable
from asrtool.lattice.archive import read_lattices, write_lattices
from asrtool.lattice.rescore import rescore
from asrtool.lm.arpa import write_arpa
from asrtool.lm.compact_model import CompactNgram

WORDS = SymbolTable({"<eps>": 0, "w0": 1, "w1": 2, "w2": 3, "#0": 4, "<s>": 5, "</s>": 6})


@pytest.fixture
def decoding(recipe):
    """lang/words.txt, old.arpa.gz and new.arpa, data/text, and two lattices in decode."""
    models = {}
    for name, seed, order in (("old.arpa.gz", 1, 2), ("new.arpa", 2, 4)):
        models[name] = random_model(seed, order, num_words=3)
        write_arpa(recipe / name, models[name])
    for name in ("lang", "data", "decode"):
        (recipe / name).mkdir()
    WORDS.write(recipe / "lang" / "words.txt")
    (recipe / "data" / "text").write_text("utt1 w0 w1\nutt2 w2\n")
    (recipe / "data" / "utt2spk").write_text("utt1 utt1\nutt2 utt2\n")
    lattices = {f"utt{number}": random_compact(number, deterministic=True) for number in (1, 2)}
    for number, item in enumerate(lattices.items(), 1):
        write_lattices(recipe / "decode" / f"lat.{number}.gz", [item])
    return {name: CompactNgram.from_model(model) for name, model in models.items()}, lattices


def run(recipe, *arguments):
    return subprocess.run(["steps/lmrescore.sh", *arguments], cwd=recipe, capture_output=True, text=True, timeout=200)


def test_lattices_and_scores(recipe, decoding):
    models, lattices = decoding
    options = ("--words", "lang/words.txt", "--nj", "1", "--scoring-opts", "--min-lmwt 9 --max-lmwt 10 --word-ins-penalty 0.0")
    result = run(recipe, *options, "old.arpa.gz", "new.arpa", "data", "decode", "rescored")
    assert result.returncode == 0, result.stderr
    written = dict(read_lattices(recipe / "rescored"))
    assert written.keys() == lattices.keys()
    for utterance, lattice in lattices.items():
        expected = rescore(lattice, WORDS, models["old.arpa.gz"], [(models["new.arpa"], 1.0)])
        assert written[utterance].arc_word.tolist() == expected.arc_word.tolist()
        np.testing.assert_allclose(written[utterance].arc_graph_cost, expected.arc_graph_cost, atol=1e-4)
    assert "%WER" in result.stdout and (recipe / "rescored" / "wer_10_0.0").is_file()
    assert sorted(path.name for path in (recipe / "rescored").glob("l*")) == ["lat.1.gz", "lat.2.gz", "log"]


def test_bad_use(recipe, decoding):
    result = run(recipe, "old.arpa.gz", "new.arpa")
    assert result.returncode == 1 and "e.g.: steps/lmrescore.sh" in result.stderr
    result = run(recipe, "--words", "lang/words.txt", "old.arpa.gz", "none.arpa", "data", "decode", "rescored")
    assert result.returncode == 1 and "none.arpa: no such file" in result.stderr
    result = run(recipe, "--words", "lang/words.txt", "old.arpa.gz", "new.arpa", "data", "decode", "decode")
    assert result.returncode == 1 and "give another one" in result.stderr
    assert (recipe / "decode" / "lat.1.gz").is_file()
