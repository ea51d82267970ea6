"""Decoding piece by piece against decoding at once, and the memory that it takes."""

import numpy as np
import pytest

from asrtool.decoder.beam_search import BeamSearchDecoder, BeamSearchOptions
from asrtool.errors import AsrtoolError
from asrtool.lattice.lattice import best_path

TID_TO_PDF = np.array([-1, 0, 0, 1, 1, 2, 3, 3, 4, 5], np.int32)
SCALE = 0.7
LATTICE_ARRAYS = (
    "state_frame", "arc_start", "arc_end", "arc_transition_id", "arc_word", "arc_graph_cost", "arc_acoustic_cost", "final_cost",
)  # fmt: skip


@pytest.fixture(scope="module")
def decoder(slow):
    graph = slow.random_graph(np.random.default_rng(4), num_states=60, num_arcs=250, num_epsilons=30, num_final=8)
    return BeamSearchDecoder(graph, TID_TO_PDF, BeamSearchOptions(9, 3, 40, 5, SCALE))


def pieces_of(random, loglikes):
    cuts = np.sort(random.integers(0, len(loglikes) + 1, 6))  # some pieces are empty
    return np.split(loglikes, cuts)


@pytest.mark.parametrize("seed", range(4))
def test_pieces_change_nothing(decoder, seed):
    random = np.random.default_rng(seed)
    loglikes = random.normal(-2, 2, (1 + 97 * seed, 6)).astype(np.float32)
    whole, lattice = decoder.decode(loglikes), decoder.decode_lattice(loglikes)
    for pieces in (pieces_of(random, loglikes), [loglikes[i : i + 1] for i in range(len(loglikes))]):
        one_best, links = decoder.stream(), decoder.stream(lattice=True)
        for piece in pieces:
            one_best.accept(piece)
            links.accept(piece)
        assert one_best.num_frames == links.num_frames == len(loglikes)
        result, pieced = one_best.finish(), links.finish()
        assert (result.graph_cost, result.acoustic_cost) == (whole.graph_cost, whole.acoustic_cost)
        assert np.array_equal(result.transition_ids, whole.transition_ids) and np.array_equal(result.words, whole.words)
        for name in LATTICE_ARRAYS:
            assert np.array_equal(getattr(pieced, name), getattr(lattice, name)), name


def test_partial_results_are_the_best_paths_so_far(decoder, slow):
    random = np.random.default_rng(7)
    graph = slow.random_graph(random, num_states=20, num_arcs=60, num_epsilons=8, num_final=20)
    graph.final_cost[:] = 0  # so that the best path so far is the best path
    exact = BeamSearchDecoder(graph, TID_TO_PDF, BeamSearchOptions(1e3, 4, 10**6, 0, SCALE))
    loglikes = random.normal(-2, 2, (150, 6)).astype(np.float32)
    for lattice in (False, True):
        stream = exact.stream(lattice)
        for end in (0, 1, 2, 30, 31, 80, 150):
            stream.accept(loglikes[stream.num_frames : end])
            partial = stream.partial()
            cost, words, tids = slow.viterbi(graph, TID_TO_PDF, loglikes[:end], SCALE)
            assert tuple(partial.words) == words and tuple(partial.transition_ids) == tids and partial.reached_final
            assert partial.graph_cost + SCALE * partial.acoustic_cost == pytest.approx(cost, abs=1e-3)


def test_a_stream_that_failed_or_ended_is_not_used_again(decoder):
    stream = decoder.stream()
    bad = np.full((2, 6), -1, np.float32)
    bad[1, 3] = np.nan
    stream.accept(bad[:1])
    with pytest.raises(AsrtoolError, match="NaN or infinite log-likelihoods at frame 2"):
        stream.accept(bad)
    assert stream.num_frames == 1  # nothing of that piece was taken
    with pytest.raises(AsrtoolError, match="no path survives frame 1"):
        stream.accept(np.full((1, 6), -np.inf, np.float32))
    for call in (lambda: stream.accept(bad[:1]), stream.partial, stream.finish):
        with pytest.raises(ValueError, match="the stream has ended"):
            call()


@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_loglikes_of_other_types_and_orders(decoder, kind):
    loglikes = np.round(np.random.default_rng(0).normal(-2, 2, (50, 6)) * 8) / 8
    expected = decoder.decode(loglikes.astype(np.float32))
    for array in (loglikes.astype(kind), np.asfortranarray(loglikes.astype(kind)), np.hstack([loglikes, loglikes]).astype(kind)):
        result = decoder.decode(array)
        assert np.array_equal(result.transition_ids, expected.transition_ids) and result.acoustic_cost == expected.acoustic_cost


def test_an_hour_takes_little_memory(slow):
    random = np.random.default_rng(1)
    graph = slow.random_graph(random, num_states=12, num_arcs=20, num_epsilons=3)
    decoder = BeamSearchDecoder(graph, TID_TO_PDF, BeamSearchOptions(6, 2, 8, 2, SCALE))
    piece = random.normal(-2, 2, (4000, 6)).astype(np.float32)
    for lattice in (False, True):
        stream = decoder.stream(lattice)
        stream.accept(piece)
        at_first = stream.num_bytes
        for count in range(1, 90):  # 360,000 frames
            stream.accept(np.roll(piece, count, axis=1))
        assert stream.num_frames == len(stream.partial().transition_ids) == 360_000
        size = stream.num_bytes
        result = stream.finish()
        if lattice:
            assert size < 3 * (24 * result.num_states + 20 * result.num_arcs + 24 * 360_000)
            assert len(best_path(result, SCALE).transition_ids) == 360_000
        else:
            assert size < at_first + 12 * 360_000  # the settled path, with room for as much again
