"""Training graphs against enumeration of all pronunciations and silences, and bad input."""

import importlib.util
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph
from asrtool.graph.pronunciations import read_pronunciations
from asrtool.graph.training_graph import TrainingGraphCompiler, add_costs, add_transition_costs
from asrtool.hmm.transition_model import TransitionModel
from asrtool.tree.context_dependency import ContextDependency

spec = importlib.util.spec_from_file_location("graph_reference", Path(__file__).with_name("reference.py"))
reference = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reference)

SETTINGS = [
    {},
    {"positions": False, "sil_prob": 0.0},
    {"width": 1},
    {"width": 2, "positions": False},
    {"width": 2, "chain": True},
    {"silprob": True},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("text", ["", "a", "ba a", "cab", "ba ab a"])
def test_best_path_costs_what_enumeration_says(toy, settings, text):
    made = toy(**settings)
    compiler = TrainingGraphCompiler(made.lang, made.tree, made.model)
    graph = add_transition_costs(compiler.compile(text.split()), made.model, 0.8, 0.3)
    costs = made.model.scaled_costs(0.8, 0.3).astype(np.float64)
    seed = sum(text.encode())
    length = 19 if not settings.get("chain") else 9
    acoustic_cost = np.random.default_rng(seed).gamma(1.0, 2.0, size=(length, made.model.num_pdfs))
    expected = min(
        (
            cost + reference.hmm_viterbi(phones, made.tree, made.model, costs, acoustic_cost)
            for phones, cost in reference.phone_sequences(compiler.pronunciations, compiler.word_ids(text.split()))
        ),
        default=np.inf,
    )
    assert np.isfinite(expected) or (not text and settings.get("sil_prob") == 0.0)
    assert reference.graph_viterbi(graph, made.model, acoustic_cost) == pytest.approx(expected, rel=1e-5)


def test_words_are_on_the_paths(toy):
    made = toy()
    compiler = TrainingGraphCompiler(made.lang, made.tree, made.model)
    words = compiler.word_ids(["ab", "nonsense", "a"])
    assert words[1] == int((made.lang / "oov.int").read_text())
    graph = compiler.compile(["ab", "nonsense", "a"])
    rng = np.random.default_rng(0)
    for _ in range(50):
        state, path = graph.start, []
        while not np.isfinite(graph.final_cost[state]) or rng.random() < 0.5:
            arc = rng.integers(graph.arc_begin[state], graph.arc_begin[state + 1])
            path += [graph.arc_olabel[arc]] if graph.arc_olabel[arc] else []
            state = graph.arc_nextstate[arc]
        assert path == words
    assert np.all(graph.arc_ilabel > 0)
    again = compiler.compile(words)
    np.testing.assert_array_equal(again.arc_ilabel, graph.arc_ilabel)


def test_transition_costs_leave_the_graph_alone(toy):
    made = toy()
    graph = TrainingGraphCompiler(made.lang, made.tree, made.model).compile(["a"])
    before = graph.arc_cost.copy()
    costs = made.model.scaled_costs(1.0, 0.1)
    with_costs = add_costs(graph, costs)
    np.testing.assert_array_equal(graph.arc_cost, before)
    np.testing.assert_allclose(with_costs.arc_cost - before, costs[graph.arc_ilabel], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(with_costs.arc_cost, add_transition_costs(graph, made.model, 1.0, 0.1).arc_cost)


def test_pronunciations_of_l_fst(toy):
    made = toy(positions=False)
    prons = read_pronunciations(made.lang / "L.fst")
    symbols = dict(line.split() for line in (made.lang / "phones.txt").read_text().splitlines())
    words = dict(line.split() for line in (made.lang / "words.txt").read_text().splitlines())
    assert prons.silence_phone == int(symbols["SIL"])
    none_or_silence = pytest.approx((-np.log(0.7), -np.log(0.3)), rel=1e-5)
    assert tuple(prons.begin) == none_or_silence and tuple(prons.end) == (0.0, 0.0)
    ba = prons.of_word(int(words["ba"]))
    b, a = int(symbols["B"]), int(symbols["A"])  # Kaldi's lexiconp costs: the log of the probability itself
    assert {phones: enter for phones, enter, _ in ba} == {
        (b, a, b): pytest.approx((-np.log(0.4), -np.log(0.4)), rel=1e-5),
        (b, b): pytest.approx((-np.log(0.6), -np.log(0.6)), rel=1e-5),
    }
    assert [leave for _, _, leave in ba] == [none_or_silence, none_or_silence]
    assert prons.of_word(0) == [] and prons.of_word(10**6) == []


def test_silence_probabilities_of_l_fst(toy):
    prons = read_pronunciations(toy(silprob=True).lang / "L.fst")
    words = dict(line.split() for line in (toy(silprob=True).lang / "words.txt").read_text().splitlines())
    assert tuple(np.exp(-prons.begin)) == pytest.approx((0.2, 0.8)) and tuple(np.exp(-prons.end)) == pytest.approx((0.3, 1.6))
    found = {
        len(phones): (np.exp(-np.array(enter)), np.exp(-np.array(leave)))
        for phones, enter, leave in prons.of_word(int(words["ba"]))
    }
    enter, leave = found[3]  # the fifth entry of the lexicon: 0.6 0.4 1.2
    assert enter == pytest.approx((0.4 * 1.2, 0.4 * 0.4)) and leave == pytest.approx((0.4, 0.6))
    enter, leave = found[2]
    assert enter == pytest.approx((0.6, 0.6)) and leave == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda graph: replace(graph, start=int(np.flatnonzero(np.isfinite(graph.final_cost))[0])), "the start is not that of"),
        (lambda graph: replace(graph, arc_ilabel=graph.arc_ilabel + (graph.arc_source == 2)), "follows only one of them"),
        (
            lambda graph: replace(graph, arc_nextstate=np.where(graph.arc_nextstate == 2, 1, graph.arc_nextstate)),
            "the start is not",
        ),
    ],
)
def test_damaged_silence_probabilities_of_l_fst(toy, tmp_path, change, message):
    graph = CsrGraph.from_fst_file(toy(silprob=True).lang / "L.fst")
    change(graph).write_fst_file(tmp_path / "L.fst", "vector")
    with pytest.raises(AsrtoolError, match=message):
        read_pronunciations(tmp_path / "L.fst")


def copy_lang(made, tmp_path) -> Path:
    return Path(shutil.copytree(made.lang, tmp_path / "lang"))


def test_lang_that_does_not_fit(toy, tmp_path):
    made, other = toy(), toy(positions=False)
    with pytest.raises(AsrtoolError, match=r"phone SPN_S has no model .* different phone tables"):
        TrainingGraphCompiler(made.lang, other.tree, other.model)
    lang = copy_lang(made, tmp_path)
    (lang / "oov.int").unlink()
    with pytest.raises(AsrtoolError, match=r"oov\.int: no such file"):
        TrainingGraphCompiler(lang, made.tree, made.model)
    (lang / "oov.int").write_text("<UNK>\n")
    with pytest.raises(AsrtoolError, match=r"oov\.int: expected one word id"):
        TrainingGraphCompiler(lang, made.tree, made.model)
    (lang / "L.fst").unlink()
    with pytest.raises(AsrtoolError, match=r"L\.fst: no such file"):
        TrainingGraphCompiler(lang, made.tree, made.model)


def test_tree_of_another_model(toy):
    made, other = toy(), toy(num_splits=19)
    with pytest.raises(AsrtoolError, match=r"has \d+ pdfs and the tree \d+: use the tree that the model was trained with"):
        TrainingGraphCompiler(made.lang, other.tree, made.model)
    shuffled = toy(num_splits=20, width=2)
    assert shuffled.tree.num_pdfs == made.tree.num_pdfs  # the numbers agree, the trees do not
    compiler = TrainingGraphCompiler(made.lang, shuffled.tree, made.model)
    with pytest.raises(AsrtoolError, match=r"no state for the phones .* use the tree"):
        for word in ("ab", "ba", "cab", "a"):
            compiler.compile([word])


def test_wide_context(toy):
    made = toy()
    wide = ContextDependency(5, 2, made.tree.to_pdf)
    with pytest.raises(AsrtoolError, match="a context of 5 phones"):
        TrainingGraphCompiler(made.lang, wide, made.model)


def test_word_without_pronunciation(toy):
    made = toy()
    compiler = TrainingGraphCompiler(made.lang, made.tree, made.model)
    with pytest.raises(AsrtoolError, match="the word '<s>' has no pronunciation"):
        compiler.compile(["a", "<s>"])


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda graph: replace(graph, final_cost=np.zeros_like(graph.final_cost)), "final states, expected those"),
        (lambda graph: replace(graph, start=int(graph.num_states - 1)), "the start is not that of make_lexicon_fst"),
        (lambda graph: replace(graph, arc_olabel=np.zeros_like(graph.arc_olabel)), "phones without a word"),
        (lambda graph: replace(graph, arc_cost=graph.arc_cost * np.arange(graph.num_arcs)), "its silence is not as probable as"),
    ],
)
def test_other_layouts_of_l_fst(toy, tmp_path, change, message):
    graph = CsrGraph.from_fst_file(toy().lang / "L.fst")
    change(graph).write_fst_file(tmp_path / "L.fst", "vector")
    with pytest.raises(AsrtoolError, match=message):
        read_pronunciations(tmp_path / "L.fst")


def test_model_file_cut_short(toy, tmp_path):
    data = (toy().directory / "final.mdl").read_bytes()
    for length in (0, 30, len(data) // 2, len(data) - 4):
        (tmp_path / "final.mdl").write_bytes(data[:length])
        with pytest.raises(AsrtoolError, match=r"final\.mdl: ") as caught:
            TransitionModel.read_file(tmp_path / "final.mdl")
        assert "\n" not in str(caught.value)
