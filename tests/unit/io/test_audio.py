"""Reading wav files, pipes and other codings."""

import numpy as np
import pytest
import soundfile

from asrtool.errors import AsrtoolError
from asrtool.io.audio import read_wav, read_wav_and_rate, read_wav_header, write_wav


@pytest.fixture
def samples():
    return np.random.default_rng(0).integers(-32768, 32768, 1000).astype(np.float32)


def test_wav_round_trip(tmp_path, samples):
    path = str(tmp_path / "x.wav")
    write_wav(path, samples, 16000)
    np.testing.assert_array_equal(read_wav(path, 16000), samples)
    assert read_wav_and_rate(path)[1] == 16000
    header = read_wav_header(path)
    assert (header.rate, header.num_samples, header.channels) == (16000, 1000, 1)
    oracle, rate = soundfile.read(path, dtype="int16")
    assert rate == 16000
    np.testing.assert_array_equal(oracle, samples)


@pytest.mark.parametrize(("suffix", "subtype"), [("wav", "PCM_24"), ("wav", "FLOAT"), ("flac", "PCM_16"), ("wav", "ULAW")])
def test_other_codings(tmp_path, samples, suffix, subtype):
    path = str(tmp_path / f"x.{suffix}")
    soundfile.write(path, samples / 32768, 16000, subtype=subtype)
    np.testing.assert_allclose(read_wav(path, 16000), samples, atol=1200 if subtype == "ULAW" else 0.01)


def test_extra_chunks_and_extensible_header(tmp_path, samples):
    path = tmp_path / "x.wav"
    soundfile.write(path, samples / 32768, 8000, format="WAVEX", subtype="PCM_16")
    np.testing.assert_array_equal(read_wav(str(path), 8000), samples)
    plain = tmp_path / "p.wav"
    write_wav(str(plain), samples, 8000)
    raw = plain.read_bytes()
    path.write_bytes(raw[:36] + b"LIST" + (4097).to_bytes(4, "little") + b"x" * 4098 + raw[36:])
    np.testing.assert_array_equal(read_wav(str(path), 8000), samples)
    assert read_wav_header(str(path)).num_samples == 1000


def test_pipe_and_unknown_size(tmp_path, samples):
    path = tmp_path / "x.wav"
    write_wav(str(path), samples, 16000)
    np.testing.assert_array_equal(read_wav(f"cat {path} |", 16000), samples)
    raw = bytearray(path.read_bytes())
    raw[40:44] = (0x7FFFF000).to_bytes(4, "little")  # what sox writes into a pipe
    path.write_bytes(raw)
    np.testing.assert_array_equal(read_wav(f"cat {path} |", 16000), samples)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: raw[:-10], "truncated: the header promises 2000 bytes of samples, 1990 are there"),
        (lambda raw: raw[:30], "truncated or damaged wav header"),
        (lambda raw: raw[:36] + b"junk" + raw[40:], "no data chunk"),
        (lambda raw: raw[:12] + b"fmx " + raw[16:], "no fmt chunk"),
        (lambda raw: b"hello" + raw, "not an audio file"),
        (lambda raw: b"", "not an audio file"),
        (lambda raw: raw[:40] + b"\0\0\0\0", "holds no samples"),
        (lambda raw: raw[:22] + b"\2\0" + raw[24:32] + b"\4\0" + raw[34:], "2 channels"),
    ],
)
def test_damage_names_the_file(tmp_path, samples, damage, message):
    path = tmp_path / "x.wav"
    write_wav(str(path), samples, 16000)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(AsrtoolError) as caught:
        read_wav(str(path), 16000)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_wrong_rate_missing_file_and_failing_pipe(tmp_path, samples):
    path = str(tmp_path / "x.wav")
    write_wav(path, samples, 8000)
    with pytest.raises(AsrtoolError, match=r"x\.wav: sampling rate is 8000 Hz, expected 16000"):
        read_wav(path, 16000)
    with pytest.raises(AsrtoolError, match=r"absent\.wav: no such wav file"):
        read_wav(str(tmp_path / "absent.wav"), 16000)
    with pytest.raises(AsrtoolError, match="failed with status 3: no sound"):
        read_wav("echo no sound >&2; exit 3 |", 16000)
