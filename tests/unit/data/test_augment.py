"""Noise, babble and reverberation: levels against numpy, reverberation against scipy, jobs, and bad input."""

import lhotse_toy
import numpy as np
import pytest
import scipy.signal

from asrtool.cli import main
from asrtool.data.augment import AugmentOptions, drawer
from asrtool.data.augment_dir import read_augmentation
from asrtool.data.data_dir import DataDir, select
from asrtool.data.validate import validate
from asrtool.errors import AsrtoolError
from asrtool.io.audio import read_wav, write_wav
from asrtool.io.kaldi_table import read_scp

pytest.importorskip("lhotse", reason="the extra lhotse is not installed")
RATE = 16000
NAMES = [f"s{speaker}-u{number}" for speaker in (1, 2, 3) for number in (1, 2, 3)]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpora")
    return ["--musan", str(lhotse_toy.make_musan(root)), "--rirs", str(lhotse_toy.make_rirs(root))]


def augment(data_dir, out, *options) -> int:
    return main(["augment-data-dir", *options, str(data_dir), str(out)])


def last_line(capsys) -> str:
    return capsys.readouterr().err.strip().splitlines()[-1]


def decibels(ratio: float) -> float:
    return 10 * np.log10(ratio)


def added_noise(data: DataDir, name: str, done: dict, plain: DataDir, original: str) -> tuple[np.ndarray, np.ndarray]:
    """The speech, and what was added to it, before the whole was made less loud; float64."""
    speech = plain.audio(original, RATE).astype(np.float64)
    return speech, data.audio(name, RATE) / done[name]["gain"] - speech


def scaled(one: dict, speech: np.ndarray) -> np.ndarray:
    """What augmentation.jsonl says was added, from the corpus itself."""
    pieces = [read_wav(path, RATE)[start:] for path, start in one["pieces"]]
    noise = np.concatenate([piece[: len(speech)] for piece in pieces])[: len(speech)].astype(np.float64)
    return noise * np.sqrt(np.mean(speech**2) / np.mean(noise**2) * 10 ** (-one["snr"] / 10))


def test_levels_are_those_that_were_asked_for(data_dir, tmp_path, corpora):
    assert augment(data_dir, tmp_path / "out", *corpora, "--noise-snrs=-3:7", "--music-snrs", "0..10") == 0
    data, plain, done = DataDir.load(tmp_path / "out"), DataDir.load(data_dir), read_augmentation(tmp_path / "out")
    snrs = {"noise": [], "music": [], "babble": []}
    for original in NAMES:
        for kind, seen in snrs.items():
            name = f"{original}-{kind}"
            assert len(data.audio(name, RATE)) == len(plain.audio(original, RATE))
            speech, noise = added_noise(data, name, done, plain, original)
            added = done[name]["added"]
            if kind != "babble":
                assert decibels(np.mean(speech**2) / np.mean(noise**2)) == pytest.approx(added[0]["snr"], abs=0.5)
            expected = sum(scaled(one, speech) for one in added)
            assert decibels(np.mean(noise**2) / np.mean(expected**2)) == pytest.approx(0, abs=0.1)
            assert np.corrcoef(noise, expected)[0, 1] > 0.999
            assert len({one["pieces"][0][0] for one in added}) == len(added) - (len(added) == 7)  # six files there are
            seen += [one["snr"] for one in added]
            assert len(added) in ((3, 4, 5, 6, 7) if kind == "babble" else (1,))
    assert set(snrs["noise"]) == {-3, 7} and set(snrs["babble"]) == {13, 15, 17, 20}
    assert len(set(snrs["music"])) == 9 and 0 <= min(snrs["music"]) < max(snrs["music"]) <= 10


def test_reverberation_is_a_convolution(data_dir, tmp_path, corpora):
    assert augment(data_dir, tmp_path / "out", *corpora, "--kinds", "reverb", "--rooms", "largeroom") == 0
    data, plain, done = DataDir.load(tmp_path / "out"), DataDir.load(data_dir), read_augmentation(tmp_path / "out")
    for original in NAMES:
        record, name = done[f"{original}-reverb"], f"{original}-reverb"
        assert "/largeroom/" in record["rir"]
        speech, response = plain.audio(original, RATE).astype(np.float64), read_wav(record["rir"], RATE).astype(np.float64)
        shift = int(np.argmax(response))
        assert shift == 80
        expected = scipy.signal.fftconvolve(speech, response)[shift : shift + len(speech)]
        expected *= np.sqrt(np.mean(speech**2) / np.mean(expected**2)) * record["gain"]
        np.testing.assert_allclose(data.audio(name, RATE), expected, atol=1.0)


def test_tables(data_dir, tmp_path, corpora):
    (data_dir / "spk2gender").write_text("s1 f\ns2 m\ns3 f\n")
    (data_dir / "utt2dur").write_text("".join(f"{name} 0.45\n" for name in NAMES))
    (data_dir / "reco2vol").write_text("".join(f"{name} {0.5 if name == 's1-u1' else 1}\n" for name in NAMES))
    out = tmp_path / "out"
    assert augment(data_dir, out, *corpora, "--kinds", "music reverb", "--modify-spk-id", "true", "--audio-format", "wav") == 0
    assert validate(out, feats=False).errors == []
    data = DataDir.load(out)
    assert data.utterances == sorted(f"{name}-{kind}" for name in NAMES for kind in ("music", "reverb"))
    assert data.utt2spk["s1-u1-music"] == "s1-music" and data.text["s1-u1-reverb"] == ["天", "气"]
    assert read_scp(out / "utt2uniq")["s2-u3-music"] == "s2-u3"
    assert read_scp(out / "spk2gender")["s2-reverb"] == "m" and read_scp(out / "utt2dur")["s1-u2-music"] == "0.45"
    assert data.wav_scp["s1-u1-music"] == f"{out}/audio/music/s1-u1.wav" and data.reco2vol == {}
    whole, half = (np.std(data.audio(f"s1-u{number}-reverb", RATE)) for number in (2, 1))
    assert half / whole == pytest.approx(0.5, abs=0.02)


def test_segments_are_of_the_changed_recordings(data_dir, tmp_path, corpora):
    (data_dir / "segments").write_text("s1-a s1-u3 0.1 0.3\ns1-b s1-u3 0.3 -1\ns2-a s2-u3 0.0 0.5\n")
    for name, content in (("utt2spk", "s1-a s1\ns1-b s1\ns2-a s2\n"), ("text", "s1-a a\ns1-b b\ns2-a c\n")):
        (data_dir / name).write_text(content)
    select(data_dir, data_dir, ["s1-a", "s1-b", "s2-a"])
    assert augment(data_dir, tmp_path / "out", *corpora, "--kinds", "noise") == 0
    assert (tmp_path / "out" / "segments").read_text().splitlines()[:2] == [
        "s1-a-noise s1-u3-noise 0.1 0.3",
        "s1-b-noise s1-u3-noise 0.3 -1",
    ]
    assert validate(tmp_path / "out", feats=False).errors == []
    assert sorted(path.name for path in (tmp_path / "out" / "audio" / "noise").iterdir()) == ["s1-u3.flac", "s2-u3.flac"]


def audio_of(out) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted((out / "audio").rglob("*.flac"))}


def test_jobs_and_what_was_broken_off(data_dir, tmp_path, corpora, capsys):
    one, three = tmp_path / "one", tmp_path / "three"
    assert augment(data_dir, one, *corpora, "--seed", "4") == 0
    assert augment(data_dir, three, *corpora, "--seed", "4", "--nj", "3", "--job", "2") == 0
    first = {path: path.stat().st_mtime_ns for path in three.rglob("*.flac")}
    log = three / ".augment" / "2-of-3.jsonl"
    log.write_bytes(log.read_bytes()[:-30])  # killed while it wrote
    assert augment(data_dir, three, *corpora, "--seed", "4", "--collect", "true") == 1
    assert "s1-u1: reverb: no audio of it (nor of 24 more); run the jobs first" in last_line(capsys)
    assert augment(data_dir, three, *corpora, "--seed", "4", "--nj", "2") == 0
    assert audio_of(one) == audio_of(three) and len(audio_of(one)) == 36
    assert sum(path.stat().st_mtime_ns != time for path, time in first.items()) == 1
    assert (one / "augmentation.jsonl").read_text() == (three / "augmentation.jsonl").read_text()
    assert augment(data_dir, tmp_path / "other", *corpora, "--seed", "5") == 0
    assert len([name for name, data in audio_of(tmp_path / "other").items() if data != audio_of(one)[name]]) > 30
    capsys.readouterr()
    assert augment(data_dir, one, *corpora, "--seed", "5", "--num-babble", "2") == 1
    assert "was begun with other settings (num_babble, seed); remove it" in last_line(capsys)
    part = tmp_path / "part"
    select(data_dir, part, ["s2-u1"])
    assert augment(part, tmp_path / "alone", *corpora, "--seed", "4") == 0  # the others make no difference
    assert audio_of(tmp_path / "alone").items() <= audio_of(one).items()


def test_loud_silent_and_of_another_rate(data_dir, tmp_path, corpora):
    wavs = read_scp(data_dir / "wav.scp")
    square = np.where(np.arange(8000) // 20 % 2, 32000, -32000)
    write_wav(wavs["s1-u1"], square, RATE)
    write_wav(wavs["s1-u2"], np.zeros(4000), RATE)
    write_wav(wavs["s1-u3"], np.random.default_rng(0).normal(size=4000) * 1000, 8000)
    select(data_dir, data_dir, ["s1-u1", "s1-u2", "s1-u3"])
    assert augment(data_dir, tmp_path / "out", *corpora) == 0
    data, done = DataDir.load(tmp_path / "out"), read_augmentation(tmp_path / "out")
    for kind in ("noise", "music", "babble", "reverb"):
        loud = data.audio(f"s1-u1-{kind}", RATE)
        assert done[f"s1-u1-{kind}"]["gain"] < 1 and np.count_nonzero(np.abs(loud) >= 32767) <= 2
        assert done[f"s1-u2-{kind}"]["silent"] is True and not data.audio(f"s1-u2-{kind}", RATE).any()
    plain = DataDir.load(data_dir).audio("s1-u3", 8000).astype(np.float64)
    record = done["s1-u3-noise"]
    noise = data.audio("s1-u3-noise", 8000) / record["gain"] - plain
    assert decibels(np.mean(plain**2) / np.mean(noise**2)) == pytest.approx(record["added"][0]["snr"], abs=0.5)


def test_silence_and_damage_in_the_corpora(data_dir, tmp_path, capsys):
    musan, rirs = lhotse_toy.make_musan(tmp_path), lhotse_toy.make_rirs(tmp_path)
    for path in sorted((musan / "noise").rglob("*.wav"))[1:]:
        write_wav(str(path), np.zeros(16000), RATE)
    both = ["--musan", str(musan), "--rirs", str(rirs)]
    assert augment(data_dir, tmp_path / "out", *both, "--kinds", "noise") == 0
    for record in read_augmentation(tmp_path / "out").values():  # silence was drawn again
        assert any("0000.wav" in path for path, _ in record["added"][0]["pieces"])
    for path in [*(musan / "noise").rglob("*.wav"), *(rirs / "simulated_rirs").rglob("*.wav")]:
        write_wav(str(path), np.zeros(len(read_wav(str(path), RATE))), RATE)
    capsys.readouterr()
    for kind, said in (
        ("noise", "nothing but silence was drawn from it and its like, 20 times"),
        ("reverb", "responses were drawn, all silent"),
    ):
        assert augment(data_dir, tmp_path / kind, *both, "--kinds", kind) == 1
        assert said in last_line(capsys) and not (tmp_path / kind / "utt2spk").exists()
    for path in (musan / "music").rglob("*.wav"):
        path.write_bytes(b"RIFF....WAVEjunk")
    assert augment(data_dir, tmp_path / "music", *both, "--kinds", "music") == 1
    assert "cannot be read" in (said := last_line(capsys)) and ".wav: s1-u1" not in said and "unpack the corpus again" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--kinds", "noise"], "kind noise needs --musan DIR"),
        (["--kinds", "reverb"], "kind reverb needs --rirs DIR"),
        (["--kinds", "hum"], "--kinds 'hum': expected some of reverb, noise, music, babble"),
        (["--kinds", ""], "--kinds '': expected"),
        (["--kinds", "noise", "--musan", "."], "--musan .: no folder noise in it; expected the unpacked corpus musan"),
        (["--noise-snrs", "loud"], "--noise-snrs loud: expected numbers as 15:10:5"),
        (["--music-snrs", "9..5"], "--music-snrs 9..5: expected numbers"),
        (["--num-babble", "0:1"], "--num-babble 0:1: expected whole numbers above 0"),
    ],
)
def test_bad_options(data_dir, tmp_path, capsys, monkeypatch, options, said):
    monkeypatch.chdir(tmp_path)
    assert augment(data_dir, tmp_path / "out", *options) == 1
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and said in error[0]


def test_directories_that_cannot_be_augmented(data_dir, tmp_path, corpora, capsys):
    assert augment(data_dir, data_dir, *corpora) == 1
    assert "is the source itself" in last_line(capsys)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "feats.scp").write_text("x y\n")
    assert augment(data_dir, tmp_path / "out", *corpora) == 1
    assert "feats.scp: is there already" in last_line(capsys)
    assert augment(data_dir, tmp_path / "o", *corpora, "--rooms", "hall") == 1
    assert "simulated_rirs/hall: no such folder; mend --rooms" in last_line(capsys)
    (data_dir / "reco2speed").write_text("".join(f"{name} 0.9\n" for name in NAMES))
    assert augment(data_dir, tmp_path / "o", *corpora) == 1
    assert "s1-u1: is at another speed; augment" in last_line(capsys)
    (data_dir / "reco2speed").unlink()
    wav = read_scp(data_dir / "wav.scp")
    (data_dir / "wav.scp").write_text(
        "".join(f"{name} {path if name != 's2-u2' else 'absent.wav'}\n" for name, path in wav.items())
    )
    assert augment(data_dir, tmp_path / "o", *corpora, "--kinds", "noise") == 1
    assert "wav.scp: s2-u2: absent.wav" in last_line(capsys)
    assert augment(data_dir, tmp_path / "o", *corpora, "--kinds", "noise", "--max-failed", "0.2") == 0
    assert len(DataDir.load(tmp_path / "o").utterances) == 8


def test_what_can_be_drawn():
    import random

    rng = random.Random(0)
    assert {drawer("1:2:3", "")[0](rng) for _ in range(50)} == {1, 2, 3}
    drawn = [drawer("-5..5", "")[0](rng) for _ in range(200)]
    assert -5 <= min(drawn) < -4 and 4 < max(drawn) <= 5
    with pytest.raises(AsrtoolError, match="each once"):
        AugmentOptions(kinds=("noise", "noise"))
