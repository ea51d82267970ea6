"""Random pruning: small weights are mostly dropped and rarely raised, the expected sums staying as they are."""

import numpy as np


def random_prune(weights: np.ndarray, threshold: float, random: np.random.Generator) -> np.ndarray:
    """A weight w below `threshold` becomes threshold with probability w / threshold, else 0 (Kaldi's RandPrune).

    With weights of at most 1, a threshold of 4 leaves about a quarter of the terms to be summed; 0 leaves all.
    """
    if threshold <= 0:
        return weights
    raised = random.random(weights.shape, dtype=np.float32) * np.float32(threshold) < weights
    return np.where(weights >= threshold, weights, np.where(raised, weights.dtype.type(threshold), weights.dtype.type(0)))
