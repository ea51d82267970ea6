"""Maximum-likelihood updates: moments, floors, removal of unseen Gaussians."""

import numpy as np
import pytest

from asrtool.errors import AsrtoolError
from asrtool.gmm.diag_gmm import AmDiagGmm
from asrtool.gmm.estimate import GmmStatistics, MleOptions, mle_update


def model_of(sizes, dim=3):
    total = sum(sizes)
    means = np.arange(total * dim, dtype=float).reshape(total, dim)
    weights = np.concatenate([np.full(size, 1 / size) for size in sizes])
    return AmDiagGmm.from_moments(np.cumsum([0, *sizes]), weights, means, np.ones((total, dim)))


def statistics_of(samples: list[np.ndarray]) -> GmmStatistics:
    rows = [np.concatenate([[len(x)], x.sum(axis=0), (x**2).sum(axis=0)]) for x in samples]
    return GmmStatistics(np.array(rows))


def test_moments_of_the_data():
    random = np.random.default_rng(0)
    samples = [random.normal(loc, 2, size=(size, 3)) for loc, size in ((0, 50), (5, 150), (-3, 40))]
    model, report = mle_update(model_of([1, 2]), statistics_of(samples), MleOptions())
    assert np.allclose(model.means, [x.mean(axis=0) for x in samples], atol=1e-5)
    assert np.allclose(model.variances, [x.var(axis=0) for x in samples], rtol=1e-5)
    assert np.allclose(model.weights, [1, 150 / 190, 40 / 190])
    assert (report.removed_gaussians, report.floored_elements) == (0, 0)


def test_variances_are_floored_and_counted():
    samples = [np.ones((20, 3)) * 4]
    model, report = mle_update(model_of([1]), statistics_of(samples), MleOptions())
    assert np.allclose(model.variances, 0.001) and np.allclose(model.means, 4)
    assert (report.floored_elements, report.floored_gaussians) == (3, 1)


def test_unseen_gaussians_go_but_never_the_last():
    random = np.random.default_rng(1)
    samples = [random.normal(size=(size, 3)) for size in (100, 10, 60, 3, 2, 0)]
    before = model_of([3, 2, 1])
    model, report = mle_update(before, statistics_of(samples), MleOptions())
    assert model.pdf_begin.tolist() == [0, 2, 3, 4] and report.removed_gaussians == 2
    assert np.allclose(model.weights, [100 / 160, 60 / 160, 1, 1])
    assert np.allclose(model.means[2:], before.means[[4, 5]]), "the last Gaussian of an unseen pdf stays as it was"
    kept, _ = mle_update(before, statistics_of(samples), MleOptions(remove_low_count_gaussians=False))
    assert kept.num_gaussians == 6 and np.allclose(kept.weights[1], 10 / 170)


def test_lower_minimum_for_the_flat_start():
    samples = [np.random.default_rng(2).normal(size=(5, 3))]
    model, _ = mle_update(model_of([1]), statistics_of(samples), MleOptions(min_gaussian_occupancy=3))
    assert np.allclose(model.means[0], samples[0].mean(axis=0), atol=1e-6)


def test_statistics_that_are_not_numbers_are_an_error():
    with pytest.raises(AsrtoolError, match="not finite"):
        mle_update(model_of([1]), GmmStatistics(np.full((1, 7), np.nan)), MleOptions())
