"""Weight pushing and local epsilon removal: no path changes its cost or labels."""

import itertools

import kaldifst
import numpy as np
import pytest

from asrtool.errors import AsrtoolError
from asrtool.fst import openfst
from asrtool.fst.csr import CsrGraph
from asrtool.fst.push import push_special
from asrtool.fst.remove_epsilons import remove_epsilons_local


def random_acyclic(seed: int, num_states: int = 12, num_arcs: int = 30, labels: int = 3) -> CsrGraph:
    """Arcs lead to higher states; many labels are epsilons; every state is on a path."""
    rng = np.random.default_rng(seed)
    source = np.concatenate([np.arange(num_states - 1), rng.integers(0, num_states - 1, num_arcs)])
    span = num_states - 1 - source
    nextstate = source + 1 + (rng.random(len(source)) * span).astype(int)
    nextstate[: num_states - 1] = np.arange(1, num_states)
    ilabel, olabel = rng.integers(0, labels, (2, len(source)))
    final = np.where(rng.random(num_states) < 0.2, rng.random(num_states), np.inf)
    final[-1] = 0.5
    return CsrGraph.from_arcs(0, source, ilabel, olabel, nextstate, rng.random(len(source)) * 3, final)


def paths(graph: CsrGraph) -> dict[tuple, float]:
    """(input labels, output labels) -> -log of the sum over paths, by walking all of them."""
    total: dict[tuple, float] = {}
    stack = [(graph.start, (), (), 0.0)]
    while stack:
        state, ins, outs, cost = stack.pop()
        if np.isfinite(graph.final_cost[state]):
            key = (ins, outs)
            total[key] = -np.logaddexp(-total.get(key, np.inf), -(cost + float(graph.final_cost[state])))
        for arc in range(graph.arc_begin[state], graph.arc_begin[state + 1]):
            ilabel, olabel = int(graph.arc_ilabel[arc]), int(graph.arc_olabel[arc])
            stack.append(
                (
                    int(graph.arc_nextstate[arc]),
                    ins + (ilabel,) * (ilabel > 0),
                    outs + (olabel,) * (olabel > 0),
                    cost + float(graph.arc_cost[arc]),
                )
            )
    return total


def best_paths(graph: CsrGraph) -> dict[tuple, float]:
    """The same with the best path instead of the sum."""
    best: dict[tuple, float] = {}
    stack = [(graph.start, (), (), 0.0)]
    while stack:
        state, ins, outs, cost = stack.pop()
        key = (ins, outs)
        best[key] = min(best.get(key, np.inf), cost + float(graph.final_cost[state]))
        for arc in range(graph.arc_begin[state], graph.arc_begin[state + 1]):
            ilabel, olabel = int(graph.arc_ilabel[arc]), int(graph.arc_olabel[arc])
            step = (ins + (ilabel,) * (ilabel > 0), outs + (olabel,) * (olabel > 0))
            stack.append((int(graph.arc_nextstate[arc]), *step, cost + float(graph.arc_cost[arc])))
    return {key: cost for key, cost in best.items() if np.isfinite(cost)}


@pytest.mark.parametrize("seed", range(25))
def test_epsilon_removal_keeps_every_path(seed):
    graph = random_acyclic(seed, labels=2 if seed % 2 else 3)
    removed = remove_epsilons_local(graph)
    expected, found = best_paths(graph), best_paths(removed)
    assert set(found) == set(expected)
    np.testing.assert_allclose([found[key] for key in expected], list(expected.values()), atol=1e-4)


def test_epsilon_removal_removes():
    chain = CsrGraph.from_arcs(0, [0, 1, 2], [5, 0, 0], [0, 7, 0], [1, 2, 3], [1, 2, 3], [np.inf, np.inf, np.inf, 0.5])
    removed = remove_epsilons_local(chain)
    assert (removed.arc_ilabel.tolist(), removed.arc_olabel.tolist(), removed.arc_cost.tolist()) == ([5], [7], [6.0])
    assert removed.final_cost[removed.arc_nextstate[0]] == 0.5
    loop = CsrGraph.from_arcs(0, [0, 0], [0, 4], [0, 0], [0, 1], [1, 2], [np.inf, 0])
    assert remove_epsilons_local(loop).num_arcs == 2  # an epsilon self-loop is left alone


def test_epsilon_removal_keeps_states_stochastic():
    arcs = [(0, 0, 0, 1, 0.5), (0, 3, 3, 2, 0.5), (1, 4, 4, 2, 0.25), (1, 0, 0, 3, 0.75), (3, 5, 5, 2, 1.0)]
    source, ilabel, olabel, nextstate, prob = zip(*arcs)
    graph = CsrGraph.from_arcs(0, source, ilabel, olabel, nextstate, -np.log(prob), [np.inf, np.inf, 0, np.inf])
    removed = remove_epsilons_local(graph)
    sums = np.bincount(removed.arc_source, np.exp(-removed.arc_cost), minlength=4)
    left = np.unique(removed.arc_source)
    np.testing.assert_allclose(sums[left], 1, atol=1e-5)
    assert removed.num_arcs < graph.num_arcs


@pytest.mark.parametrize("seed", range(5))
def test_pushing_keeps_paths_and_makes_sums_even(seed):
    graph = random_acyclic(seed)
    pushed = push_special(graph)
    expected, found = paths(graph), paths(pushed)
    assert set(found) == set(expected)
    np.testing.assert_allclose([found[key] for key in expected], list(expected.values()), atol=1e-4)
    sums = np.bincount(pushed.arc_source, np.exp(-pushed.arc_cost), minlength=pushed.num_states) + np.exp(-pushed.final_cost)
    np.testing.assert_allclose(sums, sums[0], rtol=2e-3)


def test_composition_and_determinization_keep_paths():
    left, right = (random_acyclic(seed, num_states=6, num_arcs=6) for seed in (1, 2))
    composed = openfst.from_openfst(openfst.compose(openfst.to_openfst(left), openfst.to_openfst(right)))
    expected: dict[tuple, float] = {}
    for ((ins, middle), one), ((middle2, outs), two) in itertools.product(best_paths(left).items(), best_paths(right).items()):
        if middle == middle2:
            expected[(ins, outs)] = min(expected.get((ins, outs), np.inf), one + two)
    found = best_paths(composed)
    assert set(found) == set(expected) and expected
    np.testing.assert_allclose([found[key] for key in expected], list(expected.values()), atol=1e-4)


def test_files_that_openfst_dislikes(tmp_path, capfd):
    (tmp_path / "x.fst").write_bytes(b"0 1 1 1\n")
    with pytest.raises(AsrtoolError, match="not a binary OpenFst file"):
        openfst.read(tmp_path / "x.fst")
    with pytest.raises(AsrtoolError, match="no such file"):
        openfst.read(tmp_path / "y.fst")
    kaldifst.StdVectorFst().write(str(tmp_path / "empty.fst"))
    assert openfst.read(tmp_path / "empty.fst").num_states == 0
