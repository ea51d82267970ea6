"""Change of speed: against scipy's polyphase filter with the same window, and by its effect on sines."""

import numpy as np
import pytest
import scipy.signal

from asrtool.io.audio import read_wav
from asrtool.io.resample import change_speed, num_samples_at, speed_ratio

RATE = 16000


@pytest.mark.parametrize("speed", [0.9, 1.1, 1.05, 0.937, 0.5, 2.0, 1.0])
@pytest.mark.parametrize("num_samples", [1, 5, 333, 16000])
def test_against_scipy(speed, num_samples):
    samples = (np.random.default_rng(0).normal(size=num_samples) * 1000).astype(np.float32)
    result = change_speed(samples, speed)
    ratio = speed_ratio(speed)
    largest = max(ratio.numerator, ratio.denominator)
    window = scipy.signal.firwin(2 * 64 * largest + 1, 0.96 / largest, window=("kaiser", 8.0))
    expected = scipy.signal.resample_poly(samples.astype(np.float64), ratio.denominator, ratio.numerator, window=window)
    assert result.dtype == np.float32
    assert len(result) == len(expected) == num_samples_at(num_samples, speed) == int(np.ceil(num_samples / ratio))
    # scipy's weights are normalised all together, ours for each output: they differ by 80 dB
    np.testing.assert_allclose(result, expected if speed != 1 else samples, atol=0.3)


@pytest.mark.parametrize("speed", [0.9, 1.1])
@pytest.mark.parametrize("frequency", [50, 440, 3000, 6500])
def test_a_sine_moves_to_speed_times_its_frequency_and_nothing_else_appears(speed, frequency):
    sine = 10000 * np.sin(2 * np.pi * frequency * np.arange(2 * RATE) / RATE).astype(np.float32)
    result = change_speed(sine, speed)[1000:-1000]
    spectrum = np.abs(np.fft.rfft(result * np.kaiser(len(result), 14)))
    frequencies = np.fft.rfftfreq(len(result), 1 / RATE)
    peak = spectrum.argmax()
    assert frequencies[peak] == pytest.approx(frequency * speed, abs=0.5)
    assert np.std(result) * np.sqrt(2) == pytest.approx(10000, rel=2e-3)
    assert spectrum[np.abs(frequencies - frequencies[peak]) > 30].max() < 1e-4 * spectrum[peak]


def test_what_would_fold_back_is_removed():
    sine = 10000 * np.sin(2 * np.pi * 7700 * np.arange(RATE) / RATE).astype(np.float32)
    assert np.abs(change_speed(sine, 1.1)[500:-500]).max() < 5


def test_a_constant_stays_and_there_and_back_is_the_same(kaldi_reference):
    assert np.allclose(change_speed(np.full(5000, 3.0, np.float32), 0.9)[200:-200], 3)
    speech = read_wav(str(sorted((kaldi_reference / "wav").glob("*.wav"))[0]), RATE)
    again = change_speed(change_speed(speech, 0.5), 2.0)
    assert len(again) == len(speech)
    assert np.sqrt(np.mean((again - speech)[100:-100] ** 2)) < 0.02 * np.std(speech)
