"""HCLG against Kaldi's own for the same lang directory and model: equal costs of best paths over the whole graph, no beam."""

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
