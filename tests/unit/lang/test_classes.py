"""Grammars with classes of words: every path costs what the class model and the shares of its entries say."""

import itertools
import math

import numpy as np
import pytest
from small_languages import make_language, path_cost

from asrtool.cli import main
from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph
from asrtool.io.symbols import SymbolTable
from asrtool.lang.classes import ClassGrammar, expand_classes, read_classes
from asrtool.lm.arpa import read_arpa
from asrtool.lm.text import encode

TEXT = "a <name> b\nb <name>\n<name> <town>\na b a\n<town> a\nb <town> b\na <name> a\n"
CLASSES = "<name> 3 a\n<name> 1 c b\n<name> 2 c\n<name> 1 c b a\n<town> b\n<town> c\n<name> 2 a\n<other> a\n<town> z b\n"


@pytest.fixture
def work(tmp_path):
    (tmp_path / "classes").write_text(CLASSES)
    make_language(tmp_path, TEXT, "lm.arpa")
    return tmp_path


def format_lm(work, lang="lang", out="lang_test"):
    return main(["format-lm", "--classes", *(str(work / name) for name in ("classes", lang, "lm.arpa", out))])


def test_paths_cost_what_the_class_model_says(work, capsys):
    assert format_lm(work) == 0
    assert "2 classes expanded (not in the model: <other>), 1 entries with words that are not" in capsys.readouterr().err
    assert main(["validate-lang", str(work / "lang_test")]) == 0
    lang = work / "lang_test"
    symbols = dict(line.split() for line in (lang / "phones" / "class_disambig.txt").read_text().splitlines())
    shares = {"<name>": {"a": 5 / 9, "c b": 1 / 9, "c": 2 / 9, "c b a": 1 / 9}, "<town>": {"b": 1 / 2, "c": 1 / 2}}
    # what each item of a sentence is in G: an entry that others continue ends in the class's symbol
    items = [(word, [word], 0.0) for word in "ab"]
    for name, entries in shares.items():
        for text, share in entries.items():
            longer = any(other.startswith(f"{text} ") for other in entries)
            items.append((name, [symbols[name], *text.split(), *([symbols[name]] if longer else [])], -math.log(share)))
    graph, words, model = (
        CsrGraph.from_fst_file(lang / "G.fst"),
        SymbolTable.read(lang / "words.txt"),
        read_arpa(work / "lm.arpa"),
    )
    for length in range(4):
        for sentence in itertools.product(items, repeat=length):
            tokens = encode([[item[0] for item in sentence]], model.vocabulary).tokens
            expected = -model.log10_probs(tokens)[0].sum() * math.log(10) + sum(item[2] for item in sentence)
            labels = [words.id(symbol) for item in sentence for symbol in item[1]]
            assert path_cost(graph, labels, words.id("#0")) == pytest.approx(expected, abs=2e-4)
    name = words.id(symbols["<name>"])
    for wrong in ([name, "b"], [name, "c", "a"], [name], ["c"], [name, "c", "b"]):
        labels = [words.id(symbol) if isinstance(symbol, str) else symbol for symbol in wrong]
        assert path_cost(graph, labels, words.id("#0")) == np.inf


def test_symbols_join_the_lang_directory_once(work):
    assert format_lm(work) == 0
    before = {path: path.read_bytes() for path in (work / "lang_test").rglob("*") if path.is_file()}
    assert (work / "lang_test" / "phones" / "class_disambig.txt").read_text() == "<name> #2\n<town> #3\n"
    assert (work / "lang_test" / "phones" / "wdisambig.txt").read_text() == "#0\n#2\n#3\n"
    assert (work / "lang_test" / "phones.txt").read_text().split()[-4::2] == ["#2", "#3"]
    lexicon = CsrGraph.from_fst_file(work / "lang_test" / "L_disambig.fst")
    words = SymbolTable.read(work / "lang_test" / "words.txt")
    loops = lexicon.arc_source == lexicon.arc_nextstate
    marks = [words.id(symbol) for symbol in ("#0", "#2", "#3")]
    assert np.intersect1d(lexicon.arc_olabel[loops], marks).tolist() == marks
    assert all(np.ptp(lexicon.arc_source[lexicon.arc_olabel == mark]) == 0 for mark in marks)
    assert format_lm(work, "lang_test") == 0
    assert before == {path: path.read_bytes() for path in (work / "lang_test").rglob("*") if path.is_file()}
    assert "#2" not in (work / "lang" / "words.txt").read_text()


def test_arcs_to_one_state_share_the_words():
    # class 9 leads from states 0 and 1 to 2, from 2 to 0
    graph = CsrGraph.from_arcs(
        0, [0, 1, 2, 0], [9, 9, 9, 3], [9, 9, 9, 3], [2, 2, 0, 1], [1.0, 2.0, 3.0, 4.0], [np.inf, np.inf, 0.0]
    )
    entries = {(number,): 1.0 for number in range(10, 20)} | {(10, 11): 2.0}
    grammar = ClassGrammar.make(entries, marker=5)
    expanded = expand_classes(graph, {9: grammar})
    assert grammar.num_nodes == 2 and expanded.num_states == 3 + 2 * 2
    assert expanded.num_arcs == 1 + 3 + 2 * (10 + 2)
    sums = np.bincount(expanded.arc_source, np.exp(-expanded.arc_cost.astype(float)), minlength=7)
    assert sums[3:] == pytest.approx(np.ones(4))


def test_class_file(tmp_path):
    path = tmp_path / "classes"
    path.write_text("\nA 0.5 x y\nA x\nA 2 x\nB 7\n")
    assert read_classes(path) == {"A": {("x", "y"): 0.5, ("x",): 3.0}, "B": {("7",): 1.0}}
    for text, message in (
        ("A\n", "line 1: class 'A': expected 'CLASS"),
        ("A 0 x\n", "the weight 0 must be above 0"),
        ("A 1 B\nB x\n", "class 'A' holds the class 'B'"),
        ("\n", "no classes in it"),
    ):
        path.write_text(text)
        with pytest.raises(AsrtoolError, match=message):
            read_classes(path)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("a 1 b\n", "the class 'a' is a word of"),
        ("<none> a\n", "none of its classes is in the ARPA file"),
        ("<name> z\n", "class '<name>': none of its entries has all its words in words.txt"),
    ],
)
def test_classes_that_do_not_fit(work, capsys, classes, message):
    (work / "classes").write_text(classes)
    assert format_lm(work) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert message in error and not (work / "lang_test" / "G.fst").exists()
    assert not list((work).rglob(".words*"))


def test_tagging(tmp_path, capsys):
    (tmp_path / "classes").write_text("<name> li\n<name> li lei\n<town> san jose\n<town> san\n<town> x y z\n")
    (tmp_path / "text").write_text("u1 li lei met li in san jose x y\nu2\n")
    paths = [str(tmp_path / name) for name in ("classes", "text", "out")]
    assert main(["tag-classes", "--utterance-ids", "true", *paths]) == 0
    assert (tmp_path / "out").read_text() == "u1 <name> met <name> in <town> x y\nu2\n"
    assert "out: 3 class symbols" in capsys.readouterr().err
    (tmp_path / "classes").write_text("<name> a b\n<town> a b\n")
    assert main(["tag-classes", *paths]) == 1
    assert "'a b' is in the classes '<name>' and '<town>'" in capsys.readouterr().err
