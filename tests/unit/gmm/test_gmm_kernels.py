"""The E-step against a loop over frames in float64."""

import numpy as np
from scipy.special import logsumexp

from asrtool.gmm.diag_gmm import AmDiagGmm
from asrtool.gmm.gmm_kernels import BLOCK_FRAMES, accumulate, pdf_loglikes


def test_accumulate_equals_a_loop_over_frames():
    random = np.random.default_rng(3)
    sizes, dim, num_frames = (1, 4, 3), 5, 2 * BLOCK_FRAMES + 37
    model = AmDiagGmm.from_moments(
        np.cumsum([0, *sizes]), np.full(8, 0.3), random.normal(size=(8, dim)), random.uniform(0.5, 2, size=(8, dim))
    )
    features = random.normal(size=(num_frames, dim)).astype(np.float32)
    pdf = random.integers(0, 3, num_frames)
    order = np.argsort(pdf, kind="stable")
    ends = np.cumsum(np.bincount(pdf, minlength=3))
    frames = np.stack([np.concatenate([[0], ends[:-1]]), ends], axis=1)
    rows = np.stack([model.pdf_begin[:-1], model.pdf_begin[1:]], axis=1)
    stats, loglikes = np.zeros((8, 1 + 2 * dim)), np.zeros(3)
    for first, last in ((0, 1), (1, 3)):
        accumulate(features, order, frames, rows, model.pdf_begin[:-1].copy(), model.parameters, first, last, stats, loglikes)

    expected, expected_loglike = np.zeros_like(stats), 0.0
    for x, p in zip(features.astype(np.float64), pdf):
        begin, end = model.pdf_begin[p], model.pdf_begin[p + 1]
        means, variances = model.means[begin:end], model.variances[begin:end]
        density = (x - means) ** 2 / variances + np.log(2 * np.pi * variances)
        scores = np.log(model.weights[begin:end]) - 0.5 * density.sum(axis=1)
        posterior = np.exp(scores - logsumexp(scores))
        expected_loglike += logsumexp(scores)
        expected[begin:end] += posterior[:, None] * np.concatenate([[1], x, x**2])
    assert np.allclose(stats, expected, rtol=1e-4, atol=1e-3)
    assert np.isclose(loglikes.sum(), expected_loglike, rtol=1e-6)
    assert np.isclose(stats[:, 0].sum(), num_frames, rtol=1e-6)


def test_log_sum_of_exponentials_is_accurate_over_the_whole_range():
    """One pdf of two Gaussians, their difference from 0 to 200: log(1 + exp(-d))."""
    difference = np.linspace(0, 200, 2001)
    features = difference[:, None].astype(np.float32)
    parameters = np.array([[0, 0, 0], [0, -1, 0]], dtype=np.float32)
    out = np.empty((1, len(features)), dtype=np.float32)
    pdf_loglikes(features, parameters, np.array([0, 2]), np.array([0], dtype=np.int32), out)
    assert np.abs(out[0] - np.log1p(np.exp(-features[:, 0].astype(np.float64)))).max() < 3e-7
