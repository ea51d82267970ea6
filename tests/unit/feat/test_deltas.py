"""Differences, splicing and stacking against slow twins."""

import numpy as np
import pytest

from asrtool.feat.deltas import add_deltas, delta_filters, splice, stack_frames


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)


@pytest.mark.parametrize("window", [1, 2, 3])
@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_deltas_equal_the_sum_over_neighbours(features, order, window):
    got = add_deltas(features, order, window)
    assert got.shape == (7, 3 * (order + 1))
    for k, coefficients in enumerate(delta_filters(order, window)):
        for t in range(7):
            neighbours = [min(max(t + j - k * window, 0), 6) for j in range(len(coefficients))]
            expected = sum(c * features[n].astype(np.float64) for c, n in zip(coefficients, neighbours, strict=True))
            np.testing.assert_allclose(got[t, 3 * k : 3 * k + 3], expected, atol=1e-6)


def test_splice_equals_a_loop(features):
    got = splice(features, 2, 1)
    for t in range(7):
        np.testing.assert_array_equal(got[t], np.concatenate([features[min(max(t + j, 0), 6)] for j in range(-2, 2)]))


@pytest.mark.parametrize(("num", "skip", "phase"), [(3, 3, 0), (3, 3, 2), (8, 3, 1), (1, 2, 0), (1, 1, 0)])
def test_stack_frames_equals_a_loop(features, num, skip, phase):
    got = stack_frames(features, num, skip, phase)
    expected = [np.concatenate([features[min(t + j, 6)] for j in range(num)]) for t in range(phase, 7, skip)]
    np.testing.assert_array_equal(got, expected)


def test_stack_frames_rejects_a_phase_beyond_the_skip(features):
    with pytest.raises(ValueError, match="phase 3"):
        stack_frames(features, 3, 3, 3)
