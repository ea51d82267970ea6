"""Updates of a range of the global model in one pass over memory each, to the same bits as the separate operations of torch.

Each product and each sum is rounded to float32: compiled without fast-math, nothing is fused or reordered.
"""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def block_momentum(mean, weights, momentum, eta, zeta, nesterov):  # pragma: no cover (compiled)
    """With G = mean - V: D = eta * D + zeta * G, W = W + D; `mean` becomes the next V.

    Args:
        mean, weights, momentum: float32 [n]: theta, W and D, in place.
        eta, zeta: float32: block momentum and block learning rate.
        nesterov: whether V = W + eta * D; else V = W.
    """
    one = np.float32(1.0)
    for i in range(mean.size):
        w, d = weights[i], momentum[i]
        start = w
        if nesterov:
            start = eta * d + w
        step = mean[i] - start
        if zeta != one:
            step = step * zeta
        d = d * eta + step
        w = w + d
        momentum[i], weights[i] = d, w
        if nesterov:
            w = eta * d + w
        mean[i] = w


@njit(nogil=True, cache=True)
def follow_mean(average, values, share):  # pragma: no cover (compiled)
    """average += (values - average) * share; float32 [n], share = 1 / count in float32."""
    for i in range(average.size):
        average[i] += (values[i] - average[i]) * share


@njit(nogil=True, cache=True)
def follow_exponential(average, values, keep, take):  # pragma: no cover (compiled)
    """average = average * keep + values * take; float32 [n], keep = alpha and take = 1 - alpha in float32."""
    for i in range(average.size):
        average[i] = average[i] * keep + values[i] * take
