"""Copies of windows against indexing, and every float16."""

import numpy as np
import pytest

from asrtool.loader.window_kernels import copy_half_windows, copy_windows

BEGIN = np.array([0, 4, 5, 65], np.int64)


def expected_windows(features, utterance, centre, left, width):
    first, last = BEGIN[utterance], BEGIN[utterance + 1] - 1
    rows = (first + centre)[:, None] + np.arange(width) - left
    return features[np.clip(rows, first[:, None], last[:, None])]


@pytest.mark.parametrize(("left", "width"), [(0, 1), (1, 3), (5, 11)])
@pytest.mark.parametrize("half", [False, True])
def test_windows_stay_within_their_utterance(left, width, half):
    random = np.random.default_rng(0)
    features = random.standard_normal((65, 7)).astype(np.float16 if half else np.float32)
    utterance = random.integers(0, 3, 200)
    centre = random.integers(-3, 64, 200)
    x = np.full((200, width, 7), np.nan, np.float32)
    if half:
        copy_half_windows(features.view(np.uint16), BEGIN, utterance, centre, left, x.view(np.uint32), x)
    else:
        copy_windows(features, BEGIN, utterance, centre, left, x)
    np.testing.assert_array_equal(x, expected_windows(features, utterance, centre, left, width).astype(np.float32))


def test_every_finite_float16_becomes_the_same_float32():
    bits = np.arange(65536, dtype=np.uint16)
    bits = bits[np.isfinite(bits.view(np.float16))]
    x = np.empty((len(bits), 1, 1), np.float32)
    frames, zeros = np.arange(len(bits)), np.zeros(len(bits), np.int64)
    begin = np.array([0, len(bits)])
    copy_half_windows(bits[:, None].copy(), begin, zeros, frames, 0, x.view(np.uint32), x)
    np.testing.assert_array_equal(x.ravel().view(np.uint32), bits.view(np.float16).astype(np.float32).view(np.uint32))
