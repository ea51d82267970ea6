"""Playing a recording faster or slower: band-limited interpolation at a rational ratio.

Output sample n is the input at the time n * speed, by a Kaiser-windowed sinc. As the ratio is rational, the weights repeat
every `up` output samples: neighbouring outputs are one matrix product of overlapping stretches of the input with their
weights, which is far quicker than filtering sample by sample.
"""

import math
from fractions import Fraction
from functools import lru_cache

import numpy as np

_ZERO_CROSSINGS = 64  # of the sinc, on each side
_KAISER_BETA = 8.0  # images and aliases 80 dB down
_ROLLOFF = 0.96  # middle of the transition band, as a share of the lower Nyquist frequency; it is 8 % wide
_RUN = 32  # outputs that are made of one stretch; more would have more weights that are 0
_BLOCK_VALUES = 1 << 18  # of a stretch matrix that is made at once; it stays in the cache
_MAX_DENOMINATOR = 1000


def speed_ratio(speed: float) -> Fraction:
    """The ratio that is used for a speed: exact up to three decimals, else within a millionth."""
    return Fraction(speed).limit_denominator(_MAX_DENOMINATOR)


def num_samples_at(num_samples: int, speed: float) -> int:
    """How many samples `change_speed` gives."""
    ratio = speed_ratio(speed)
    return -(-num_samples * ratio.denominator // ratio.numerator)


@lru_cache(maxsize=16)
def _weights(ratio: Fraction) -> tuple[int, list[tuple[int, np.ndarray]]]:
    """How many input samples before an output's time are weighed, and, for each run of outputs out of `up`, the input sample
    (of `down`) at which its stretch begins, with float32 [stretch, outputs].

    Each output's weights sum to 1, so that a constant stays what it is.
    """
    down, up = ratio.numerator, ratio.denominator
    cutoff = _ROLLOFF * min(1.0, up / down)
    half_width = _ZERO_CROSSINGS / min(1.0, up / down)
    margin = math.ceil(half_width)
    runs = []
    for first in range(0, up, _RUN):
        times = np.arange(first, min(first + _RUN, up)) * (down / up)
        begin = int(times[0])
        distance = times - (np.arange(begin, math.ceil(times[-1]) + 2 * margin + 1)[:, None] - margin)
        window = np.i0(_KAISER_BETA * np.sqrt(np.maximum(1 - (distance / half_width) ** 2, 0)))
        weights = np.sinc(cutoff * distance) * np.where(np.abs(distance) < half_width, window, 0)
        runs.append((begin, (weights / weights.sum(axis=0)).astype(np.float32)))
    return margin, runs


def change_speed(samples: np.ndarray, speed: float) -> np.ndarray:
    """The signal read `speed` times as fast, tempo and pitch alike (sox's `speed`).

    Args:
        samples: float32 [num_samples]; beyond its ends it is taken as 0.
        speed: above 0.

    Returns:
        Float32 [ceil(num_samples / speed)] at the same sampling rate; what moves beyond its Nyquist frequency is removed.
    """
    ratio = speed_ratio(speed)
    if ratio == 1:
        return samples
    down, up = ratio.numerator, ratio.denominator
    margin, runs = _weights(ratio)
    num_out = num_samples_at(len(samples), speed)
    num_blocks = -(-num_out // up)
    padded = np.zeros((num_blocks - 1) * down + runs[-1][0] + len(runs[-1][1]), np.float32)
    kept = min(len(samples), len(padded) - margin)
    padded[margin : margin + kept] = samples[:kept]
    output = np.empty((num_blocks, up), np.float32)
    for number, (begin, weights) in enumerate(runs):
        shape, step_bytes = (num_blocks, len(weights)), padded.itemsize
        stretches = np.ndarray(shape, padded.dtype, padded, begin * step_bytes, (down * step_bytes, step_bytes))  # they overlap
        columns = output[:, number * _RUN : (number + 1) * _RUN]
        step = max(1, _BLOCK_VALUES // len(weights))
        for start in range(0, num_blocks, step):
            end = min(start + step, num_blocks)
            columns[start:end] = np.ascontiguousarray(stretches[start:end]) @ weights
    return output.reshape(-1)[:num_out]
