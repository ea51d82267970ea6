"""The beam search against a Viterbi search over all states, and at the edges."""

import numpy as np
import pytest

from asrtool.decoder.beam_search import BeamSearchDecoder, BeamSearchOptions
from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph

TID_TO_PDF = np.array([-1, 0, 0, 1, 1, 2, 3, 3, 4, 5], np.int32)
WIDE = BeamSearchOptions(beam=1e4, lattice_beam=5, max_active=10**6, acoustic_scale=0.7)


def loglikes_of(random, num_frames):
    return random.normal(-2, 2, (num_frames, 6)).astype(np.float32)


def total(result, scale):
    return result.graph_cost + scale * result.acoustic_cost


@pytest.mark.parametrize("seed", range(25))
def test_equals_exhaustive_viterbi(slow, seed):
    random = np.random.default_rng(seed)
    graph = slow.random_graph(random, num_epsilons=seed)
    loglikes = loglikes_of(random, 1 + seed)
    cost, words, tids = slow.viterbi(graph, TID_TO_PDF, loglikes, 0.7)
    result = BeamSearchDecoder(graph, TID_TO_PDF, WIDE).decode(loglikes)
    assert result.reached_final == (cost < np.inf)
    if result.reached_final:
        assert total(result, 0.7) == pytest.approx(cost, abs=1e-4)
        assert tuple(result.words) == words and tuple(result.transition_ids) == tids


def test_word_penalty_counts_in_the_search_but_not_in_the_costs(slow):
    random = np.random.default_rng(3)
    graph, loglikes = slow.random_graph(random), loglikes_of(random, 12)
    cost, words, _ = slow.viterbi(graph, TID_TO_PDF, loglikes, 0.7, word_penalty=1.5)
    result = BeamSearchDecoder(graph, TID_TO_PDF, BeamSearchOptions(1e4, 5, 10**6, 0, 0.7, 1.5)).decode(loglikes)
    assert tuple(result.words) == words
    assert total(result, 0.7) + 1.5 * len(words) == pytest.approx(cost, abs=1e-4)


def test_long_utterances_drop_dead_tokens_and_stay_exact(slow):
    random = np.random.default_rng(5)
    graph = slow.random_graph(random, num_states=300, num_arcs=900, num_epsilons=60)
    loglikes = loglikes_of(random, 900)  # 270,000 tokens, twice the first capacity
    source = np.repeat(np.arange(300), np.diff(graph.arc_begin))
    emitting, epsilon = np.flatnonzero(graph.arc_ilabel), np.flatnonzero(graph.arc_ilabel == 0)
    cost = np.full(300, np.inf)
    cost[0] = 0

    def close():
        for _ in range(60):
            np.minimum.at(cost, graph.arc_nextstate[epsilon], cost[source[epsilon]] + graph.arc_cost[epsilon])

    close()
    for frame in loglikes:
        before = cost[source[emitting]] + graph.arc_cost[emitting] - 0.7 * frame[TID_TO_PDF[graph.arc_ilabel[emitting]]]
        cost[:] = np.inf
        np.minimum.at(cost, graph.arc_nextstate[emitting], before)
        close()
    result = BeamSearchDecoder(graph, TID_TO_PDF, WIDE).decode(loglikes)
    assert total(result, 0.7) == pytest.approx((cost + graph.final_cost).min(), abs=1e-2)
    assert len(result.transition_ids) == 900


def test_epsilon_fan_that_outgrows_the_first_arrays():
    width = 200_000
    sources, targets = [0] * width, list(range(1, width + 1))
    costs = np.linspace(2, 1, width)
    graph = CsrGraph.from_arcs(
        0,
        [*sources, width],
        [0] * width + [1],
        [*range(1, width + 1), 0],
        [*targets, width],
        [*costs, 0.0],
        [np.inf] * width + [0.0],
    )
    decoder = BeamSearchDecoder(graph, TID_TO_PDF, BeamSearchOptions(10, 8, 10**6))
    result = decoder.decode(np.zeros((3, 6), np.float32))
    assert list(result.words) == [width] and result.graph_cost == pytest.approx(1.0)
    lattice = decoder.decode_lattice(np.zeros((3, 6), np.float32))
    assert lattice.num_arcs == 4  # only the arc that can reach the end is left


def test_no_frames(slow):
    random = np.random.default_rng(1)
    graph = slow.random_graph(random, num_final=12)
    result = BeamSearchDecoder(graph, TID_TO_PDF, WIDE).decode(np.zeros((0, 6), np.float32))
    cost, words, _ = slow.viterbi(graph, TID_TO_PDF, np.zeros((0, 6)), 0.7)
    assert tuple(result.words) == words and total(result, 0.7) == pytest.approx(cost, abs=1e-5)


def test_without_a_final_state_the_best_other_path_is_given_and_flagged():
    # 0 -> 1 -> 2(final) takes two frames; of one frame only 0 -> 1 is possible
    graph = CsrGraph.from_arcs(0, [0, 1], [1, 3], [7, 8], [1, 2], [0.5, 0.5], [np.inf, np.inf, 0.0])
    decoder = BeamSearchDecoder(graph, TID_TO_PDF, WIDE)
    result = decoder.decode(np.full((1, 6), -1, np.float32))
    assert not result.reached_final and list(result.words) == [7] and result.graph_cost == 0.5
    lattice = decoder.decode_lattice(np.full((1, 6), -1, np.float32))
    assert not lattice.reached_final and lattice.final_cost[-1] == 0
    assert decoder.decode(np.full((2, 6), -1, np.float32)).reached_final


def test_the_search_dies_with_a_message_where_the_graph_ends():
    graph = CsrGraph.from_arcs(0, [0, 1], [1, 3], [7, 8], [1, 2], [0.5, 0.5], [np.inf, np.inf, 0.0])
    with pytest.raises(AsrtoolError, match="no path survives frame 2: "):
        BeamSearchDecoder(graph, TID_TO_PDF, WIDE).decode(np.zeros((5, 6), np.float32))


def test_minus_infinity_is_a_forbidden_pdf_and_all_forbidden_is_an_error(slow):
    random = np.random.default_rng(8)
    graph, loglikes = slow.random_graph(random), loglikes_of(random, 6)
    loglikes[:, 2] = -np.inf
    cost, _, tids = slow.viterbi(graph, TID_TO_PDF, loglikes, 0.7)
    result = BeamSearchDecoder(graph, TID_TO_PDF, WIDE).decode(loglikes)
    assert total(result, 0.7) == pytest.approx(cost, abs=1e-4) and tuple(result.transition_ids) == tids
    with pytest.raises(AsrtoolError, match="no path survives frame 0"):
        BeamSearchDecoder(graph, TID_TO_PDF, WIDE).decode(np.full((2, 6), -np.inf, np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_bad_loglikes(slow, value):
    random = np.random.default_rng(0)
    decoder = BeamSearchDecoder(slow.random_graph(random), TID_TO_PDF, WIDE)
    loglikes = loglikes_of(random, 4)
    loglikes[2, 1] = value
    with pytest.raises(AsrtoolError, match="NaN or infinite log-likelihoods at frame 2"):
        decoder.decode(loglikes)
    with pytest.raises(AsrtoolError, match="of 5 pdfs, the graph needs 6"):
        decoder.decode_lattice(np.zeros((3, 5), np.float32))


def test_graphs_that_cannot_be_searched(slow):
    graph = slow.random_graph(np.random.default_rng(0))
    with pytest.raises(AsrtoolError, match="belongs to another model"):
        BeamSearchDecoder(graph, TID_TO_PDF[:5])
    empty = CsrGraph.from_arcs(-1, [], [], [], [], [], [])
    with pytest.raises(AsrtoolError, match="no start state"):
        BeamSearchDecoder(empty, TID_TO_PDF)
    cycle = CsrGraph.from_arcs(0, [0, 1, 2], [0, 0, 0], [0, 0, 0], [1, 2, 1], [0, 1, 1], [0, 0, 0])
    with pytest.raises(AsrtoolError, match="cycle of epsilon arcs through state 1"):
        BeamSearchDecoder(cycle, TID_TO_PDF)
    loop = CsrGraph.from_arcs(0, [0], [0], [0], [0], [0], [0])
    with pytest.raises(AsrtoolError, match="cycle of epsilon arcs through state 0"):
        BeamSearchDecoder(loop, TID_TO_PDF)


@pytest.mark.parametrize(
    "settings", [{"beam": 0}, {"lattice_beam": -1}, {"acoustic_scale": 0}, {"max_active": 1}, {"min_active": -1}]
)
def test_options_out_of_range(settings):
    with pytest.raises(ValueError, match="must be"):
        BeamSearchOptions(**settings)


def test_narrow_searches_are_never_better_and_min_active_widens(slow):
    random = np.random.default_rng(11)
    graph = slow.random_graph(random, num_states=40, num_arcs=160, num_final=40)
    loglikes = loglikes_of(random, 30)
    exact, _, _ = slow.viterbi(graph, TID_TO_PDF, loglikes, 0.7)
    costs = []
    for max_active in (2, 5, 10, 40):
        options = BeamSearchOptions(1e4, 5, max_active, 0, 0.7)
        costs.append(total(BeamSearchDecoder(graph, TID_TO_PDF, options).decode(loglikes), 0.7))
    assert all(cost >= exact - 1e-4 for cost in costs) and costs[-1] == pytest.approx(exact, abs=1e-3)
    assert costs[0] > exact + 1e-3
    narrow = total(BeamSearchDecoder(graph, TID_TO_PDF, BeamSearchOptions(0.01, 5, 1000, 0, 0.7)).decode(loglikes), 0.7)
    widened = total(BeamSearchDecoder(graph, TID_TO_PDF, BeamSearchOptions(0.01, 5, 1000, 40, 0.7)).decode(loglikes), 0.7)
    assert narrow > exact + 1e-3 and widened == pytest.approx(exact, abs=1e-3)


def test_threads_do_not_change_results(slow):
    random = np.random.default_rng(2)
    graph = slow.random_graph(random, num_states=60, num_arcs=300)
    items = [(f"u{n}", loglikes_of(random, 5 + 7 * n % 40)) for n in range(20)]
    items[4] = ("u4", np.full((3, 6), np.nan, np.float32))
    decoder = BeamSearchDecoder(graph, TID_TO_PDF, BeamSearchOptions(8, 5, 30, 5, 0.7))
    one, three = (list(decoder.decode_batch(items, n)) for n in (1, 3))
    assert [name for name, _ in three] == [name for name, _ in items]
    assert isinstance(one[4][1], AsrtoolError) and isinstance(three[4][1], AsrtoolError)
    for (_, a), (_, b) in zip(one[:4] + one[5:], three[:4] + three[5:]):
        assert a.graph_cost == b.graph_cost and np.array_equal(a.transition_ids, b.transition_ids)
    lattices = [dict(decoder.decode_batch(items[:4], n, lattice=True)) for n in (1, 3)]
    assert all(np.array_equal(lattices[0][n].arc_end, lattices[1][n].arc_end) for n in lattices[0])
