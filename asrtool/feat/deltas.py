"""Differences, splicing and stacking of frames (kaldi/src/feat/feature-functions.cc)."""

from functools import cache

import numpy as np


@cache
def delta_filters(order: int, window: int) -> tuple[np.ndarray, ...]:
    """The filters of the 0th to the order-th difference; filter k spans 2 * k * window + 1 frames.

    Each is the one before convolved with the slope of a regression over 2 * window + 1 frames.
    """
    slope = np.arange(-window, window + 1) / sum(j * j for j in range(-window, window + 1))
    filters = [np.ones(1)]
    for _ in range(order):
        filters.append(np.convolve(filters[-1], slope))
    return tuple(filters)


def add_deltas(features: np.ndarray, order: int = 2, window: int = 2) -> np.ndarray:
    """Appends differences: float32 [T, D] -> [T, D * (order + 1)], as Kaldi's add-deltas.

    Every filter is applied to the features themselves, the first and last frame repeated at the edges.
    """
    if order == 0:
        return features
    num_frames, dim = features.shape
    margin = order * window
    padded = pad_edges(features, margin, margin)
    output = np.empty((num_frames, dim * (order + 1)), np.float32)
    output[:, :dim] = features
    for k, coefficients in enumerate(delta_filters(order, window)[1:], 1):
        block = output[:, k * dim : (k + 1) * dim]
        start = margin - k * window
        total = np.zeros((num_frames, dim), np.float32)
        for shift, coefficient in enumerate(coefficients):
            if coefficient:
                total += np.float32(coefficient) * padded[start + shift : start + shift + num_frames]
        block[:] = total
    return output


def pad_edges(features: np.ndarray, left: int, right: int) -> np.ndarray:
    """[T, D] -> [left + T + right, D], the first and last frame repeated."""
    indices = np.clip(np.arange(-left, len(features) + right), 0, len(features) - 1)
    return features[indices]


def splice(features: np.ndarray, left: int, right: int) -> np.ndarray:
    """Puts frames t - left .. t + right side by side: [T, D] -> [T, D * (left + 1 + right)], as Kaldi's splice-feats."""
    num_frames, dim = features.shape
    padded = pad_edges(features, left, right)
    width = left + 1 + right
    windows = np.lib.stride_tricks.sliding_window_view(padded, (width, dim)).reshape(num_frames, width * dim)
    return np.ascontiguousarray(windows)


def stack_frames(features: np.ndarray, num: int, skip: int, phase: int = 0) -> np.ndarray:
    """Stacks `num` frames every `skip` frames: [T, D] -> [ceil((T - phase) / skip), D * num].

    Output frame k holds input frames phase + k * skip + (0 .. num - 1); beyond the end the last frame is repeated.
    `num` = `skip` is stacking without overlap.

    Args:
        phase: the first input frame, in [0, skip); varying it by epoch shows a network every stacking.
    """
    if num < 1 or skip < 1 or not 0 <= phase < skip:
        raise ValueError(f"stack_frames: num {num} and skip {skip} must be positive, phase {phase} in [0, skip)")
    starts = np.arange(phase, len(features), skip)
    indices = np.minimum(starts[:, None] + np.arange(num), len(features) - 1)
    return features[indices].reshape(len(starts), num * features.shape[1])
