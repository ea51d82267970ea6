"""Lang directories against those that Kaldi made: text files byte for byte, FSTs arc for arc."""

import numpy as np
import pytest

from asrtool.cli import main
from asrtool.fst.csr import CsrGraph


@pytest.fixture(scope="module")
def lang(kaldi_reference, tmp_path_factory):
    directory = tmp_path_factory.mktemp("lang")
    dict_dir = str(kaldi_reference / "lang" / "dict")
    assert main(["prepare-lang", dict_dir, "<UNK>", str(directory / "tmp"), str(directory / "lang")]) == 0
    return directory / "lang"


def test_text_files_are_kaldis(lang, kaldi_reference):
    reference = kaldi_reference / "lang"
    names = ["phones.txt", "words.txt", "topo", "oov.txt", "oov.int"]
    names += sorted(f"phones/{path.name}" for path in (reference / "phones").iterdir())
    assert sorted(f"phones/{path.name}" for path in (lang / "phones").iterdir()) == names[5:]
    assert [name for name in names if (lang / name).read_bytes() != (reference / name).read_bytes()] == []


def sorted_arcs(graph: CsrGraph) -> np.ndarray:
    """Arcs as rows (state, ilabel, olabel, next state, cost's bits): arcs of one state and label may stand in any order."""
    cost = graph.arc_cost.view(np.int32)
    rows = np.stack([graph.arc_source, graph.arc_ilabel, graph.arc_olabel, graph.arc_nextstate, cost], axis=1)
    return rows[np.lexsort(rows.T[::-1])]


@pytest.mark.parametrize("name", ["L.fst", "L_disambig.fst"])
def test_lexicon_fsts_are_kaldis(lang, kaldi_reference, name):
    ours, kaldis = (CsrGraph.from_fst_file(directory / name) for directory in (lang, kaldi_reference / "lang"))
    assert ours.start == kaldis.start
    np.testing.assert_array_equal(sorted_arcs(ours), sorted_arcs(kaldis))
    np.testing.assert_array_equal(ours.final_cost, kaldis.final_cost)


def test_grammar_is_kaldis(lang, kaldi_reference, tmp_path, capfd):
    arpa = kaldi_reference / "lang" / "lm3.arpa.gz"
    assert main(["format-lm", str(lang), str(arpa), str(tmp_path / "lang_test")]) == 0
    assert "0 of 21084 n-grams dropped" in capfd.readouterr().err
    ours, kaldis = (
        CsrGraph.from_fst_file(directory / "G.fst") for directory in (tmp_path / "lang_test", kaldi_reference / "lang")
    )
    assert ours.start == kaldis.start
    for name in ("arc_begin", "arc_ilabel", "arc_olabel", "arc_nextstate", "arc_cost", "final_cost"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(kaldis, name))
    assert (tmp_path / "lang_test" / "phones" / "sets.int").read_bytes() == (lang / "phones" / "sets.int").read_bytes()
    assert sorted(path.name for path in (tmp_path / "lang_test").glob(".*")) == []


def test_kaldis_lang_is_valid(kaldi_reference, capsys):
    assert main(["validate-lang", str(kaldi_reference / "lang")]) == 0
    assert "166 phones, 2610 word symbols" in capsys.readouterr().out
