"""Kernels that fill a minibatch from utterances in memory: positions to targets, copies of windows, masks."""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def fill_targets(begin_U1, shift_U, pdf_N, utterance_K, position_K, stride, delay, ignored, centre_K, target_K):
    """Centres and targets of K positions; position p hears window p and answers for window p - delay.

    Args:
        begin_U1, shift_U, pdf_N: int64, see loader.corpus.Corpus and nnet.input.
        utterance_K, position_K: int64.
        centre_K: int64, filled: the window's middle frame within its utterance (it may lie beyond either end).
        target_K: int64, filled: a pdf, or `ignored` where window p - delay is not one of the utterance's.
    Returns:
        (10 ms frames that the targets stand for, number of targets)
    """
    num_frames, num_targets = 0, 0
    for k in range(len(utterance_K)):
        utterance = utterance_K[k]
        begin, shift = begin_U1[utterance], shift_U[utterance]
        length = begin_U1[utterance + 1] - begin
        centre_K[k] = position_K[k] * stride - shift + stride // 2
        first = (position_K[k] - delay) * stride - shift  # first frame that the answered window stands for
        if position_K[k] >= delay and first < length:
            frame = min(max(first + stride // 2, 0), length - 1)
            target_K[k] = pdf_N[begin + frame]
            num_targets += 1
            num_frames += min(first + stride, length) - max(first, 0)
        else:
            target_K[k] = ignored
    return num_frames, num_targets


@njit(nogil=True, cache=True)
def copy_windows(features_ND, begin_U1, utterance_K, centre_K, left, x_KWD):
    """Copies windows of W frames; beyond an utterance its first or last frame is repeated. All float32 and int64."""
    num_windows, width, dim = x_KWD.shape
    for k in range(num_windows):
        begin, end = begin_U1[utterance_K[k]], begin_U1[utterance_K[k] + 1]
        for w in range(width):
            row = min(max(begin + centre_K[k] + w - left, begin), end - 1)
            for d in range(dim):
                x_KWD[k, w, d] = features_ND[row, d]


@njit(nogil=True, cache=True)
def copy_half_windows(half_ND, begin_U1, utterance_K, centre_K, left, bits_KWD, x_KWD):
    """As `copy_windows` from float16, whose bits `half_ND` holds (uint16); not for infinity and NaN.

    Args:
        bits_KWD: uint32, the memory of `x_KWD`. Exponent and mantissa move to their places there; float16's smaller bias of the
            exponent (15 against 127) is then a factor of 2^112, exact for subnormal numbers too.
    """
    num_windows, width, dim = x_KWD.shape
    for k in range(num_windows):
        begin, end = begin_U1[utterance_K[k]], begin_U1[utterance_K[k] + 1]
        for w in range(width):
            row = min(max(begin + centre_K[k] + w - left, begin), end - 1)
            for d in range(dim):
                half = np.uint32(half_ND[row, d])
                bits_KWD[k, w, d] = ((half & np.uint32(0x7FFF)) << np.uint32(13)) | ((half & np.uint32(0x8000)) << np.uint32(16))
            for d in range(dim):
                x_KWD[k, w, d] *= np.float32(2.0**112)


@njit(nogil=True, cache=True)
def mask_windows(time_UM2, bins_UM2, begin_U1, utterance_K, centre_K, left, num_channels, x_KWD):
    """Sets what SpecAugment's masks cover to 0, in every channel: frames [first, end) and bins [first, end) of each utterance.

    Args:
        time_UM2, bins_UM2: int64, see asrtool.feat.spec_augment.Masks.
        x_KWD: float32, D is `num_channels` times the number of bins.
    """
    num_windows, width, dim = x_KWD.shape
    num_bins = dim // num_channels
    for k in range(num_windows):
        utterance = utterance_K[k]
        length = begin_U1[utterance + 1] - begin_U1[utterance]
        for w in range(width):
            frame = min(max(centre_K[k] + w - left, 0), length - 1)
            for m in range(time_UM2.shape[1]):
                if time_UM2[utterance, m, 0] <= frame < time_UM2[utterance, m, 1]:
                    x_KWD[k, w, :] = np.float32(0)
            for m in range(bins_UM2.shape[1]):
                for channel in range(num_channels):
                    base = channel * num_bins
                    x_KWD[k, w, base + bins_UM2[utterance, m, 0] : base + bins_UM2[utterance, m, 1]] = np.float32(0)
