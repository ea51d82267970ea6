"""Lattices of the decoder against all paths of small graphs."""

import numpy as np
import pytest

from asrtool.decoder.beam_search import BeamSearchDecoder, BeamSearchOptions
from asrtool.lattice.lattice import best_path

TID_TO_PDF = np.array([-1, 0, 0, 1, 1, 2, 3, 3, 4, 5], np.int32)
SCALE = 0.7


def paths_of(lattice):
    """Every complete path of a lattice: (graph cost, acoustic cost, words, transition-ids, arcs)."""
    paths = []

    def walk(state, graph, acoustic, words, tids, arcs):
        if lattice.final_cost[state] < np.inf:
            paths.append((graph + float(lattice.final_cost[state]), acoustic, words, tids, arcs))
        for arc in np.flatnonzero(lattice.arc_start == state):
            word, tid = int(lattice.arc_word[arc]), int(lattice.arc_transition_id[arc])
            costs = graph + float(lattice.arc_graph_cost[arc]), acoustic + float(lattice.arc_acoustic_cost[arc])
            walk(lattice.arc_end[arc], *costs, words + (word,) * (word != 0), tids + (tid,) * (tid != 0), (*arcs, arc))

    walk(0, 0.0, 0.0, (), (), ())
    return paths


def make(slow, seed, num_frames=4, lattice_beam=3.0):
    random = np.random.default_rng(seed)
    graph = slow.random_graph(random, num_states=6, num_arcs=9, num_epsilons=4, num_final=4)
    loglikes = random.normal(-2, 2, (num_frames, 6)).astype(np.float32)
    decoder = BeamSearchDecoder(graph, TID_TO_PDF, BeamSearchOptions(1e4, lattice_beam, 10**6, 0, SCALE))
    return graph, loglikes, decoder


@pytest.mark.parametrize("seed", range(12))
def test_lattice_holds_the_paths_within_the_beam(slow, seed):
    graph, loglikes, decoder = make(slow, seed)
    expected = slow.all_paths(graph, TID_TO_PDF, loglikes, SCALE)
    if not expected:
        pytest.skip("this graph has no complete path")
    lattice = decoder.decode_lattice(loglikes)
    paths = paths_of(lattice)
    best = expected[0][0]
    inside = sorted((words, tids, round(cost, 3)) for cost, words, tids, _ in expected if cost < best + 3.0 - 1e-3)
    found = sorted((words, tids, round(graph + SCALE * acoustic, 3)) for graph, acoustic, words, tids, _ in paths)
    for words, tids, cost in inside:
        assert any(w == words and t == tids and abs(c - cost) < 0.003 for w, t, c in found)
    used = {}
    for graph_cost, acoustic, _, tids, arcs in paths:
        assert len(tids) == len(loglikes)
        for arc in arcs:
            used[arc] = min(used.get(arc, np.inf), graph_cost + SCALE * acoustic)
    assert len(used) == lattice.num_arcs, "every arc is on a path"
    assert max(used.values()) < best + 3.0 + 1e-3, "every arc is on a path within the lattice beam"
    assert (lattice.arc_start < lattice.arc_end).all() and (np.diff(lattice.arc_start) >= 0).all()
    assert (np.diff(lattice.state_frame) >= 0).all()
    step = lattice.state_frame[lattice.arc_end] - lattice.state_frame[lattice.arc_start]
    assert np.array_equal(step, (lattice.arc_transition_id != 0).astype(np.int32))


@pytest.mark.parametrize("seed", range(12))
def test_rescaled_best_paths_equal_enumeration(slow, seed):
    _, loglikes, decoder = make(slow, seed)
    lattice = decoder.decode_lattice(loglikes)
    paths = paths_of(lattice)
    random = np.random.default_rng(seed)
    for acoustic_scale, lm_scale, penalty in [
        (1 / 7, 1, 0),
        (1 / 17, 1, 0.5),
        (1, 0, 0),
        *random.uniform(0.05, 3, (5, 3)),
        (1, 1, -2),
    ]:
        expected = min(g * lm_scale + a * acoustic_scale + penalty * len(w) for g, a, w, _, _ in paths)
        path = best_path(lattice, acoustic_scale, lm_scale, penalty)
        cost = path.graph_cost * lm_scale + path.acoustic_cost * acoustic_scale + penalty * len(path.words)
        assert cost == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("seed", range(6))
def test_best_path_is_the_one_best(slow, seed):
    random = np.random.default_rng(seed)
    graph = slow.random_graph(random, num_states=80, num_arcs=300, num_epsilons=40, num_final=10)
    loglikes = random.normal(-2, 2, (120, 6)).astype(np.float32)  # prunes four times on the way
    decoder = BeamSearchDecoder(graph, TID_TO_PDF, BeamSearchOptions(12, 4, 60, 5, SCALE))
    one_best, lattice = decoder.decode(loglikes), decoder.decode_lattice(loglikes)
    path = best_path(lattice, SCALE)
    assert np.array_equal(path.transition_ids, one_best.transition_ids) and np.array_equal(path.words, one_best.words)
    assert path.graph_cost == pytest.approx(one_best.graph_cost, abs=1e-3)
    assert path.acoustic_cost == pytest.approx(one_best.acoustic_cost, abs=1e-2)


def test_pruning_on_the_way_changes_nothing(slow, monkeypatch):
    random = np.random.default_rng(9)
    graph = slow.random_graph(random, num_states=50, num_arcs=200, num_epsilons=25, num_final=10)
    loglikes = random.normal(-2, 2, (150, 6)).astype(np.float32)
    decoder = BeamSearchDecoder(graph, TID_TO_PDF, BeamSearchOptions(12, 4, 10**6, 5, SCALE))
    lattice = decoder.decode_lattice(loglikes)
    monkeypatch.setattr("asrtool.decoder.stream.LATTICE_INTERVAL", 10**6)
    unpruned = decoder.decode_lattice(loglikes)
    assert lattice.num_states == unpruned.num_states and lattice.num_arcs == unpruned.num_arcs
    for field in ("arc_start", "arc_end", "arc_transition_id", "arc_graph_cost", "arc_acoustic_cost", "final_cost"):
        assert np.array_equal(getattr(lattice, field), getattr(unpruned, field)), field


def test_lattice_of_no_frames(slow):
    _, _, decoder = make(slow, 1)
    lattice = decoder.decode_lattice(np.zeros((0, 6), np.float32))
    assert lattice.num_frames == 0 and lattice.state_frame.max() == 0
    assert best_path(lattice, SCALE).graph_cost == pytest.approx(decoder.decode(np.zeros((0, 6), np.float32)).graph_cost)
