"""HCLG against Kaldi's own for the same lang directory and model: equal costs of best paths over the whole graph, no beam."""

import gzip
import os
import shutil

import numpy as np
import pytest

from asrtool.fst.csr import CsrGraph
from asrtool.graph.hclg import make_hclg
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.kaldi_table import MatrixReader


class ExhaustiveViterbi:
    """Best path cost over all states, by numpy: slow and obvious."""

    def __init__(self, graph: CsrGraph, tid_to_pdf: np.ndarray) -> None:
        self.graph = graph
        source = graph.arc_source
        self.emitting = self._by_target(np.flatnonzero(graph.arc_ilabel > 0), source)
        self.epsilon = self._by_target(np.flatnonzero(graph.arc_ilabel == 0), source)
        self.pdf = tid_to_pdf[graph.arc_ilabel[self.emitting[0]]]

    def _by_target(self, arcs, source):
        arcs = arcs[np.argsort(self.graph.arc_nextstate[arcs], kind="stable")]
        targets, begin = np.unique(self.graph.arc_nextstate[arcs], return_index=True)
        return arcs, source[arcs], self.graph.arc_cost[arcs].astype(np.float64), targets, begin

    def _close(self, cost):
        _, source, arc_cost, targets, begin = self.epsilon
        while True:
            better = np.minimum(cost[targets], np.minimum.reduceat(cost[source] + arc_cost, begin))
            if np.array_equal(better, cost[targets]):
                return cost
            cost[targets] = better

    def __call__(self, acoustic_cost) -> float:
        cost = np.full(self.graph.num_states, np.inf)
        cost[self.graph.start] = 0
        cost = self._close(cost)
        _, source, arc_cost, targets, begin = self.emitting
        for frame in acoustic_cost:
            reached = np.full(self.graph.num_states, np.inf)
            reached[targets] = np.minimum.reduceat(cost[source] + arc_cost + frame[self.pdf], begin)
            cost = self._close(reached)
        return float((cost + self.graph.final_cost).min())


@pytest.fixture(scope="module")
def lang(kaldi_reference, tmp_path_factory):
    """A copy that may be written to (mkgraph keeps LG in lang/tmp)."""
    directory = tmp_path_factory.mktemp("hclg") / "lang"
    shutil.copytree(kaldi_reference / "lang", directory, copy_function=shutil.copyfile)
    for path in [directory, *directory.rglob("*")]:
        os.chmod(path, 0o755)
    return directory


@pytest.fixture(scope="module")
def graphs(kaldi_reference, lang):
    """(ours, Kaldi's, transition-id -> pdf) for the monophone model."""
    reference = kaldi_reference / "lattice"
    out = lang.parent / "graph"
    assert make_hclg(lang, reference / "tree", reference / "final.mdl", out)
    model = TransitionModel.read_file(reference / "final.mdl")
    assert (out / "num_pdfs").read_text() == f"{model.num_pdfs}\n"
    assert (out / "disambig_tid.int").read_text() == (reference / "disambig_tid.int").read_text()
    assert (out / "words.txt").read_bytes() == (reference / "words.txt").read_bytes()
    kaldis = CsrGraph.from_fst_file(reference / "HCLG.fst.gz")
    ours = CsrGraph.from_fst_file(out / "HCLG.fst")
    assert ours.num_arcs == pytest.approx(kaldis.num_arcs, rel=0.01)
    assert ours.num_states == pytest.approx(kaldis.num_states, rel=0.01)
    return [ExhaustiveViterbi(graph, model.tid_to_pdf) for graph in (ours, kaldis)], model


def test_real_speech(graphs, kaldi_reference):
    viterbis, _ = graphs
    loglikes = dict(MatrixReader(str(kaldi_reference / "lattice" / "loglikes.ark")).items())
    utterance = min(loglikes, key=lambda name: len(loglikes[name]))
    for length in (20, 70):
        ours, kaldis = (viterbi(-loglikes[utterance][:length].astype(np.float64) / 12) for viterbi in viterbis)
        assert np.isfinite(kaldis)
        assert ours == pytest.approx(kaldis, abs=0.02)


@pytest.mark.parametrize("seed", range(3))
def test_random_likelihoods(graphs, seed):
    viterbis, model = graphs
    acoustic_cost = np.random.default_rng(seed).gamma(1.0, 3.0, size=(25, model.num_pdfs))
    ours, kaldis = (viterbi(acoustic_cost) for viterbi in viterbis)
    assert np.isfinite(kaldis)
    assert ours == pytest.approx(kaldis, abs=0.02)


class Paths:
    """Random paths of a graph, and the cost that it gives to a pair of label sequences: slow and obvious."""

    def __init__(self, graph: CsrGraph) -> None:
        self.graph = graph
        self.arcs = list(zip(*(getattr(graph, f"arc_{name}").tolist() for name in ("ilabel", "olabel", "nextstate", "cost"))))
        self.begin, self.final = graph.arc_begin.tolist(), graph.final_cost.tolist()

    def random_path(self, random: np.random.Generator) -> tuple[list[int], list[int]]:
        """Transition-ids and words of a walk that takes each arc, or ends, as likely as the costs say."""
        state, labels = self.graph.start, ([], [])
        while True:
            arcs = self.arcs[self.begin[state] : self.begin[state + 1]]
            weights = np.exp(-np.array([self.final[state]] + [cost for *_, cost in arcs]))
            choice = random.choice(len(weights), p=weights / weights.sum())
            if choice == 0:
                return labels
            *one, state, _ = arcs[choice - 1]
            for sequence, label in zip(labels, one):
                sequence.extend([label] if label else [])

    def cost(self, tids: list[int], words: list[int]) -> float:
        """Of the best path with these labels, infinity where there is none."""
        found = {(self.graph.start, 0): 0.0}  # (state, words so far) -> cost
        for tid in [*tids, 0]:  # after the last one, epsilons only
            reached, stack = {}, list(found.items())
            while stack:
                (state, place), cost = stack.pop()
                if cost > found.get((state, place), np.inf):
                    continue
                for ilabel, olabel, nextstate, arc_cost in self.arcs[self.begin[state] : self.begin[state + 1]]:
                    if ilabel not in (0, tid) or (olabel and (place == len(words) or words[place] != olabel)):
                        continue
                    key, total = (nextstate, place + (olabel > 0)), cost + arc_cost
                    costs = reached if ilabel else found
                    if total < costs.get(key, np.inf):
                        costs[key] = total
                        if not ilabel:
                            stack.append((key, total))
            if tid:
                found = reached
        return min((cost + self.final[state] for (state, place), cost in found.items() if place == len(words)), default=np.inf)


@pytest.fixture(scope="module")
def paths(graphs):
    return [Paths(viterbi.graph) for viterbi in graphs[0]]


@pytest.mark.parametrize("source", [0, 1], ids=["ours", "Kaldi's"])
def test_random_paths_of_one_graph_cost_the_same_in_the_other(paths, source):
    """Costs are rounded to 1/1024 where states are united; so a path of n arcs may differ by some n / 1024."""
    random = np.random.default_rng(source)
    num_words = 0
    for _ in range(60):
        tids, words = paths[source].random_path(random)
        num_words += len(words)
        ours, kaldis = (graph.cost(tids, words) for graph in paths)
        assert np.isfinite(ours)
        assert ours == pytest.approx(kaldis, abs=1e-2), len(tids)
    assert num_words > 200


def test_what_one_graph_does_not_accept_the_other_does_not(paths):
    """Paths with a word exchanged, a frame doubled or a frame left out: accepted at the same cost, or by none."""
    random = np.random.default_rng(2)
    accepted = 0
    for number in range(60):
        tids, words = paths[number % 2].random_path(random)
        place = int(random.integers(len(tids)))
        if number % 3 == 0 and words:
            words[int(random.integers(len(words)))] = int(random.integers(1, 1741))
        elif number % 3 == 1:
            tids.insert(place, tids[place])
        else:
            del tids[place]
        ours, kaldis = (graph.cost(tids, words) for graph in paths)
        assert ours == kaldis or ours == pytest.approx(kaldis, abs=1e-2)
        accepted += ours < np.inf
    assert 5 < accepted < 55


def test_no_larger_than_kaldis(graphs, kaldi_reference, tmp_path):
    ours, kaldis = (viterbi.graph for viterbi in graphs[0])
    ours.write_fst_file(tmp_path / "HCLG.fst")
    with gzip.open(kaldi_reference / "lattice" / "HCLG.fst.gz") as file:
        kaldi_bytes = len(file.read())
    assert ours.num_states <= 1.03 * kaldis.num_states and ours.num_arcs <= 1.03 * kaldis.num_arcs
    assert (tmp_path / "HCLG.fst").stat().st_size <= 1.03 * kaldi_bytes


def test_made_once_and_again_when_something_changes(lang, kaldi_reference, tmp_path):
    directory = kaldi_reference / "gmm" / "chain_tree"
    arguments = (lang, directory / "tree", directory / "final.mdl", tmp_path / "graph")
    assert make_hclg(*arguments)
    first = (tmp_path / "graph" / "HCLG.fst").read_bytes()
    assert not make_hclg(*arguments)
    assert make_hclg(*arguments, self_loop_scale=1.0)
    assert (tmp_path / "graph" / "HCLG.fst").read_bytes() != first
    (tmp_path / "graph" / "HCLG.fst").unlink()  # as after a kill before the end
    assert make_hclg(*arguments)
    assert (tmp_path / "graph" / "HCLG.fst").read_bytes() == first
    saved, written = CsrGraph.load(tmp_path / "graph" / "graph.csr"), CsrGraph.from_fst_file(tmp_path / "graph" / "HCLG.fst")
    np.testing.assert_array_equal(saved.arc_cost, written.arc_cost)
    assert sorted(path.name for path in (tmp_path / "graph").iterdir()) == [
        "HCLG.fst", "disambig_tid.int", "graph.csr", "graph_opts", "num_pdfs", "phones", "phones.txt", "words.txt",
    ]  # fmt: skip
