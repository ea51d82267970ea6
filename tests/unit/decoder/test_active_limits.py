"""max_active and min_active: how many tokens survive a frame, and the cutoff against a slow twin of Kaldi's."""

import numpy as np
import pytest

from asrtool.decoder.beam_search import BeamSearchDecoder, BeamSearchOptions
from asrtool.decoder.frame_kernels import frame_cutoff
from asrtool.fst.csr import CsrGraph

TID_TO_PDF = np.array([-1, 0, 0, 1, 1, 2, 3, 3, 4, 5], np.int32)
BEAM_DELTA = 0.5
WIDTH = 3000


def slow_cutoff(cost, beam, max_active, min_active):
    """FasterDecoder::GetCutoff with a whole sort: (cutoff, beam of the next frame)."""
    cost = np.sort(cost.astype(np.float64))
    if len(cost) > max_active and cost[max_active] < cost[0] + beam:
        return cost[max_active], cost[max_active] - cost[0] + BEAM_DELTA
    if len(cost) <= min_active:
        return np.inf, np.inf
    if cost[min_active] > cost[0] + beam:
        return cost[min_active], cost[min_active] - cost[0] + BEAM_DELTA
    return cost[0] + beam, beam


def kernel_cutoff(cost, beam, max_active, min_active):
    limits = np.float32(beam), np.float32(BEAM_DELTA), max_active, min_active
    return frame_cutoff(cost, limits, np.empty(len(cost), np.float32))


@pytest.mark.parametrize("spread", ["uniform", "normal", "far", "ties"])
@pytest.mark.parametrize("seed", range(5))
def test_cutoff_is_kaldis_to_a_bucket(spread, seed):
    random = np.random.default_rng(seed)
    for _ in range(60):
        size = int(random.integers(1, 3000))
        cost = {
            "uniform": random.uniform(0, 20, size),
            "normal": random.normal(8, 3, size),
            "far": np.append(random.uniform(5, 15, size - 1), random.choice([0.0, 1e4])),
            "ties": random.integers(0, 12, size).astype(float),
        }[spread].astype(np.float32)
        max_active = int(random.integers(2, 1500))
        min_active = int(random.integers(0, min(max_active, 400) + 1))
        beam = float(random.uniform(0.5, 14))
        expected, expected_beam = slow_cutoff(cost, beam, max_active, min_active)
        best, cutoff, adaptive_beam = kernel_cutoff(cost, beam, max_active, min_active)
        assert best == cost.min()
        assert cutoff == pytest.approx(expected, abs=2e-3) and adaptive_beam == pytest.approx(expected_beam, abs=2e-3)
        survivors = int((cost <= cutoff).sum())
        if cutoff < best + np.float32(beam):
            assert survivors >= max_active, "more than the k best are dropped"
        assert survivors >= min(size, min_active)
        if spread == "uniform":
            kept_by_kaldi = int((cost <= np.float32(expected)).sum())
            assert abs(survivors - kept_by_kaldi) <= 1


@pytest.fixture(scope="module")
def fan():
    """From the start an arc to each of WIDTH states, at costs of 0 to 10; each has a loop at no cost, so survivors are seen."""
    cost = np.random.default_rng(0).permutation(np.linspace(0, 10, WIDTH))
    states = np.arange(1, WIDTH + 1)
    sources, targets = np.concatenate([np.zeros(WIDTH, int), states]), np.concatenate([states, states])
    costs, final = np.concatenate([cost, np.zeros(WIDTH)]), np.zeros(WIDTH + 1)
    return CsrGraph.from_arcs(0, sources, np.ones(2 * WIDTH), np.zeros(2 * WIDTH), targets, costs, final)


def survivors(fan, beam, max_active, min_active, lattice):
    """How many tokens there are after each of four frames; the first frame makes one of every state within the beam."""
    stream = BeamSearchDecoder(fan, TID_TO_PDF, BeamSearchOptions(beam, 6, max_active, min_active)).stream(lattice)
    counts = []
    for _ in range(4):
        stream.accept(np.zeros((1, 6), np.float32))
        counts.append(len(stream._newest()[0]))
    return counts


@pytest.mark.parametrize("lattice", [False, True])
@pytest.mark.parametrize("k", [2, 10, 333, 1000, 2999])
def test_max_active_tokens_survive(fan, k, lattice):
    counts = survivors(fan, 100.0, k, 0, lattice)
    assert counts[0] == WIDTH and all(k <= count <= k + 1 for count in counts[1:])


@pytest.mark.parametrize("lattice", [False, True])
@pytest.mark.parametrize("k", [2, 10, 333, 1000, 2999])
def test_min_active_tokens_survive_whatever_the_beam(fan, k, lattice):
    counts = survivors(fan, 0.001, 7000, k, lattice)
    assert counts[0] == WIDTH  # one token is fewer than min_active, so its arcs are all followed
    assert all(k <= count <= k + 1 for count in counts[1:])


def test_the_beam_rules_between_the_two_limits(fan):
    within = 1 + int(5 / (10 / (WIDTH - 1)))  # the costs are that far apart
    for max_active, min_active in ((7000, 20), (within + 5, within - 5)):
        counts = survivors(fan, 5.0, max_active, min_active, False)
        assert all(abs(count - within) <= 1 for count in counts[1:])
    assert survivors(fan, 5.0, 7000, 0, False)[0] == pytest.approx(within, abs=1)
