"""G.fst against the model it was made of, its checks, and lang directories that do not fit."""

import numpy as np
import pytest
from small_languages import make_language, path_cost

from asrtool.cli import main
from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph
from asrtool.fst.grammar_fst import check_grammar
from asrtool.io.symbols import SymbolTable
from asrtool.lm.arpa import read_arpa
from asrtool.lm.text import encode

TEXT = "a b a\nb a c\na a\nc b a b\nb\na b c a\n"


@pytest.fixture
def work(tmp_path):
    make_language(tmp_path, TEXT, "lm.arpa.gz")
    return tmp_path


def format_lm(work, arpa="lm.arpa.gz"):
    return main(["format-lm", str(work / "lang"), str(work / arpa), str(work / "lang_test")])


def test_paths_cost_what_the_model_says(work):
    assert format_lm(work) == 0
    graph, words = CsrGraph.from_fst_file(work / "lang_test" / "G.fst"), SymbolTable.read(work / "lang" / "words.txt")
    model = read_arpa(work / "lm.arpa.gz")
    for sentence in (["a", "b", "a"], ["c", "c", "c"], ["b", "c", "a", "a"], ["a"]):
        log10_prob = model.log10_probs(encode([sentence], model.vocabulary).tokens)[0].sum()
        cost = path_cost(graph, [words.id(word) for word in sentence], words.id("#0"))
        assert cost == pytest.approx(-log10_prob * np.log(10), rel=1e-5)


def test_words_outside_are_dropped_and_counted(work, capsys):
    (work / "text").write_text(TEXT + "a z b\n")
    assert main(["train-lm", "--order", "2", str(work / "text"), str(work / "lm.arpa")]) == 0
    assert format_lm(work, "lm.arpa") == 0
    assert "1 words of the ARPA file are not in words.txt (first: z), 3 of " in capsys.readouterr().err
    assert main(["validate-lang", str(work / "lang_test")]) == 0


def test_grammar_into_the_lang_directory_itself(work):
    assert main(["format-lm", str(work / "lang"), str(work / "lm.arpa.gz"), str(work / "lang")]) == 0
    assert (work / "lang" / "G.fst").exists() and (work / "lang" / "L.fst").exists()


def without_eos(work):
    path = work / "lang" / "words.txt"
    path.write_text("".join(line for line in path.read_text().splitlines(True) if not line.startswith("</s>")))


def other_words(work):
    (work / "text").write_text("x y\n")
    main(["train-lm", "--order", "1", str(work / "text"), str(work / "lm.arpa.gz")])


def reserved_word(work):
    (work / "text").write_text("a #0 b\n")
    main(["train-lm", "--order", "1", str(work / "text"), str(work / "lm.arpa.gz")])


BAD = [
    (without_eos, "words.txt: no symbol '</s>'"),
    (other_words, "none of its words is in"),
    (reserved_word, "the unigram '#0' is a reserved symbol"),
    (lambda work: (work / "lm.arpa.gz").unlink(), "lm.arpa.gz: no such file"),
    (lambda work: (work / "lm.arpa.gz").write_bytes((work / "lm.arpa.gz").read_bytes()[:-9]), "lm.arpa.gz: damaged .gz file"),
    (lambda work: (work / "lang" / "L_disambig.fst").unlink(), "L_disambig.fst: no such file"),
    (lambda work: (work / "lang" / "words.txt").write_text("a\n"), "words.txt: line 1: expected 'symbol id'"),
]


@pytest.mark.parametrize(("spoil", "message"), BAD)
def test_bad_input(work, spoil, message, capsys):
    spoil(work)
    capsys.readouterr()
    assert format_lm(work) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (work / "lang_test" / "G.fst").exists()


def grammar(arcs, finals):
    source, label, target = zip(*arcs)
    return CsrGraph.from_arcs(0, source, label, label, target, [0.5] * len(arcs), finals)


@pytest.mark.parametrize(
    ("arcs", "finals", "message"),
    [
        ([(0, 1, 1), (0, 1, 0)], [np.inf, 0.0], "two arcs of a state have the same word"),
        ([(0, 9, 1), (1, 9, 0)], [np.inf, 0.0], "back-off arcs form a cycle"),
        ([(0, 0, 1)], [np.inf, 0.0], "an arc has no input label"),
        ([(0, 1, 1)], [np.inf, np.inf], "no final state"),
    ],
)
def test_unfit_grammars(arcs, finals, message):
    with pytest.raises(AsrtoolError, match=message):
        check_grammar(grammar(arcs, finals), 9, "G.fst")


def spoil_file(name, old, new):
    def spoil(lang):
        path = lang / name
        path.write_text(path.read_text().replace(old, new, 1))

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_file("phones/silence.int", "1", "2"), "silence.int: does not hold the ids"),
        (spoil_file("phones/roots.int", "split 1", "split 3"), "roots.int: line 1"),
        (spoil_file("phones/disambig.csl", ":", ""), "disambig.csl: does not hold the ids"),
        (spoil_file("topo", "1 2 3", "1 2"), "topo: each phone must have one topology; look at phone 3"),
        (spoil_file("oov.txt", "<UNK>", "none"), "oov.txt: expected one word"),
        (spoil_file("words.txt", "c 4", "c 5"), "words.txt: line"),
        (spoil_file("phones.txt", "B_S", "B_X"), "no symbol 'B_S'"),
        (lambda lang: (lang / "topo").unlink(), "topo: no such file"),
        (lambda lang: (lang / "L.fst").write_bytes(b"no FST"), "L.fst: not a binary OpenFst file"),
    ],
)
def test_unfit_lang_directories(work, spoil, message, capsys):
    spoil(work / "lang")
    assert main(["validate-lang", str(work / "lang")]) == 1
    assert message in capsys.readouterr().err
