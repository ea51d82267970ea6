"""H o CLG over arrays against OpenFst's composition."""

from dataclasses import replace

import numpy as np
import pytest
from kaldi_context import as_arrays, compose_context

from asrtool.errors import AsrtoolError
from asrtool.fst import openfst
from asrtool.fst.csr import CsrGraph
from asrtool.fst.minimize import minimize
from asrtool.graph.compose_h import compose_h, share_hmms
from asrtool.graph.h_transducer import h_transducer
from asrtool.graph.hmm_arrays import HmmArrays


def canonical(fst) -> tuple[int, list]:
    """States, and arcs in order, of the minimal deterministic FST, which is unique but for its numbers."""
    openfst.determinize(fst, "test")
    graph = minimize(openfst.from_openfst(fst))
    return graph.num_states, sorted(zip(graph.arc_ilabel.tolist(), graph.arc_olabel.tolist(), graph.arc_cost.tolist()))


@pytest.mark.parametrize(
    "settings", [{}, {"width": 1}, {"width": 2, "chain": True}, {"positions": False, "sil_prob": 0.0}], ids=str
)
def test_the_same_as_openfsts(toy, settings):
    made = toy(**settings)
    disambiguation = [int(line) for line in (made.lang_test / "phones" / "disambig.int").read_text().split()]
    lg = openfst.compose(*(openfst.read(made.lang_test / name) for name in ("L_disambig.fst", "G.fst")))
    openfst.determinize(lg, "test")
    clg, meanings = compose_context(disambiguation, made.tree.context_width, made.tree.central_position, lg)
    h_graph, _ = h_transducer(HmmArrays(made.tree, made.model), as_arrays(meanings, made.tree.context_width), 0.7)
    expected = canonical(openfst.compose(openfst.to_openfst(h_graph), clg))
    arrays = openfst.from_openfst(clg)
    for one in (replace(arrays), share_hmms(replace(arrays), h_graph)):
        found = canonical(openfst.to_openfst(compose_h(h_graph, one)))
        assert found[0] == expected[0] > 10 and len(found[1]) == len(expected[1])
        np.testing.assert_allclose(np.array(found[1]), np.array(expected[1]), atol=2e-3)


def test_by_hand():
    """A phone (label 1) of two states with a way back, a whole phone in one arc (2), and an epsilon of CLG."""
    h_graph = CsrGraph.from_arcs(
        0, [0, 0, 1, 2, 2], [5, 8, 6, 7, 9], [1, 2, 0, 0, 0], [1, 0, 2, 0, 1], [0.5, 1, 0.25, 0.125, 2], [0, np.inf, np.inf]
    )
    clg = CsrGraph.from_arcs(0, [0, 0, 1], [1, 2, 0], [11, 12, 13], [1, 1, 0], [4, 8, 16], [np.inf, 32])
    graph = compose_h(h_graph, clg)
    arcs = zip(graph.arc_source, graph.arc_ilabel, graph.arc_olabel, graph.arc_nextstate, graph.arc_cost)
    assert sorted(tuple(value.item() for value in arc) for arc in arcs) == [
        (0, 5, 11, 2, 4.5), (0, 8, 12, 1, 9.0), (1, 0, 13, 0, 16.0),
        (2, 6, 0, 3, 0.25), (3, 7, 0, 1, 0.125), (3, 9, 0, 2, 2.0),
    ]  # fmt: skip
    assert graph.final_cost.tolist() == [np.inf, 32, np.inf, np.inf]


def test_a_label_without_an_hmm():
    h_graph = CsrGraph.from_arcs(0, [0], [5], [1], [0], [0], [0])
    clg = CsrGraph.from_arcs(0, [0], [2], [1], [1], [0], [np.inf, 0])
    with pytest.raises(AsrtoolError, match=r"^no HMM for the phone in context 2: lang, tree and model do not fit$"):
        compose_h(h_graph, clg)
