"""SpecAugment: stripes of time and of frequency are blanked out in training (Park et al. 2019, arXiv 1904.08779).

A mask of time covers t frames, t uniform in 0..max_time_frames (at most a share of the utterance), from a uniform begin; a mask
of frequency f bins, f uniform in 0..max_freq_bins. Both are filled with 0, the mean of normalised features. Time warping, the
paper's third distortion, is left out: the paper found that it adds little, and it would move frames against their alignment.

Masks are a function of (seed, epoch, name of the utterance) alone. So the chunks of an utterance agree, and so do runs
with other numbers of workers, other shards and other orders.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass
class SpecAugmentOptions:
    """Attributes:
    num_time_masks: masks of time an utterance; 0 is none.
    max_time_frames: longest mask of time, in 10 ms frames.
    max_time_share: a mask of time covers at most this share of its utterance.
    num_freq_masks: masks of frequency an utterance; 0 is none.
    max_freq_bins: widest mask of frequency.
    num_channels: static features and their differences have the same masks: the dimensions are `num_channels` blocks of bins.
        0: as many as the feature pipeline makes of each input dimension.
    """

    num_time_masks: int = 0
    max_time_frames: int = 40
    max_time_share: float = 0.2
    num_freq_masks: int = 0
    max_freq_bins: int = 8
    num_channels: int = 0

    def __post_init__(self) -> None:
        counts = (self.num_time_masks, self.max_time_frames, self.num_freq_masks, self.max_freq_bins, self.num_channels)
        if min(counts) < 0 or not 0 <= self.max_time_share <= 1:
            raise ValueError("spec_augment: numbers must be >= 0, max_time_share in 0..1")

    @property
    def active(self) -> bool:
        return bool((self.num_time_masks and self.max_time_frames) or (self.num_freq_masks and self.max_freq_bins))


@dataclass
class Masks:
    """What is blanked out of U utterances: [first, end) of each of M masks.

    Attributes:
        time_UM2: int64, frames.
        bins_UM2: int64, bins.
    """

    time_UM2: np.ndarray
    bins_UM2: np.ndarray


def utterance_keys(names: Sequence[str]) -> np.ndarray:
    """uint64 [U], what an utterance's random numbers depend on."""
    return np.array([zlib.crc32(name.encode("utf-8")) for name in names], np.uint64)


def draw_masks(
    keys_U: np.ndarray, num_frames_U: np.ndarray, num_bins: int, options: SpecAugmentOptions, seed: int, epoch: int
) -> Masks:
    """The masks of one epoch.

    Args:
        keys_U: see `utterance_keys`.
        num_bins: in a channel; no mask is wider.
    """
    time, freq = options.num_time_masks, options.num_freq_masks
    random_UJ = _uniform(keys_U, 2 * (time + freq), seed, epoch)
    longest_U = np.minimum(options.max_time_frames, np.floor(options.max_time_share * num_frames_U)).astype(np.int64)
    widest = min(options.max_freq_bins, num_bins)
    return Masks(
        _stripes(random_UJ[:, : 2 * time], longest_U[:, None], num_frames_U[:, None]),
        _stripes(random_UJ[:, 2 * time :], np.int64(widest), np.int64(num_bins)),
    )


def apply_masks(features_TD: np.ndarray, masks: Masks, utterance: int, num_channels: int = 1) -> np.ndarray:
    """A copy of a whole utterance's normalised features with the masks of row `utterance`; D is channels x bins.

    Raises:
        ValueError: D is not a multiple of `num_channels`.
    """
    num_frames, dim = features_TD.shape
    if dim % num_channels:
        raise ValueError(f"spec_augment: {dim} dimensions are not {num_channels} channels of equal width")
    masked_TCB = features_TD.copy().reshape(num_frames, num_channels, -1)
    for first, end in masks.time_UM2[utterance]:
        masked_TCB[first:end] = 0
    for first, end in masks.bins_UM2[utterance]:
        masked_TCB[:, :, first:end] = 0
    return masked_TCB.reshape(num_frames, dim)


def _stripes(random_UJ: np.ndarray, longest: np.ndarray, extent: np.ndarray) -> np.ndarray:
    """int64 [U, J / 2, 2]: lengths uniform in 0..longest, begins uniform where the stripe fits."""
    length = np.floor(random_UJ[:, 0::2] * (longest + 1)).astype(np.int64)
    first = np.floor(random_UJ[:, 1::2] * (extent - length + 1)).astype(np.int64)
    return np.stack((first, first + length), -1)


def _uniform(keys_U: np.ndarray, count: int, seed: int, epoch: int) -> np.ndarray:
    """float64 [U, count] in [0, 1): a hash of (key, seed, epoch, number), so that no generator has to be made an utterance."""
    start = np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)
    mixed_U = _splitmix(keys_U.astype(np.uint64) ^ start)
    step = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return (_splitmix(mixed_U[:, None] + step) >> np.uint64(11)) * 2.0**-53


def _splitmix(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele et al. 2014): every output bit depends on every input bit."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
