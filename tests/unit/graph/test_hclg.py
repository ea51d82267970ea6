"""HCLG of a small language against a search over sentences, and what make-graph refuses."""

import importlib.util
import itertools
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from asrtool.cli import main
from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph
from asrtool.graph.hclg import make_hclg
from asrtool.graph.pronunciations import read_pronunciations
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.symbols import SymbolTable

spec = importlib.util.spec_from_file_location("hclg_reference", Path(__file__).with_name("reference.py"))
reference = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reference)


def grammar_cost(grammar: CsrGraph, words: tuple[int, ...], backoff: int) -> float:
    """Lowest cost of a word sequence in G, where `backoff` may be taken at no word's expense."""
    cost = {grammar.start: 0.0}
    for word in (*words, None):
        stack = list(cost)
        while stack:
            state = stack.pop()
            for arc in range(grammar.arc_begin[state], grammar.arc_begin[state + 1]):
                new = cost[state] + grammar.arc_cost[arc]
                if grammar.arc_ilabel[arc] == backoff and new < cost.get(int(grammar.arc_nextstate[arc]), np.inf):
                    cost[int(grammar.arc_nextstate[arc])] = new
                    stack.append(int(grammar.arc_nextstate[arc]))
        if word is None:
            return min((value + float(grammar.final_cost[state]) for state, value in cost.items()), default=np.inf)
        following: dict[int, float] = {}
        for state, value in cost.items():
            for arc in range(grammar.arc_begin[state], grammar.arc_begin[state + 1]):
                if grammar.arc_ilabel[arc] == word:
                    target = int(grammar.arc_nextstate[arc])
                    following[target] = min(following.get(target, np.inf), value + float(grammar.arc_cost[arc]))
        cost = following
    return np.inf


@pytest.mark.parametrize(
    "settings",
    [{}, {"width": 1}, {"width": 2, "chain": True}, {"positions": False, "sil_prob": 0.0}, {"silprob": True}],
    ids=str,
)
@pytest.mark.parametrize("seed", range(2))
def test_best_path_is_that_of_the_best_sentence(toy, tmp_path, settings, seed):
    made = toy(**settings)
    model_file = made.directory / "final.mdl"
    out = made.directory / "graph"
    make_hclg(made.lang_test, made.directory / "tree", model_file, out, self_loop_scale=0.2)
    graph = CsrGraph.from_fst_file(out / "HCLG.fst")
    length = 6 if settings.get("chain") else 10
    acoustic_cost = np.random.default_rng(seed).gamma(1.0, 2.0, size=(length, made.model.num_pdfs))
    words = SymbolTable.read(made.lang_test / "words.txt")
    grammar = CsrGraph.from_fst_file(made.lang_test / "G.fst")
    prons = read_pronunciations(made.lang_test / "L.fst")
    costs = made.model.scaled_costs(1.0, 0.2).astype(np.float64)
    best = np.inf
    scores: dict[tuple, float] = {}
    vocabulary = [words.id(word) for word in ("a", "ab", "ba", "cab")]
    for count in range(4):
        for sentence in itertools.product(vocabulary, repeat=count):
            language = grammar_cost(grammar, sentence, words.id("#0"))
            for phones, cost in reference.phone_sequences(prons, sentence):
                if phones not in scores and len(phones) * (1 if settings.get("chain") else 3) <= length:
                    scores[phones] = reference.hmm_viterbi(phones, made.tree, made.model, costs, acoustic_cost)
                best = min(best, language + cost + scores.get(phones, np.inf))
    assert np.isfinite(best)
    assert reference.graph_viterbi(graph, made.model, acoustic_cost) == pytest.approx(best, abs=0.02)


def test_every_path_reads_words_and_whole_phones(toy, tmp_path):
    made = toy()
    make_hclg(made.lang_test, made.directory / "tree", made.directory / "final.mdl", tmp_path / "graph")
    graph = CsrGraph.load(tmp_path / "graph" / "graph.csr")
    assert graph.arc_ilabel.max() <= made.model.num_transition_ids
    rng = np.random.default_rng(0)
    for _ in range(30):
        state, tids = graph.start, []
        while not np.isfinite(graph.final_cost[state]):
            arc = rng.integers(graph.arc_begin[state], graph.arc_begin[state + 1])
            tids += [graph.arc_ilabel[arc]] if graph.arc_ilabel[arc] else []
            state = graph.arc_nextstate[arc]
        made.model.phone_segments(np.array(tids))  # raises where a phone is not whole


def test_command(toy, tmp_path, capsys):
    made = toy()
    assert main(["make-graph", str(made.lang_test), str(made.directory), str(tmp_path / "graph")]) == 0
    assert "HCLG.fst: made" in capsys.readouterr().err
    assert main(["make-graph", str(made.lang_test), str(made.directory), str(tmp_path / "graph")]) == 0
    assert "HCLG.fst: up to date" in capsys.readouterr().err
    oov = int((made.lang_test / "oov.int").read_text())
    assert main(["make-graph", "--remove-oov", "true", str(made.lang_test), str(made.directory), str(tmp_path / "graph")]) == 0
    assert oov not in CsrGraph.load(tmp_path / "graph" / "graph.csr").arc_olabel


def damage(lang: Path, model_dir: Path, what: str) -> None:
    def empty_grammar():
        CsrGraph.from_arcs(0, [], [], [], [], [], [0.0]).write_fst_file(lang / "G.fst", "vector")

    def silent_grammar():  # accepts only a word that the lexicon lacks
        word = SymbolTable.read(lang / "words.txt").id("<s>")
        CsrGraph.from_arcs(0, [0], [word], [word], [1], [0.5], [np.inf, 0]).write_fst_file(lang / "G.fst", "vector")

    def more_words():
        graph = CsrGraph.from_fst_file(lang / "G.fst")
        graph.arc_ilabel[0] = graph.arc_olabel[0] = 999
        graph.write_fst_file(lang / "G.fst", "vector")

    actions = {
        "no G": lambda: (lang / "G.fst").unlink(),
        "no L_disambig": lambda: (lang / "L_disambig.fst").unlink(),
        "no silence.csl": lambda: (lang / "phones" / "silence.csl").unlink(),
        "no tree": lambda: (model_dir / "tree").unlink(),
        "no model": lambda: (model_dir / "final.mdl").unlink(),
        "cut model": lambda: (model_dir / "final.mdl").write_bytes((model_dir / "final.mdl").read_bytes()[:500]),
        "cut tree": lambda: (model_dir / "tree").write_bytes((model_dir / "tree").read_bytes()[:50]),
        "tree is text": lambda: (model_dir / "tree").write_text("no tree at all"),
        "cut G": lambda: (lang / "G.fst").write_bytes((lang / "G.fst").read_bytes()[:-3]),
        "G is text": lambda: (lang / "G.fst").write_text("0 1 1 1\n1\n"),
        "L without disambig": lambda: shutil.copyfile(lang / "L.fst", lang / "L_disambig.fst"),
        "disambig is text": lambda: (lang / "phones" / "disambig.int").write_text("#0\n#1\n"),
        "empty G": empty_grammar,
        "silent G": silent_grammar,
        "more words": more_words,
    }
    actions[what]()


@pytest.mark.parametrize(
    "what, message",
    [
        ("no G", r"G\.fst: no such file; make it from an ARPA with utils/format_lm\.sh"),
        ("no L_disambig", r"L_disambig\.fst: no such file; make the lang directory"),
        ("no silence.csl", r"silence\.csl: no such file"),
        ("no tree", "tree: no such file; train the model first"),
        ("no model", r"final\.mdl: no such file; train the model first"),
        ("cut model", r"final\.mdl: .*truncated"),
        ("cut tree", "tree: "),
        ("tree is text", "tree: expected ContextDependency, found 'no'"),
        ("cut G", r"G\.fst: truncated"),
        ("G is text", r"G\.fst: not a binary OpenFst file"),
        ("L without disambig", r"L_disambig\.fst: no disambiguation symbols"),
        ("disambig is text", r"disambig\.int: expected integers"),
        ("empty G", r"G\.fst: it is empty"),
        ("silent G", "have no sentence in common"),
        ("more words", r"G\.fst: word 999 is not in words\.txt"),
    ],
)
def test_bad_input(toy, tmp_path, capsys, what, message):
    made = toy()
    lang, model_dir = Path(shutil.copytree(made.lang_test, tmp_path / "lang")), tmp_path / "model"
    model_dir.mkdir()
    for name in ("tree", "final.mdl"):
        shutil.copyfile(made.directory / name, model_dir / name)
    damage(lang, model_dir, what)
    with pytest.raises(AsrtoolError, match=message) as caught:
        make_hclg(lang, model_dir / "tree", model_dir / "final.mdl", tmp_path / "graph")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "graph" / "HCLG.fst").exists()
    capsys.readouterr()
    assert main(["make-graph", str(lang), str(model_dir), str(tmp_path / "graph")]) == 1
    said = [line for line in capsys.readouterr().err.splitlines() if ": step " not in line]
    assert len(said) == 1


def test_model_of_another_language(toy, tmp_path):
    made, other = toy(), toy(positions=False)
    with pytest.raises(AsrtoolError, match=r"phone .* has no model in .* different phone tables"):
        make_hclg(made.lang_test, other.directory / "tree", other.directory / "final.mdl", tmp_path / "graph")
    with pytest.raises(AsrtoolError, match="pdfs and the tree"):
        make_hclg(made.lang_test, toy(num_splits=19).directory / "tree", made.directory / "final.mdl", tmp_path / "graph")


def test_a_newer_model_makes_the_graph_again(toy, tmp_path):
    made = toy()
    for name in ("tree", "final.mdl"):
        shutil.copyfile(made.directory / name, tmp_path / name)
    arguments = (made.lang_test, tmp_path / "tree", tmp_path / "final.mdl", tmp_path / "graph")
    assert make_hclg(*arguments) and not make_hclg(*arguments)
    later = (tmp_path / "graph" / "HCLG.fst").stat().st_mtime + 10
    os.utime(tmp_path / "final.mdl", (later, later))
    assert make_hclg(*arguments)
    assert TransitionModel.read_file(tmp_path / "final.mdl").num_pdfs == made.model.num_pdfs
