"""Rooms, noises and levels: clean speech in, what a telephone in the field would have recorded out.

Signals are float64 at 16 kHz on the scale -1..1; every function takes the random generator that it draws from.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import gcd

import numpy as np
from scipy import fft, signal

RATE_HZ = 16000
NOISE_SLOPES = {"white": 0.0, "pink": 1.0, "brown": 2.0}  # power falls as 1 / frequency ** slope
NOISE_KINDS = ("babble", *NOISE_SLOPES)
NOISE_CHANCES = (0.4, 0.2, 0.2, 0.2)


@dataclass(frozen=True)
class Difficulty:
    """What the conditions are drawn from; ranges are uniform."""

    noisy_share: float = 0.85
    reverberant_share: float = 0.5
    snr_db: tuple[float, float] = (0.0, 20.0)
    rt60_s: tuple[float, float] = (0.1, 0.5)
    direct_to_reverberant_db: tuple[float, float] = (0.0, 12.0)
    level_db: tuple[float, float] = (-36.0, -16.0)
    floor_lsb: tuple[float, float] = (0.7, 3.0)  # the noise of the microphone in steps of 16 bits, always there


@dataclass(frozen=True)
class Conditions:
    """Of one utterance. `snr_db` and `rt60_s` are None without noise and without room; `level_db` is relative to full scale."""

    noise: str
    snr_db: float | None
    rt60_s: float | None
    direct_to_reverberant_db: float
    level_db: float
    floor_lsb: float


def draw_conditions(generator: np.random.Generator, difficulty: Difficulty) -> Conditions:
    """The same number of draws whatever comes out, so that one setting does not move the others."""
    noisy, reverberant = generator.random(2)
    kind = NOISE_KINDS[int(np.searchsorted(np.cumsum(NOISE_CHANCES), generator.random(), side="right").clip(0, 3))]
    snr_db, rt60_s, ratio_db, level_db, floor_lsb = (
        float(generator.uniform(*bounds))
        for bounds in (
            difficulty.snr_db,
            difficulty.rt60_s,
            difficulty.direct_to_reverberant_db,
            difficulty.level_db,
            difficulty.floor_lsb,
        )
    )
    is_noisy = noisy < difficulty.noisy_share
    return Conditions(
        noise=kind if is_noisy else "none",
        snr_db=snr_db if is_noisy else None,
        rt60_s=rt60_s if reverberant < difficulty.reverberant_share else None,
        direct_to_reverberant_db=ratio_db,
        level_db=level_db,
        floor_lsb=floor_lsb,
    )


def resample(samples: np.ndarray, up: int, down: int) -> np.ndarray:
    """At up / down of the rate: scipy's resample_poly with its filter kept, which takes as long as the work."""
    common = gcd(up, down)
    return signal.resample_poly(samples, up // common, down // common, window=_resampling_filter(max(up, down) // common))


@lru_cache
def _resampling_filter(factor: int) -> np.ndarray:
    return signal.firwin(20 * factor + 1, 1.0 / factor, window=("kaiser", 5.0))


def room_response(generator: np.random.Generator, rt60_s: float, direct_to_reverberant_db: float) -> np.ndarray:
    """Direct path at sample 0, then noise that falls by 60 dB in `rt60_s`, starting 2 ms later."""
    times_s = np.arange(1, int(rt60_s * RATE_HZ)) / RATE_HZ
    tail = generator.standard_normal(len(times_s)) * 10.0 ** (-3.0 * times_s / rt60_s)
    tail[times_s < 0.002] = 0.0
    tail *= np.sqrt(10.0 ** (-direct_to_reverberant_db / 10.0) / np.sum(tail**2))
    return np.concatenate([[1.0], tail])


def reverberate(speech: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Convolved, of the same length."""
    return signal.fftconvolve(speech, response)[: len(speech)]


def coloured_noise(generator: np.random.Generator, num_samples: int, kind: str) -> np.ndarray:
    """White, pink or brown noise (flat below 60 Hz), of any power."""
    size = fft.next_fast_len(num_samples, real=True)
    spectrum = fft.rfft(generator.standard_normal(size))
    frequencies_hz = np.maximum(fft.rfftfreq(size, 1.0 / RATE_HZ), 60.0)
    return fft.irfft(spectrum * frequencies_hz ** (-NOISE_SLOPES[kind] / 2.0), size)[:num_samples]


def mean_power(samples: np.ndarray) -> float:
    return float(np.mean(np.square(samples)))


def scale_noise(speech_power: float, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """The noise at the power that makes the ratio `snr_db`."""
    return noise * np.sqrt(speech_power / max(mean_power(noise), 1e-20) * 10.0 ** (-snr_db / 10.0))


def to_int16(samples: np.ndarray, level_db: float, active_power: float, floor: np.ndarray) -> np.ndarray:
    """At `level_db` of full scale (by the power while there is speech), less where it would clip; `floor` in steps of 16 bits."""
    gain = 10.0 ** (level_db / 20.0) / np.sqrt(max(active_power, 1e-20))
    gain = min(gain, 0.97 / max(float(np.max(np.abs(samples))), 1e-20))
    return np.clip(np.round(samples * gain * 32768.0 + floor), -32768, 32767).astype("<i2")
