"""Cepstral mean and variance normalisation with Kaldi's statistics (kaldi/src/transform/cmvn.cc)."""

import numpy as np

VARIANCE_FLOOR = 1e-20


def cmvn_stats(features: np.ndarray) -> np.ndarray:
    """Float64 [2, D + 1]: sums and the number of frames; sums of squares and 0. Statistics add up."""
    features = features.astype(np.float64)
    stats = np.zeros((2, features.shape[1] + 1))
    stats[0, :-1] = features.sum(axis=0)
    stats[0, -1] = len(features)
    stats[1, :-1] = np.einsum("td,td->d", features, features)
    return stats


def cmvn_scale_offset(stats: np.ndarray, norm_vars: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Float64 [D] scale and offset such that `x * scale + offset` is normalised.

    Raises:
        ValueError: statistics of less than one frame.
    """
    count = stats[0, -1]
    if count < 1:
        raise ValueError(f"CMVN statistics of {count} frames")
    mean = stats[0, :-1] / count
    scale = np.ones_like(mean)
    if norm_vars:
        variance = stats[1, :-1] / count - mean * mean
        scale = 1 / np.sqrt(np.maximum(variance, VARIANCE_FLOOR))
    return scale, -mean * scale


def apply_cmvn(features: np.ndarray, stats: np.ndarray, norm_vars: bool = False) -> np.ndarray:
    """Float32 [T, D] with zero mean and, with norm_vars, unit variance over what the statistics were taken from."""
    scale, offset = (part.astype(np.float32) for part in cmvn_scale_offset(stats, norm_vars))
    return features * scale + offset if norm_vars else features + offset
