"""Filterbanks and MFCC against Kaldi's files, kaldi_native_fbank and a float64 reference."""

import kaldi_native_fbank
import numpy as np
import pytest

from asrtool.feat.extraction_options import FbankOptions, MfccOptions
from asrtool.feat.fbank import FeatureExtractor, dct_matrix, mel_banks, window_function
from asrtool.io.audio import read_wav
from asrtool.io.kaldi_table import MatrixReader


@pytest.fixture(scope="module")
def waves(kaldi_reference):
    return {path.stem: read_wav(str(path), 16000) for path in sorted((kaldi_reference / "wav").glob("*.wav"))}


@pytest.fixture(scope="module")
def noise():
    random = np.random.default_rng(5)
    return [np.round(random.normal(size=size) * 3000).astype(np.float32) for size in (400, 559, 560, 16000, 24321)]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("fbank28_snip_true", FbankOptions(num_mel_bins=28)),
        ("fbank28_snip_false", FbankOptions(num_mel_bins=28, snip_edges=False)),
        ("fbank40_snip_true", FbankOptions(num_mel_bins=40)),
        ("fbank40_snip_false", FbankOptions(num_mel_bins=40, snip_edges=False)),
        ("mfcc13", MfccOptions()),
    ],
)
def test_equals_kaldi(kaldi_reference, waves, name, options):
    features = dict(zip(waves, FeatureExtractor(options)(list(waves.values())), strict=True))
    for utterance, expected in MatrixReader(kaldi_reference / "feats" / f"{name}.txt.gz").items():
        np.testing.assert_allclose(features[utterance], expected, rtol=1e-5, atol=1e-3)


def float64_mfcc(wave, options):
    frames = np.lib.stride_tricks.sliding_window_view(wave.astype(np.float64), options.window_size)[:: options.window_shift]
    frames = frames - frames.mean(axis=1, keepdims=True)
    frames = frames - 0.97 * np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    power = np.abs(np.fft.rfft(frames * window_function(options), options.padded_window_size)) ** 2
    return np.log(np.maximum(power @ mel_banks(options), np.finfo(np.float32).eps)) @ dct_matrix(options)


def test_mfcc_equals_float64(noise):
    for wave, features in zip(noise, FeatureExtractor(MfccOptions())(noise), strict=True):
        np.testing.assert_allclose(features, float64_mfcc(wave, MfccOptions()), atol=5e-4)


def oracle(wave, options):
    """kaldi_native_fbank with the same options."""
    mfcc = isinstance(options, MfccOptions)
    theirs = kaldi_native_fbank.MfccOptions() if mfcc else kaldi_native_fbank.FbankOptions()
    frame, mel = theirs.frame_opts, theirs.mel_opts
    frame.samp_freq, frame.frame_length_ms, frame.frame_shift_ms = (
        options.sample_frequency,
        options.frame_length,
        options.frame_shift,
    )
    frame.dither, frame.preemph_coeff, frame.remove_dc_offset = 0, options.preemphasis_coefficient, options.remove_dc_offset
    frame.window_type, frame.snip_edges = options.window_type, options.snip_edges
    mel.num_bins, mel.low_freq, mel.high_freq = options.num_mel_bins, options.low_freq, options.high_freq
    theirs.use_energy, theirs.raw_energy, theirs.energy_floor = options.use_energy, options.raw_energy, options.energy_floor
    if mfcc:
        theirs.num_ceps, theirs.cepstral_lifter = options.num_ceps, options.cepstral_lifter
    else:
        theirs.use_log_fbank, theirs.use_power = options.use_log_fbank, options.use_power
    computer = (kaldi_native_fbank.OnlineMfcc if mfcc else kaldi_native_fbank.OnlineFbank)(theirs)
    computer.accept_waveform(options.sample_frequency, wave.tolist())
    computer.input_finished()
    return np.array([computer.get_frame(index) for index in range(computer.num_frames_ready)])


@pytest.mark.parametrize(
    "options",
    [
        FbankOptions(num_mel_bins=28, use_energy=True),
        FbankOptions(num_mel_bins=28, use_energy=True, raw_energy=False, snip_edges=False),
        FbankOptions(num_mel_bins=40, window_type="hamming", low_freq=100, high_freq=-200),
        FbankOptions(num_mel_bins=24, window_type="hanning", use_power=False, remove_dc_offset=False),
        FbankOptions(num_mel_bins=23, sample_frequency=8000, preemphasis_coefficient=0.0),
        FbankOptions(num_mel_bins=23, frame_length=20, frame_shift=12.5, use_log_fbank=False),
        MfccOptions(use_energy=True),
        MfccOptions(num_ceps=20, num_mel_bins=40, cepstral_lifter=0, snip_edges=False),
    ],
)
def test_equals_oracle(noise, options):
    for wave, features in zip(noise, FeatureExtractor(options)(noise), strict=True):
        if len(features):
            expected = oracle(wave, options)
            assert features.shape == expected.shape
            np.testing.assert_allclose(features, expected, rtol=1e-4, atol=2e-3)
        else:
            assert options.num_frames(len(wave)) == 0


@pytest.mark.parametrize("snip_edges", [True, False])
def test_batches_change_nothing(noise, snip_edges):
    extractor = FeatureExtractor(FbankOptions(snip_edges=snip_edges))
    together = extractor(noise)
    for wave, features in zip(noise, together, strict=True):
        np.testing.assert_allclose(extractor([wave])[0], features, atol=1e-4)
        assert len(features) == extractor.options.num_frames(len(wave))


def test_short_waves_and_silence():
    extractor = FeatureExtractor(FbankOptions(num_mel_bins=28))
    short, silent = extractor([np.ones(399, np.float32), np.zeros(400, np.float32)])
    assert short.shape == (0, 28)
    np.testing.assert_allclose(silent, np.log(np.finfo(np.float32).eps), rtol=1e-6)
    mirrored = FeatureExtractor(FbankOptions(snip_edges=False))([np.arange(100, dtype=np.float32)])[0]
    assert mirrored.shape == (1, 23)


def test_dither_depends_on_the_name_only(noise):
    extractor = FeatureExtractor(FbankOptions(dither=1.0))
    first, second = extractor([noise[3], noise[3]], ["a", "b"])
    again = extractor([noise[3]], ["a"])[0]
    np.testing.assert_allclose(first, again, atol=1e-4)
    assert not np.allclose(first, second, atol=1e-3)
