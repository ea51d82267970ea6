"""Minimisation against kaldifst's, against a slow partition refinement, and what trimming leaves."""

import kaldifst
import numpy as np
import pytest

from asrtool.fst import openfst
from asrtool.fst.csr import CsrGraph
from asrtool.fst.minimize import minimize, trim


def random_graph(seed: int, num_states: int = 40, num_arcs: int = 90, copies: int = 3) -> CsrGraph:
    """Deterministic arcs of few labels and costs; each state stands there `copies` times, so that there is much to unite."""
    rng = np.random.default_rng(seed)
    kept = {(int(rng.integers(num_states)), int(label)): int(rng.integers(num_states)) for label in rng.integers(1, 6, num_arcs)}
    rows = []
    for (source, label), target in kept.items():
        cost = rng.integers(3) / 4
        rows += [
            (source * copies + i, label, label % 3, target * copies + int(rng.integers(copies)), cost) for i in range(copies)
        ]
    final = np.repeat(np.where(rng.random(num_states) < 0.2, 0.5, np.inf), copies)
    return CsrGraph.from_arcs(0, *zip(*rows), final)


def sizes_by_refinement(graph: CsrGraph) -> tuple[int, int]:
    """(states, arcs) of the minimal graph, by splitting classes of useful states until nothing changes."""
    graph = trim(graph)
    arcs = [[] for _ in range(graph.num_states)]
    columns = (graph.arc_source, graph.arc_ilabel, graph.arc_olabel, graph.arc_cost, graph.arc_nextstate)
    for source, ilabel, olabel, cost, nextstate in zip(*(column.tolist() for column in columns)):
        arcs[source].append((ilabel, olabel, cost, nextstate))
    which = [0] * graph.num_states
    while True:
        seen: dict = {}
        new = []
        for state, out in enumerate(arcs):
            key = (float(graph.final_cost[state]), tuple(sorted((*arc[:3], which[arc[3]]) for arc in out)))
            new.append(seen.setdefault(key, len(seen)))
        if len(seen) == len(set(which)):
            return len(seen), sum(len(arcs[new.index(number)]) for number in range(len(seen)))
        which = new


def costs_of_strings(graph: CsrGraph, length: int) -> dict:
    """The costs of all accepted strings of (input, output) labels up to a length."""
    found = {}
    paths = {((), graph.start): 0.0}
    for _ in range(length + 1):
        following = {}
        for (string, state), cost in paths.items():
            if graph.final_cost[state] < np.inf:
                found[string] = cost + float(graph.final_cost[state])
            for arc in range(graph.arc_begin[state], graph.arc_begin[state + 1]):
                labels = int(graph.arc_ilabel[arc]), int(graph.arc_olabel[arc])
                key = ((*string, labels), int(graph.arc_nextstate[arc]))
                following[key] = cost + float(graph.arc_cost[arc])
        paths = following
    return found


@pytest.mark.parametrize("seed", range(8))
def test_same_sizes_and_strings_as_openfst(seed):
    graph = random_graph(seed)
    fst = openfst.to_openfst(graph)
    kaldifst.minimize_encoded(fst)
    theirs = openfst.from_openfst(fst)
    expected = costs_of_strings(graph, 7)
    assert sizes_by_refinement(graph) == (theirs.num_states, theirs.num_arcs)
    ours = minimize(graph)
    assert (ours.num_states, ours.num_arcs) == (theirs.num_states, theirs.num_arcs)
    assert ours.num_states < 90 and len(expected) > 1
    assert costs_of_strings(ours, 7) == pytest.approx(expected)
    assert costs_of_strings(ours, 7) == costs_of_strings(theirs, 7)


def test_costs_are_rounded():
    ours = minimize(CsrGraph.from_arcs(0, [0, 0], [1, 2], [0, 0], [1, 2], [0.50041, 0.5], [np.inf, 0.0001, -0.0001]))
    assert (ours.num_states, ours.arc_cost.tolist(), ours.final_cost.tolist()) == (2, [0.5, 0.5], [np.inf, 0.0])


def test_long_chains_that_differ_at_their_ends():
    """As many rounds as there are arcs to the difference."""
    length = 50
    chains = [(1 + i * length + j, 1 + i * length + j + 1) for i in range(2) for j in range(length - 1)]
    arcs = [(0, 1), (0, 1 + length), *chains]
    source, nextstate = zip(*arcs)
    labels = [1, 2, *[3] * len(chains)]
    for last, expected in ((0.0, 1 + length), (1.0, 1 + 2 * length)):
        final = np.full(1 + 2 * length, np.inf)
        final[[length, 2 * length]] = 0.0, last
        assert (
            minimize(CsrGraph.from_arcs(0, source, labels, labels, nextstate, np.zeros(len(arcs)), final)).num_states == expected
        )


def test_trim():
    graph = CsrGraph.from_arcs(1, [1, 1, 2, 0, 3], [1, 2, 3, 4, 5], [0] * 5, [2, 3, 4, 2, 3], [0.5] * 5, [np.inf] * 4 + [0.0])
    ours = trim(graph)  # 0 cannot be reached, 3 leads nowhere
    assert (ours.start, ours.num_states, ours.arc_ilabel.tolist(), ours.arc_nextstate.tolist()) == (0, 3, [1, 3], [1, 2])
    for nothing in (CsrGraph.from_arcs(-1, [], [], [], [], [], []), CsrGraph.from_arcs(0, [0], [1], [1], [0], [0.0], [np.inf])):
        assert (minimize(nothing).start, minimize(nothing).num_states) == (-1, 0)
