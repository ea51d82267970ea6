"""Statistics that trees are built from: one diagonal Gaussian's worth for each event.

An event is a row of int32 [N+1]: the phones of the context window (0 beyond the utterance's ends, -1 where the
phone is context-independent and its neighbours must not be asked for), then the pdf class. Its statistics are a row of
float64 [1 + 2D]: count of frames, sum of features, sum of squared features.
"""

import numpy as np

VARIANCE_FLOOR = 0.01
"""Kaldi's accumulate-tree-stats --var-floor."""


def log_likelihood(stats: np.ndarray, variance_floor: float = VARIANCE_FLOOR) -> np.ndarray:
    """Log-likelihood of the frames behind `stats` [..., 1 + 2D] under one Gaussian fitted to them: float64 [...].

    -count/2 (D log 2 pi + sum log variance + sum x^2-deviation / variance), as Kaldi's GaussClusterable::Objf: the
    floored variance stands in all terms. Zero where the count is zero.
    """
    dim = (stats.shape[-1] - 1) // 2
    count = stats[..., 0]
    safe = np.where(count > 0, count, 1.0)[..., None]
    mean = stats[..., 1 : 1 + dim] / safe
    raw = stats[..., 1 + dim :] / safe - mean * mean
    variance = np.maximum(raw, variance_floor)
    per_frame = -0.5 * (dim * np.log(2 * np.pi) + np.log(variance).sum(-1) + (raw / variance).sum(-1))
    return np.where(count > 0, count * per_frame, 0.0)


def sum_by_value(values: np.ndarray, stats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct `values` [V], ascending, and the sums [V, 1 + 2D] of the rows of `stats` that have each."""
    order = np.argsort(values, kind="stable")
    sorted_values = values[order]
    first = np.flatnonzero(np.concatenate(([True], sorted_values[1:] != sorted_values[:-1])))
    return sorted_values[first], np.add.reduceat(stats[order], first, axis=0)
