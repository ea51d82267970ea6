"""Alignment against exhaustive Viterbi in float64; the random paths of the flat start."""

import numpy as np
import pytest

from asrtool.decoder.aligner import align, align_equally
from asrtool.fst.csr import CsrGraph


def random_graph(random, num_states, num_labels, epsilon_share=0.15) -> CsrGraph:
    """States in a line, each with a loop, an arc to the next, and some arcs to anywhere; epsilon arcs lead forward only."""
    arcs = []
    for state in range(num_states):
        arcs.append((state, random.integers(1, num_labels), state, random.uniform(0, 2)))
        if state + 1 < num_states:
            arcs.append((state, random.integers(1, num_labels), state + 1, random.uniform(0, 2)))
        for _ in range(2):
            destination = random.integers(0, num_states)
            label = 0 if destination > state and random.random() < epsilon_share * 2 else random.integers(1, num_labels)
            arcs.append((state, label, destination, random.uniform(0, 3)))
    final = np.where(random.random(num_states) < 0.2, random.uniform(0, 1, num_states), np.inf)
    final[-1] = 0.5
    source, label, destination, cost = (np.array(column) for column in zip(*arcs))
    return CsrGraph.from_arcs(0, source, label, np.zeros(len(arcs)), destination, cost, final)


def exhaustive(graph: CsrGraph, loglikes, tid_to_pdf, acoustic_scale) -> float:
    """The cheapest cost over all paths: every arc in every frame, epsilon arcs until nothing changes."""
    source = graph.arc_source
    cost = np.full(graph.num_states, np.inf)
    cost[graph.start] = 0

    def close(cost):
        for _ in range(graph.num_states):
            for arc in np.flatnonzero(graph.arc_ilabel == 0):
                destination = graph.arc_nextstate[arc]
                cost[destination] = min(cost[destination], cost[source[arc]] + float(graph.arc_cost[arc]))
        return cost

    cost = close(cost)
    for frame in loglikes.astype(np.float64):
        following = np.full(graph.num_states, np.inf)
        for arc in np.flatnonzero(graph.arc_ilabel > 0):
            total = cost[source[arc]] + float(graph.arc_cost[arc]) - acoustic_scale * frame[tid_to_pdf[graph.arc_ilabel[arc]]]
            following[graph.arc_nextstate[arc]] = min(following[graph.arc_nextstate[arc]], total)
        cost = close(following)
    return float((cost + graph.final_cost).min())


def path_cost(graph: CsrGraph, transition_ids, loglikes, tid_to_pdf, acoustic_scale) -> float:
    """The cheapest way to emit just these labels."""
    masked = np.full_like(loglikes, -1e4)
    for frame, tid in enumerate(transition_ids):
        masked[frame, tid_to_pdf[tid]] = loglikes[frame, tid_to_pdf[tid]]
    return exhaustive(graph, masked, tid_to_pdf, acoustic_scale)


@pytest.mark.parametrize("seed", range(6))
def test_equals_exhaustive_viterbi(seed):
    random = np.random.default_rng(seed)
    graph = random_graph(random, num_states=12, num_labels=9)
    tid_to_pdf = np.concatenate([[-1], np.arange(8)]).astype(np.int32)
    loglikes = random.normal(-50, 20, size=(15, 8)).astype(np.float32)
    result = align(graph, loglikes, tid_to_pdf, acoustic_scale=0.1, beam=500, retry_beam=0)
    expected = exhaustive(graph, loglikes, tid_to_pdf, 0.1)
    assert np.isclose(-0.1 * result.log_likelihood, expected, rtol=1e-9)
    assert len(result.transition_ids) == 15 and result.transition_ids.min() > 0
    assert np.isclose(path_cost(graph, result.transition_ids, loglikes, tid_to_pdf, 0.1), expected, rtol=1e-9)


def test_epsilon_paths_are_followed_at_both_ends():
    graph = CsrGraph.from_arcs(
        0, [0, 1, 2, 2, 3], [0, 1, 2, 0, 0], np.zeros(5), [1, 2, 2, 3, 4], [0.5, 0, 0, 0.25, 0.25], [np.inf] * 4 + [1.0]
    )
    result = align(graph, np.full((3, 2), -10.0, dtype=np.float32), np.array([-1, 0, 1], dtype=np.int32))
    assert result.transition_ids.tolist() == [1, 2, 2] and np.isclose(-0.1 * result.log_likelihood, 3 + 2)


def line_graph(num_states: int) -> CsrGraph:
    """Label 2s+1 leads on from state s, label 2s stays in it."""
    source, label, destination = [], [], []
    for state in range(num_states):
        source.append(state)
        label.append(2 * state + 1)
        destination.append(state + 1)
        if state:
            source.append(state)
            label.append(2 * state)
            destination.append(state)
    source.append(num_states)
    label.append(2 * num_states)
    destination.append(num_states)
    final = np.full(num_states + 1, np.inf)
    final[-1] = 0
    return CsrGraph.from_arcs(0, source, label, np.zeros(len(source)), destination, np.zeros(len(source)), final)


def test_retry_with_the_wider_beam_and_failure():
    graph = line_graph(3)
    tid_to_pdf = np.array([-1, 0, 0, 1, 1, 2, 2], dtype=np.int32)
    loglikes = np.zeros((8, 3), dtype=np.float32)
    loglikes[:, 1:] = -100  # all frames fit the first state, but the path must end in the last one
    narrow = align(graph, loglikes, tid_to_pdf, acoustic_scale=0.1, beam=3, retry_beam=60)
    assert narrow.retried and len(narrow.transition_ids) == 8
    assert align(graph, loglikes, tid_to_pdf, acoustic_scale=0.1, beam=3, retry_beam=0) is None
    assert not align(graph, loglikes, tid_to_pdf, acoustic_scale=0.1, beam=60, retry_beam=0).retried
    assert align(graph, loglikes[:2], tid_to_pdf, beam=60) is None, "two frames are too few for three states"
    assert align(graph, loglikes[:0], tid_to_pdf, beam=60) is None


def test_layout_of_the_log_likelihoods_does_not_matter():
    random = np.random.default_rng(9)
    graph = random_graph(random, 10, 7)
    tid_to_pdf = np.concatenate([[-1], np.arange(6)]).astype(np.int32)
    loglikes = random.normal(size=(20, 6)).astype(np.float32)
    one, two = align(graph, loglikes, tid_to_pdf), align(graph, np.asfortranarray(loglikes), tid_to_pdf)
    assert np.array_equal(one.transition_ids, two.transition_ids)


def test_equal_alignment_spreads_the_frames():
    graph = line_graph(4)
    path = align_equally(graph, 21, "utterance")
    assert path[0] == 1 and sorted(set(path.tolist())) == [1, 2, 3, 4, 5, 6, 7, 8]
    counts = np.bincount((path + 1) // 2)[1:]
    assert counts.sum() == 21
    loops = [int((path == 2 * state).sum()) for state in range(1, 5)]
    assert max(loops) - min(loops) <= 1 and sum(loops) == 17
    assert align_equally(graph, 3, "utterance") is None, "too short"
    assert align_equally(graph, 4, "utterance").tolist() == [1, 3, 5, 7]


def test_equal_alignment_depends_on_the_name_alone():
    random = np.random.default_rng(4)
    graph = random_graph(random, 12, 9, epsilon_share=0)
    paths = [align_equally(graph, 60, f"utterance{number}") for number in range(20)]
    assert np.array_equal(paths[3], align_equally(graph, 60, "utterance3"))
    assert len({path.tobytes() for path in paths}) > 10
