"""Rooms, noises and levels of mini_mandarin against what they are asked for."""

import numpy as np
import pytest


@pytest.fixture(scope="module")
def local(repository):
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(str(repository / "egs" / "mini_mandarin" / "s5" / "local"))
    import acoustics
    import mix

    yield acoustics, mix
    patch.undo()


def tone(seconds: float, frequency_hz: float = 440.0) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * frequency_hz * np.arange(int(16000 * seconds)) / 16000)


@pytest.mark.parametrize("snr_db", [0.0, 7.5, 20.0])
def test_noise_is_scaled_to_the_ratio(local, snr_db):
    acoustics = local[0]
    speech = tone(1.0)
    noise = acoustics.coloured_noise(np.random.default_rng(0), len(speech), "pink")
    scaled = acoustics.scale_noise(acoustics.mean_power(speech), noise, snr_db)
    assert 10 * np.log10(np.mean(speech**2) / np.mean(scaled**2)) == pytest.approx(snr_db, abs=1e-9)


@pytest.mark.parametrize("kind", ["babble", "white", "pink", "brown"])
def test_the_ratio_holds_in_the_recording(local, kind):
    """Measured on the int16 samples: noise power where there is no speech, and everything where there is."""
    acoustics, mix = local
    difficulty = acoustics.Difficulty(noisy_share=1.0, reverberant_share=0.0, snr_db=(5.0, 5.0), level_db=(-20.0, -20.0))
    others = [(8000 * np.random.default_rng(9).standard_normal(70000)).astype(np.int16)]
    for seed in range(400):
        if acoustics.draw_conditions(np.random.default_rng(seed), difficulty).noise == kind:
            break
    samples, conditions = mix.record(tone(4.0), 4.0, 0.1, others, np.random.default_rng(seed), difficulty)
    assert conditions.noise == kind
    before, during = samples[:64000].astype(float), samples[64000:128000].astype(float)
    noise_power = np.mean(before**2)
    measured_db = 10 * np.log10((np.mean(during**2) - noise_power) / noise_power)
    assert measured_db == pytest.approx(5.0, abs=1.2)


@pytest.mark.parametrize(("kind", "slope"), [("white", 0.0), ("pink", -10.0), ("brown", -20.0)])
def test_noise_colours_fall_as_they_should(local, kind, slope):
    """Slope in dB a decade between 200 Hz and 2 kHz."""
    noise = local[0].coloured_noise(np.random.default_rng(1), 1 << 18, kind)
    power = np.abs(np.fft.rfft(noise)) ** 2
    frequencies = np.fft.rfftfreq(len(noise), 1 / 16000)

    def level_db(hz: float) -> float:
        return 10 * np.log10(power[(frequencies > 0.9 * hz) & (frequencies < 1.1 * hz)].mean())

    assert level_db(2000) - level_db(200) == pytest.approx(slope, abs=0.7)


def test_the_room_decays_by_60_db_in_its_time(local):
    """Schroeder's backward integral between -5 and -25 dB, extrapolated."""
    response = local[0].room_response(np.random.default_rng(2), 0.4, 3.0)
    tail = response[1:]
    assert response[0] == 1.0
    assert 10 * np.log10(1.0 / np.sum(tail**2)) == pytest.approx(3.0, abs=1e-9)
    decay_db = 10 * np.log10(np.cumsum(tail[::-1] ** 2)[::-1] / np.sum(tail**2))
    at = [int(np.argmax(decay_db < level)) for level in (-5.0, -25.0)]
    assert (at[1] - at[0]) / 16000 * 3 == pytest.approx(0.4, rel=0.1)


def test_levels_are_kept_and_never_clip(local):
    acoustics = local[0]
    speech = tone(0.5)
    power = acoustics.mean_power(speech)
    quiet = acoustics.to_int16(speech, -30.0, power, np.zeros(len(speech)))
    assert 20 * np.log10(np.sqrt(np.mean(quiet.astype(float) ** 2)) / 32768) == pytest.approx(-30.0, abs=0.05)
    loud = acoustics.to_int16(np.append(speech, 5.0), -10.0, power, np.zeros(len(speech) + 1))
    assert np.abs(loud.astype(int)).max() <= round(0.97 * 32768)


def test_conditions_follow_the_shares(local):
    acoustics = local[0]
    drawn = [acoustics.draw_conditions(np.random.default_rng(seed), acoustics.Difficulty()) for seed in range(2000)]
    assert np.mean([c.snr_db is not None for c in drawn]) == pytest.approx(0.85, abs=0.03)
    assert np.mean([c.rt60_s is not None for c in drawn]) == pytest.approx(0.5, abs=0.04)
    assert np.mean([c.noise == "babble" for c in drawn]) == pytest.approx(0.85 * 0.4, abs=0.04)
    assert all(0 <= c.snr_db <= 20 for c in drawn if c.snr_db is not None)
    assert all(0.1 <= c.rt60_s <= 0.5 for c in drawn if c.rt60_s is not None)


def test_resampling_equals_scipys(local):
    from scipy.signal import resample_poly

    samples = np.random.default_rng(4).standard_normal(3000)
    for down in (441, 430, 416):
        np.testing.assert_array_equal(local[0].resample(samples, 320, down), resample_poly(samples, 320, down))
