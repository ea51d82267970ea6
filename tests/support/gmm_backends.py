"""Models and frames to compare the backends of GMM arithmetic with, and what they should give, in float64."""

import numpy as np
from scipy.special import logsumexp

from asrtool.gmm.backend import CPU, Backend
from asrtool.gmm.diag_gmm import AmDiagGmm

DIM = 13
SIZES = (1, 4, 3, 60, 1, 7, 2, 2, 16)  # Gaussians of the pdfs


def skewed_model(sizes: tuple[int, ...] = SIZES, seed: int = 3) -> AmDiagGmm:
    """Pdfs with very different numbers of Gaussians, whose weights differ too."""
    random = np.random.default_rng(seed)
    begin = np.cumsum([0, *sizes])
    weights = random.uniform(0.2, 1, begin[-1])
    weights /= np.repeat(np.add.reduceat(weights, begin[:-1]), sizes)
    shape = (begin[-1], DIM)
    return AmDiagGmm.from_moments(begin, weights, random.normal(scale=2, size=shape), random.uniform(0.3, 2, shape))


def frames_of_model(model: AmDiagGmm, number: int, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """(float32 [T, D], the pdf of each int [T]); one pdf has most of the frames, one none at all."""
    random = np.random.default_rng(seed)
    share = np.full(model.num_pdfs, 0.3 / model.num_pdfs)
    share[-1], share[0] = 0.7, 0
    pdf = random.choice(model.num_pdfs, number, p=share / share.sum())
    sizes = np.diff(model.pdf_begin)[pdf]
    gaussian = model.pdf_begin[pdf] + (random.random(number) * sizes).astype(np.int64)
    noise = random.normal(size=(number, model.dim)) * np.sqrt(model.variances[gaussian])
    return (model.means[gaussian] + noise).astype(np.float32), pdf


def _components(model: AmDiagGmm, features: np.ndarray, rows: slice = slice(None)) -> np.ndarray:
    """float64 [T, G]: log of weight times density."""
    means, variances = model.means[rows], model.variances[rows]
    offset = features[:, None].astype(np.float64) - means
    with np.errstate(divide="ignore"):
        log_weights = np.log(model.weights[rows].astype(np.float64))
    return log_weights - 0.5 * (offset**2 / variances + np.log(2 * np.pi * variances)).sum(-1)


def exact_loglikes(model: AmDiagGmm, features: np.ndarray) -> np.ndarray:
    """float64 [T, P]."""
    scores = _components(model, features)
    return np.stack([logsumexp(part, axis=1) for part in np.split(scores, model.pdf_begin[1:-1], axis=1)], axis=1)


def exact_statistics(model: AmDiagGmm, features: np.ndarray, pdf: np.ndarray) -> tuple[np.ndarray, float]:
    """(float64 [G, 1 + 2D], log-likelihood of the frames under their pdfs)."""
    stats, total = np.zeros((model.num_gaussians, 1 + 2 * model.dim)), 0.0
    for one in range(model.num_pdfs):
        x = features[pdf == one]
        rows = slice(model.pdf_begin[one], model.pdf_begin[one + 1])
        scores = _components(model, x, rows)
        loglike = logsumexp(scores, axis=1)
        total += loglike.sum()
        x = x.astype(np.float64)
        stats[rows] = np.exp(scores - loglike[:, None]).T @ np.concatenate([np.ones((len(x), 1)), x, x**2], axis=1)
    return stats, float(total)


def statistics_of(
    model: AmDiagGmm, features: np.ndarray, pdf: np.ndarray, backend: Backend
) -> tuple[np.ndarray, float, np.ndarray, float]:
    """Statistics and log-likelihood by `backend`, then by the CPU's kernels."""
    order = np.argsort(pdf, kind="stable")
    ends = np.cumsum(np.bincount(pdf, minlength=model.num_pdfs))
    tasks = np.stack([np.concatenate([[0], ends[:-1]]), ends], axis=1)
    rows = np.stack([model.pdf_begin[:-1], model.pdf_begin[1:]], axis=1)
    results: list = []
    for one in (backend, CPU):
        stats, loglikes = np.zeros((model.num_gaussians, 1 + 2 * model.dim)), np.zeros(model.num_pdfs)
        one.accumulate(features, order, tasks, rows, rows[:, 0].copy(), model.parameters, 0, len(tasks), stats, loglikes)
        results += [stats, float(loglikes.sum())]
    return tuple(results)


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, relative to the root mean square of its column."""
    scale = np.sqrt(np.mean(np.square(expected), axis=0)) + 1e-30
    return float((np.abs(found - expected) / scale).max())
