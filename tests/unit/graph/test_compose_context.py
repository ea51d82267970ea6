"""C o LG over arrays against kaldifst's fstcomposecontext."""

import kaldi_context
import numpy as np
import pytest

from asrtool.errors import AsrtoolError
from asrtool.fst import openfst
from asrtool.fst.csr import CsrGraph
from asrtool.fst.minimize import trim
from asrtool.graph.compose_context import compose_context

SYMBOLS = [5, 6]
CONTEXTS = [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2), (4, 1)]


def random_graph(seed: int, num_states: int = 14) -> CsrGraph:
    """Phones 1 to 4, symbols and epsilons; the output labels tell a state's arcs apart. Epsilons only lead forward."""
    random = np.random.default_rng(seed)
    source = np.sort(random.integers(0, num_states, 3 * num_states))
    nextstate = random.integers(0, num_states, len(source))
    ilabel = np.where(nextstate > source, random.choice([0, 1, 2, 3, 4, 5, 6], len(source)), random.integers(1, 5, len(source)))
    final = np.where(random.random(num_states) < 0.3, random.random(num_states), np.inf)
    final[-1] = 0.5
    return CsrGraph.from_arcs(0, source, ilabel, np.arange(1, len(source) + 1), nextstate, random.random(len(source)), final)


def arcs_of(graph: CsrGraph, meaning: dict[int, tuple], state: int) -> list[tuple]:
    """(meaning, output label, cost, next state), in order."""
    rows = range(graph.arc_begin[state], graph.arc_begin[state + 1])
    columns = (graph.arc_olabel, graph.arc_cost, graph.arc_nextstate)
    return sorted((meaning[int(graph.arc_ilabel[row])], *(column[row].item() for column in columns)) for row in rows)


def assert_same(one: CsrGraph, meaning_one: dict, two: CsrGraph, meaning_two: dict) -> None:
    """Goes through both at once: their states' numbers may differ, nothing else."""
    assert (one.num_states, one.num_arcs) == (two.num_states, two.num_arcs)
    partner, waiting = {one.start: two.start}, [one.start]
    while waiting:
        state = waiting.pop()
        assert one.final_cost[state] == two.final_cost[partner[state]]
        pairs = zip(arcs_of(one, meaning_one, state), arcs_of(two, meaning_two, partner[state]), strict=True)
        for ours, theirs in pairs:
            assert ours[:3] == theirs[:3]
            if ours[3] not in partner:
                partner[ours[3]] = theirs[3]
                waiting.append(ours[3])
            assert partner[ours[3]] == theirs[3]
    assert len(set(partner.values())) == one.num_states


@pytest.mark.parametrize(("width", "position"), CONTEXTS)
@pytest.mark.parametrize("seed", range(5))
def test_the_same_as_kaldifsts(width, position, seed):
    graph = random_graph(seed)
    theirs, lists = kaldi_context.compose_context(SYMBOLS, width, position, openfst.to_openfst(graph))
    theirs, meaning = trim(openfst.from_openfst(theirs)), dict(enumerate(map(tuple, lists)))
    ours, meanings = compose_context(graph, SYMBOLS, width, position)
    label_of = {tuple(window): label for label, window in zip(meanings.labels.tolist(), meanings.windows.tolist())}
    assert set(label_of) == {one for one in meaning.values() if len(one) > 1 or (one and one[0] > 0)}
    assert len(meanings.symbols) == sum(len(one) == 1 and one[0] <= 0 for one in meaning.values())
    mine = {label: window for window, label in label_of.items()} | {0: ()}
    there = sorted((one for one in meaning.values() if len(one) == 1 and one[0] <= 0), key=lambda one: (one[0] < 0, -one[0]))
    mine |= zip(meanings.symbols.tolist(), there)  # #-1, then the symbols
    assert ours.num_arcs > 5
    assert_same(ours, mine, theirs, meaning)


def test_by_hand():
    """Two phones, one after the other, as triphones: the first arc knows of no phone yet."""
    graph = CsrGraph.from_arcs(0, [0, 1], [1, 2], [7, 0], [1, 2], [0.5, 0.25], [np.inf, np.inf, 1])
    result, meanings = compose_context(graph, [], 3, 1)
    assert meanings.symbols.tolist() == [1]
    assert meanings.windows.tolist() == [[0, 1, 2], [1, 2, 0]] and meanings.labels.tolist() == [2, 3]
    assert result.arc_ilabel.tolist() == [1, 2, 3] and result.arc_olabel.tolist() == [7, 0, 0]
    assert result.arc_cost.tolist() == [0.5, 0.25, 1] and result.final_cost.tolist() == [np.inf, np.inf, np.inf, 0]


def test_nothing_and_too_much():
    empty = CsrGraph.from_arcs(-1, [], [], [], [], [], [])
    result, meanings = compose_context(empty, [3], 3, 1)
    assert result.num_states == len(meanings.labels) == len(meanings.symbols) == 0
    wide = CsrGraph.from_arcs(0, [0], [100_000], [1], [1], [0], [np.inf, 0])
    with pytest.raises(AsrtoolError, match="a context of 5 phones is too wide for 100001 phones"):
        compose_context(wide, [], 5, 2)
