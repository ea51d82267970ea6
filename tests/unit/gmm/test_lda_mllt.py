"""LDA and MLLT against brute force in float64."""

import numpy as np
import pytest
from scipy.linalg import eigh

from asrtool.errors import AsrtoolError
from asrtool.gmm.diag_gmm import AmDiagGmm
from asrtool.gmm.lda import LdaStatistics, estimate_lda
from asrtool.gmm.mllt import MlltStatistics, estimate_mllt, transform_means
from asrtool.gmm.random_prune import random_prune

DIM, CLASSES = 6, 9


@pytest.fixture
def frames():
    random = np.random.default_rng(3)
    mixing = random.standard_normal((DIM, DIM))
    means = random.normal(scale=2, size=(CLASSES, DIM))
    classes = random.integers(0, CLASSES - 1, 500)  # the last class has no frames
    return ((means[classes] + random.standard_normal((500, DIM))) @ mixing.T).astype(np.float32), classes


def test_lda_is_the_generalised_eigenproblem(frames):
    features, classes = frames
    weights = np.where(np.arange(500) % 3, 1.0, 0.5).astype(np.float32)
    weights[::7] = 0
    statistics = LdaStatistics(CLASSES, DIM)
    for part in (slice(0, 200), slice(200, 500)):
        statistics.add(features[part], classes[part], weights[part])
    weights = weights.astype(np.float64)
    wide, total, mean = np.zeros((DIM, DIM)), weights.sum(), np.average(features.astype(np.float64), axis=0, weights=weights)
    between = np.zeros((DIM, DIM))
    for one in range(CLASSES - 1):
        its = features[classes == one].astype(np.float64)
        weight = weights[classes == one]
        centre = np.average(its, axis=0, weights=weight)
        between += weight.sum() / total * np.outer(centre - mean, centre - mean)
        for row, its_weight in zip(its, weight):
            wide += its_weight / total * np.outer(row - centre, row - centre)
    matrix, full, variances = estimate_lda(statistics, 3)
    values, vectors = eigh(between, wide)
    np.testing.assert_allclose(variances, values[::-1], rtol=1e-8)
    np.testing.assert_allclose(np.abs(full @ wide @ vectors[:, ::-1]), np.eye(DIM), atol=1e-6)
    np.testing.assert_allclose(full @ wide @ full.T, np.eye(DIM), atol=1e-9)
    np.testing.assert_allclose(full @ between @ full.T, np.diag(variances), atol=1e-8)
    np.testing.assert_array_equal(matrix, full[:3])
    assert np.all(np.take_along_axis(full, np.abs(full).argmax(axis=1)[:, None], axis=1) > 0)


def test_lda_without_enough_data(frames):
    features, classes = frames
    statistics = LdaStatistics(CLASSES, DIM)
    with pytest.raises(AsrtoolError, match="more classes, not 0"):
        estimate_lda(statistics, 3)
    constant = features.copy()
    constant[:, 2] = 1
    statistics.add(constant, classes, np.ones(500, dtype=np.float32))
    with pytest.raises(AsrtoolError, match="constant or depends"):
        estimate_lda(statistics, 3)
    with pytest.raises(AsrtoolError, match="features have 6"):
        estimate_lda(statistics, 7)


def test_random_pruning_keeps_the_expected_sums():
    random = np.random.default_rng(0)
    weights = np.tile(np.array([0.9, 0.02, 3.0], dtype=np.float32), (40000, 1))
    pruned = random_prune(weights, 2.0, random)
    assert set(np.unique(pruned[:, :2])) == {0.0, 2.0}
    np.testing.assert_array_equal(pruned[:, 2], weights[:, 2])
    np.testing.assert_allclose(pruned.mean(axis=0), weights[0], rtol=0.1)
    assert random_prune(weights, 0, random) is weights


@pytest.fixture
def model():
    random = np.random.default_rng(5)
    pdf_begin = np.array([0, 2, 5])
    return AmDiagGmm.from_moments(
        pdf_begin, np.array([0.4, 0.6, 0.2, 0.5, 0.3]), random.standard_normal((5, DIM)), random.uniform(0.5, 2, (5, DIM))
    )  # fmt: skip


def mllt_of(model, features, pdfs, prune=0.0, random=None):
    statistics = MlltStatistics(DIM)
    for pdf in range(model.num_pdfs):
        statistics.add([(pdf, features[pdfs == pdf])], model, prune, random)
    return statistics


def brute_force(model, features, pdfs):
    """Sums over frames and Gaussians one at a time."""
    squares = np.zeros((DIM, DIM, DIM))
    for row, pdf in zip(features.astype(np.float64), pdfs):
        rows = slice(model.pdf_begin[pdf], model.pdf_begin[pdf + 1])
        means, variances = model.means[rows], model.variances[rows]
        logs = np.log(model.weights[rows]) - 0.5 * (np.log(2 * np.pi * variances) + (row - means) ** 2 / variances).sum(axis=1)
        posteriors = np.exp(logs - logs.max())
        posteriors /= posteriors.sum()
        for posterior, mean, variance in zip(posteriors, means, variances):
            for one in range(DIM):
                squares[one] += posterior / variance[one] * np.outer(row - mean, row - mean)
    return squares


def objective(matrix, squares, count):
    quadratic = sum(row @ square @ row for row, square in zip(matrix, squares))
    return np.linalg.slogdet(matrix)[1] - 0.5 * quadratic / count


def test_mllt_statistics_and_optimum(model):
    random = np.random.default_rng(1)
    features = (random.standard_normal((300, DIM)) @ random.standard_normal((DIM, DIM))).astype(np.float32)
    pdfs = random.integers(0, 2, 300)
    statistics, squares = mllt_of(model, features, pdfs), brute_force(model, features, pdfs)
    np.testing.assert_allclose(statistics.count, 300, rtol=1e-6)
    np.testing.assert_allclose(statistics.matrices(), squares, rtol=1e-4, atol=1e-3)
    matrix, gain = estimate_mllt(statistics)
    exact = statistics.matrices()
    np.testing.assert_allclose(gain, objective(matrix, exact, 300) - objective(np.eye(DIM), exact, 300), rtol=1e-6)
    gradient = np.linalg.inv(matrix).T - np.stack([square @ row for row, square in zip(matrix, exact)]) / 300
    np.testing.assert_allclose(gradient, 0, atol=1e-3)
    for _ in range(20):
        other = matrix + 0.01 * random.standard_normal((DIM, DIM))
        assert objective(other, exact, 300) < objective(matrix, exact, 300)


def test_mllt_finds_the_rotation_that_makes_features_independent(model):
    random = np.random.default_rng(2)
    pdfs = np.repeat([0, 1], 4000)
    choice = [random.choice(np.arange(model.pdf_begin[pdf], model.pdf_begin[pdf + 1])) for pdf in pdfs]
    plain = model.means[choice] + np.sqrt(model.variances[choice]) * random.standard_normal((8000, DIM))
    rotation = np.linalg.qr(random.standard_normal((DIM, DIM)))[0]
    rotated = transform_means(model, rotation)
    np.testing.assert_allclose(rotated.means, model.means @ rotation.T, atol=1e-5)
    np.testing.assert_array_equal(rotated.inv_vars, model.inv_vars)
    features = (plain @ rotation.T).astype(np.float32)
    for prune in (0.0, 2.0):
        matrix, gain = estimate_mllt(mllt_of(rotated, features, pdfs, prune, random))
        after = transform_means(rotated, matrix).loglikes((features @ matrix.T).astype(np.float32))
        before = rotated.loglikes(features)
        rows = np.arange(8000), pdfs
        real_gain = np.mean(after[rows] - before[rows]) + np.linalg.slogdet(matrix)[1]
        assert gain > 0.1
        assert real_gain > (0.8 * gain if prune else gain - 1e-4), "the exact statistics' gain is a lower bound of the real one"


def test_mllt_without_enough_data(model):
    with pytest.raises(AsrtoolError, match="MLLT: 0 frames of speech are too few for 6 dimensions"):
        estimate_mllt(MlltStatistics(DIM))
