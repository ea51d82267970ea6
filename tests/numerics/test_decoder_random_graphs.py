"""The decoder against kaldi_decoder on random graphs: one-best against FasterDecoder, lattices against LatticeSimpleDecoder."""

import importlib.util
from pathlib import Path

import kaldi_decoder
import kaldifst
import numpy as np
import pytest

from asrtool.decoder.beam_search import BeamSearchDecoder, BeamSearchOptions

SCALE = 0.7
LATTICE_BEAM = 5.0
TWIN = Path(__file__).parents[1] / "unit" / "decoder" / "random_graph.py"


@pytest.fixture(scope="module")
def slow():
    spec = importlib.util.spec_from_file_location("random_graph", TWIN)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make(slow, seed, tmp_path, num_frames, size):
    """(graph, the same as OpenFst's, tid_to_pdf, log-likelihoods, their scaled costs by transition-id)."""
    random = np.random.default_rng(seed)
    num_tids, num_pdfs = 40, 25
    graph = slow.random_graph(
        random, num_states=size, num_arcs=2 * size, num_epsilons=size // 2, num_tids=num_tids, num_words=9, num_final=size // 4
    )
    graph.write_fst_file(tmp_path / "graph.fst", "const")
    tid_to_pdf = np.array([-1, *random.permutation(np.arange(num_tids) % num_pdfs)], np.int32)
    loglikes = random.normal(-4, 3, (num_frames, num_pdfs)).astype(np.float32)
    scores = np.ascontiguousarray((loglikes * np.float32(SCALE))[:, tid_to_pdf[1:]])
    return graph, kaldifst.StdConstFst.read(str(tmp_path / "graph.fst")), tid_to_pdf, loglikes, scores


def of_words(labels):
    return tuple(int(label) for label in labels if label)


@pytest.mark.parametrize(("beam", "min_active"), [(1000.0, 0), (13.0, 20), (8.0, 0)])
@pytest.mark.parametrize("seed", range(10))
def test_one_best_is_that_of_faster_decoder(slow, tmp_path, seed, beam, min_active):
    graph, fst, tid_to_pdf, loglikes, scores = make(slow, seed, tmp_path, num_frames=20 + 20 * seed, size=40 + 50 * seed)
    options = kaldi_decoder.FasterDecoderOptions(beam=beam, max_active=10**6, min_active=min_active)
    reference = kaldi_decoder.FasterDecoder(fst, options)
    reference.decode(kaldi_decoder.DecodableCtc(scores))
    found, path = reference.get_best_path()
    _, tids, words, weight = kaldifst.get_linear_symbol_sequence(path)
    assert found and reference.reached_final()
    result = BeamSearchDecoder(graph, tid_to_pdf, BeamSearchOptions(beam, 6, 10**6, min_active, SCALE)).decode(loglikes)
    assert result.reached_final
    assert of_words(result.words) == of_words(words) and of_words(result.transition_ids) == of_words(tids)
    assert len(result.transition_ids) == len(loglikes)
    cost = result.graph_cost + SCALE * result.acoustic_cost
    assert cost == pytest.approx(weight.value1 + weight.value2, abs=1e-3)
    assert result.graph_cost == pytest.approx(weight.value1, abs=1e-3)


def paths_within(start, arcs, final, beam):
    """The paths (words, transition-ids, cost) of a lattice at most `beam` worse than the best, sorted.

    start: first state; arcs: state -> [(next state, transition-id, word, cost)]; final: state -> cost.
    """
    to_go = {}

    def best_from(state):
        if state not in to_go:
            ways = [cost + best_from(target) for target, _, _, cost in arcs.get(state, [])]
            to_go[state] = min([final.get(state, np.inf), *ways])
        return to_go[state]

    limit, paths = best_from(start) + beam, []

    def walk(state, cost, words, tids):
        if cost + final.get(state, np.inf) <= limit:
            paths.append((words, tids, cost + final[state]))
        for target, tid, word, arc_cost in arcs.get(state, []):
            if cost + arc_cost + best_from(target) <= limit:
                walk(target, cost + arc_cost, words + (word,) * (word != 0), tids + (tid,) * (tid != 0))

    walk(start, 0.0, (), ())
    return sorted(paths)


def our_lattice(lattice):
    arcs = {}
    cost = lattice.arc_graph_cost + SCALE * lattice.arc_acoustic_cost
    columns = lattice.arc_start, lattice.arc_end, lattice.arc_transition_id, lattice.arc_word, cost
    for start, *arc in zip(*(column.tolist() for column in columns)):
        arcs.setdefault(start, []).append(tuple(arc))
    return 0, arcs, {state: float(cost) for state, cost in enumerate(lattice.final_cost) if cost < np.inf}


def kaldi_lattice(lattice):
    """From Kaldi's text: lines of start, end, transition-id, word, costs, or of a final state and its costs; left out if 0."""

    def cost_of(weight):
        return sum(map(float, weight[0].split(","))) if weight else 0.0

    arcs, final = {}, {}
    for line in lattice.to_str().splitlines():
        fields = line.split()
        if len(fields) >= 4:
            start, *arc = map(int, fields[:4])
            arcs.setdefault(start, []).append((*arc, cost_of(fields[4:])))
        else:
            final[int(fields[0])] = cost_of(fields[1:])
    return lattice.start, arcs, final


def assert_same_arcs(ours, theirs):
    """The arcs, apart from how the states are numbered, and the number of final states."""
    our_arcs, their_arcs = (sorted(arc[1:] for leaving in lattice[1].values() for arc in leaving) for lattice in (ours, theirs))
    assert [arc[:2] for arc in our_arcs] == [arc[:2] for arc in their_arcs]
    assert np.allclose([arc[2] for arc in our_arcs], [arc[2] for arc in their_arcs], atol=1e-3)
    assert len(ours[2]) == len(theirs[2])


def assert_same_paths(ours, theirs):
    assert [path[:2] for path in ours] == [path[:2] for path in theirs]
    assert np.allclose([path[2] for path in ours], [path[2] for path in theirs], atol=2e-3)


@pytest.mark.parametrize("beam", [1000.0, 10.0])
@pytest.mark.parametrize("seed", range(8))
def test_lattice_paths_are_those_of_lattice_simple_decoder(slow, tmp_path, seed, beam):
    graph, fst, tid_to_pdf, loglikes, scores = make(slow, seed, tmp_path, num_frames=4 + 2 * seed, size=20 + 10 * seed)
    config = kaldi_decoder.LatticeSimpleDecoderConfig(beam=beam, lattice_beam=LATTICE_BEAM)
    reference = kaldi_decoder.LatticeSimpleDecoder(fst, config)
    assert reference.decode(kaldi_decoder.DecodableCtc(scores))
    theirs = kaldi_lattice(reference.get_raw_lattice()[1])
    options = BeamSearchOptions(beam, LATTICE_BEAM, 10**6, 0, SCALE)
    ours = our_lattice(BeamSearchDecoder(graph, tid_to_pdf, options).decode_lattice(loglikes))
    expected = paths_within(*theirs, LATTICE_BEAM - 1e-3)
    assert len(expected) > 10
    assert_same_paths(paths_within(*ours, LATTICE_BEAM - 1e-3), expected)
    assert_same_arcs(ours, theirs)
    if beam == 1000.0 and seed < 2:
        every = slow.all_paths(graph, tid_to_pdf, loglikes, SCALE)
        near = sorted((words, tids, cost) for cost, words, tids, _ in every if cost <= every[0][0] + LATTICE_BEAM - 1e-3)
        assert_same_paths(near, expected)
