"""Data directories at other speeds and volumes: names, tables, what is read, and sox's entries in wav.scp."""

import numpy as np
import pytest

from asrtool.cli import main
from asrtool.data.data_dir import DataDir, select
from asrtool.data.fix import fix
from asrtool.data.perturb import perturb_speed, perturb_volume
from asrtool.data.recording import Recording, clip
from asrtool.data.subset import kindred_speakers, train_valid_speakers
from asrtool.data.validate import validate
from asrtool.errors import AsrtoolError
from asrtool.io.audio import read_wav, write_wav
from asrtool.io.kaldi_table import read_scp
from asrtool.io.resample import change_speed

RATE = 16000


def run(capsys, command: str) -> tuple[int, str]:
    status = main(command.split())
    return status, capsys.readouterr().err


def test_speed_names_and_tables(data_dir, tmp_path):
    (data_dir / "spk2gender").write_text("s1 f\ns2 m\ns3 f\n")
    (data_dir / "utt2dur").write_text("".join(f"{name} 0.45\n" for name in DataDir.load(data_dir).utterances))
    (data_dir / "reco2dur").write_text((data_dir / "utt2dur").read_text())
    (data_dir / "cmvn.scp").write_text("s1 x:1\n")
    out = tmp_path / "sp"
    assert perturb_speed(data_dir, out, "0.9") == 9
    data = DataDir.load(out)
    assert data.utterances[0] == "sp0.9-s1-u1" and data.utt2spk["sp0.9-s1-u1"] == "sp0.9-s1"
    assert data.text["sp0.9-s1-u1"] == ["天", "气"]
    assert data.reco2speed == dict.fromkeys(data.wav_scp, 0.9)
    assert read_scp(out / "utt2uniq")["sp0.9-s2-u3"] == "s2-u3"
    assert read_scp(out / "spk2gender") == {"sp0.9-s1": "f", "sp0.9-s2": "m", "sp0.9-s3": "f"}
    assert read_scp(out / "reco2dur")["sp0.9-s1-u1"] == read_scp(out / "utt2dur")["sp0.9-s1-u1"] == "0.5000"
    assert not (out / "cmvn.scp").exists()
    assert validate(out, feats=False).errors == []
    again = tmp_path / "again"
    perturb_speed(out, again, "1.1")
    assert read_scp(again / "utt2uniq")["sp1.1-sp0.9-s1-u1"] == "s1-u1"
    assert read_scp(again / "reco2speed")["sp1.1-sp0.9-s1-u1"] == "0.99"
    perturb_speed(data_dir, tmp_path / "same", "1.1", include_spk_prefix=False)
    same = DataDir.load(tmp_path / "same")
    assert same.utt2spk["s1-u1-sp1.1"] == "s1" and sorted(same.wav_scp) == sorted(same.utt2spk)


def test_audio_and_durations(data_dir, tmp_path):
    plain = DataDir.load(data_dir)
    for factor in ("0.9", "1.1"):
        perturb_speed(data_dir, tmp_path / factor, factor)
        data = DataDir.load(tmp_path / factor)
        for name in ("s1-u1", "s3-u2"):
            wave = data.audio(f"sp{factor}-{name}", RATE)
            expected = change_speed(plain.audio(name, RATE), float(factor))
            np.testing.assert_array_equal(wave, expected)
            assert data.utt2dur[f"sp{factor}-{name}"] == len(wave) / RATE
            assert len(wave) == pytest.approx(len(plain.audio(name, RATE)) / float(factor), abs=1)
    assert data.clipped == {}


def test_segments_are_cut_from_the_perturbed_recording(data_dir, tmp_path):
    (data_dir / "segments").write_text("s1-a s1-u3 0.1 0.3\ns1-b s1-u3 0.3 -1\ns2-a s2-u3 0.0 0.5\n")
    for name, content in (("utt2spk", "s1-a s1\ns1-b s1\ns2-a s2\n"), ("text", "s1-a a\ns1-b b\ns2-a c\n")):
        (data_dir / name).write_text(content)
    (data_dir / "spk2utt").write_text("s1 s1-a s1-b\ns2 s2-a\n")
    select(data_dir, data_dir, ["s1-a", "s1-b", "s2-a"])
    perturb_speed(data_dir, tmp_path / "sp", "0.8")
    assert read_scp(tmp_path / "sp" / "segments") == {
        "sp0.8-s1-a": "sp0.8-s1-u3 0.1250 0.3750",
        "sp0.8-s1-b": "sp0.8-s1-u3 0.3750 -1",
        "sp0.8-s2-a": "sp0.8-s2-u3 0.0000 0.6250",
    }
    assert validate(tmp_path / "sp", feats=False).errors == []
    data = DataDir.load(tmp_path / "sp")
    whole = change_speed(read_wav(data.wav_scp["sp0.8-s1-u3"], RATE), 0.8)
    np.testing.assert_array_equal(data.audio("sp0.8-s1-a", RATE), whole[2000:6000])
    assert data.utt2dur["sp0.8-s1-b"] == pytest.approx(0.25)


def test_volume_is_drawn_by_name_and_clips(data_dir, tmp_path, capsys):
    loud = str(tmp_path / "wav" / "s1-u1.wav")
    write_wav(loud, np.tile([20000, -20000, 100], 2000), RATE)
    plain = DataDir.load(data_dir).audio("s1-u1", RATE)
    (data_dir / "given").write_text("".join(f"{name} 2\n" for name in DataDir.load(data_dir).utterances))
    (data_dir / "feats.scp").write_text("x y\n")
    assert main(["perturb-data-dir-volume", "--reco2vol", str(data_dir / "given"), str(data_dir)]) == 0
    assert not (data_dir / "feats.scp").exists() and (data_dir / ".backup" / "feats.scp").is_file()
    data = DataDir.load(data_dir)
    np.testing.assert_array_equal(data.audio("s1-u1", RATE), np.clip(2 * plain, -32768, 32767))
    assert data.clipped == {"s1-u1": 4000}
    assert main(["make-features", "fbank", str(data_dir), str(tmp_path / "fbank")]) == 0
    assert "4000 samples of 1 recordings were cut off at 16 bits" in capsys.readouterr().err
    assert perturb_volume(data_dir) is None  # done already

    (data_dir / "reco2vol").unlink()
    drawn = perturb_volume(data_dir, seed=3)
    assert len(set(drawn.values())) == 9 and 0.125 <= min(drawn.values()) < max(drawn.values()) <= 2
    select(data_dir, tmp_path / "part", ["s2-u1"])
    assert DataDir.load(tmp_path / "part").reco2vol["s2-u1"] == pytest.approx(drawn["s2-u1"], rel=1e-5)
    (tmp_path / "part" / "reco2vol").unlink()
    assert perturb_volume(tmp_path / "part", seed=3) == {"s2-u1": drawn["s2-u1"]}  # the others make no difference


def test_clipping_is_counted():
    samples, clipped = clip(np.array([-40000, -32768, 0, 32767, 32768], np.float32))
    assert samples.tolist() == [-32768, -32768, 0, 32767, 32767] and clipped == 2


SOX = [
    ("{w}", Recording("{w}")),
    ("sox -t wav {w} -t wav - speed 0.9 |", Recording("{w}", 0.9)),
    ("cat {w} | sox -t wav - -t wav - speed 1.1 |", Recording("cat {w} |", 1.1)),
    ("sox --vol 0.5 -t wav {w} -t wav - |", Recording("{w}", 1, 0.5)),
    ("sox -t wav {w} -t wav - speed 0.9 | sox --vol 0.25 -t wav - -t wav - |", Recording("{w}", 0.9, 0.25)),
    ("sox -t wav {w} -t wav - speed 0.9 | sox -t wav - -t wav - speed 0.5 |", Recording("{w}", 0.45)),
    ("cat {w} |", Recording("cat {w} |")),
    ("sox {w} -t wav -r 16000 - |", Recording("sox {w} -t wav -r 16000 - |")),
    ("sox -t wav - -t wav - speed 0.9 |", Recording("sox -t wav - -t wav - speed 0.9 |")),
]


@pytest.mark.parametrize(("entry", "expected"), SOX)
def test_kaldis_sox_entries(entry, expected):
    found = Recording.parse(entry.format(w="/a/b.wav"))
    assert found == Recording(expected.entry.format(w="/a/b.wav"), expected.speed, expected.volume)


def test_sox_entries_are_read_without_sox(data_dir, tmp_path, monkeypatch):
    wav = tmp_path / "wav" / "s1-u1.wav"
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    plain = read_wav(str(wav), RATE)
    entry = f"cat {wav} | sox -t wav - -t wav - speed 0.9 | sox --vol 0.5 -t wav - -t wav - |"
    samples, rate, clipped = Recording.parse(entry).read(RATE)
    np.testing.assert_array_equal(samples, change_speed(plain, 0.9) * np.float32(0.5))
    assert (rate, clipped) == (RATE, 0)
    (data_dir / "reco2speed").write_text("".join(f"{name} 2\n" for name in DataDir.load(data_dir).utterances))
    content = (data_dir / "wav.scp").read_text()
    (data_dir / "wav.scp").write_text(content.replace(f"s1-u1 {wav}", f"s1-u1 sox -t wav {wav} -t wav - speed 0.5 |"))
    assert DataDir.load(data_dir).recording("s1-u1").speed == 1
    np.testing.assert_array_equal(DataDir.load(data_dir).audio("s1-u1", RATE), plain)


def test_combined_directories_keep_what_each_says(data_dir, tmp_path, capsys):
    perturb_speed(data_dir, tmp_path / "a", "0.9")
    perturb_volume(tmp_path / "a")
    (data_dir / "spk2gender").write_text("s1 f\ns2 m\ns3 f\n")
    perturb_speed(data_dir, tmp_path / "b", "1.1")
    status, said = run(capsys, f"combine-data-dirs {tmp_path}/all {data_dir} {tmp_path}/a {tmp_path}/b")
    assert (status, "left out, as not all directories have them (or not alike): spk2gender" in said) == (0, True)
    data = DataDir.load(tmp_path / "all")
    assert len(data.utterances) == 27 and len(data.spk2utt) == 9
    assert [data.recording(name).speed for name in ("s1-u1", "sp0.9-s1-u1", "sp1.1-s1-u1")] == [1, 0.9, 1.1]
    assert data.reco2vol["s1-u1"] == 1 and data.reco2vol["sp0.9-s1-u1"] != 1
    assert read_scp(tmp_path / "all" / "utt2uniq")["s1-u1"] == "s1-u1"
    assert validate(tmp_path / "all", feats=False).errors == []
    assert fix(tmp_path / "all") == (27, 27)


def test_copies_of_a_speaker_are_never_in_training_and_validation(data_dir, tmp_path):
    perturb_speed(data_dir, tmp_path / "a", "0.9")
    assert main(["combine-data-dirs", str(tmp_path / "all"), str(data_dir), str(tmp_path / "a")]) == 0
    data = DataDir.load(tmp_path / "all")
    assert kindred_speakers(data) == [["s1", "sp0.9-s1"], ["s2", "sp0.9-s2"], ["s3", "sp0.9-s3"]]
    train, valid = train_valid_speakers(data, 0.3, seed=0)
    assert len(train) == 4 and len(valid) == 2 and valid[1] == f"sp0.9-{valid[0]}"
    assert sorted(train + valid) == sorted(data.spk2utt)


def test_segments_are_completed(data_dir, tmp_path):
    select(data_dir, tmp_path / "one", ["s1-u1", "s1-u2"])
    (tmp_path / "one" / "segments").write_text("s1-u1 s1-u1 0.1 0.2\ns1-u2 s1-u2 0.1 0.2\n")
    select(data_dir, tmp_path / "two", ["s2-u1"])
    assert main(["combine-data-dirs", str(tmp_path / "all"), str(tmp_path / "one"), str(tmp_path / "two")]) == 0
    data = DataDir.load(tmp_path / "all")
    assert data.utt2dur == {"s1-u1": pytest.approx(0.1), "s1-u2": pytest.approx(0.1), "s2-u1": pytest.approx(0.3)}


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("perturb-data-dir-speed 0 {d} {d}/x", "speed factor: expected a factor from 0.01 to 100, found '0'"),
        ("perturb-data-dir-speed nan {d} {d}/x", "speed factor: expected a factor from 0.01 to 100, found 'nan'"),
        ("perturb-data-dir-speed fast {d} {d}/x", "speed factor: expected a factor from 0.01 to 100, found 'fast'"),
        ("perturb-data-dir-speed 0.9 {d} {d}", "is the source itself"),
        ("perturb-data-dir-speed 0.9 {d}/absent {d}/x", "absent: no such data directory"),
        ("perturb-data-dir-speed 0.9 {d} {d}/full", "full/feats.scp: is there already; remove"),
        (
            "perturb-data-dir-volume --scale-low 2 --scale-high 1 {d}",
            "--scale-low 2.0 and --scale-high 1.0: expected 0 < low <= high",
        ),
        (
            "perturb-data-dir-volume --reco2vol {d}/some {d}",
            "wav.scp: s1-u2: has no volume in the file that was given (nor 7 more)",
        ),
        ("perturb-data-dir-volume --reco2vol {d}/zero {d}", "zero: s1-u1: expected a factor from 0.01 to 100, found '0'"),
        ("combine-data-dirs {d} {d}", "is one of the sources"),
        ("combine-data-dirs {d}/x {d} {d}", "utt2spk: s1-u1: is in another of the directories too"),
        ("combine-data-dirs {d}/x {d} {d}/absent", "absent: no such data directory"),
        ("combine-data-dirs {d}/x {d}/bad", "bad/reco2speed: s1-u1: expected a factor"),
        ("make-features fbank {d}/less {d}/out", "s2-u1: recording 's2-u1' is not in it; add it (1: as it is)"),
    ],
)
def test_bad_input_is_one_line(data_dir, capsys, command, expected):
    (data_dir / "some").write_text("s1-u1 1\n")
    (data_dir / "zero").write_text("s1-u1 0\n")
    for name, extra, content in (
        ("full", "feats.scp", "s1-u1 x\n"),
        ("bad", "reco2speed", "s1-u1 -1\n"),
        ("less", "reco2speed", "s1-u1 1\n"),
    ):
        select(data_dir, data_dir / name, ["s1-u1", "s2-u1"])
        (data_dir / name / extra).write_text(content)
    status, said = run(capsys, command.format(d=data_dir))
    assert status == 1
    assert expected in said.strip().splitlines()[-1]
    assert "Traceback" not in said


def test_validate_and_fix_know_the_factors(data_dir, capsys):
    names = DataDir.load(data_dir).utterances
    (data_dir / "reco2speed").write_text("".join(f"{name} {'0' if name == 's1-u2' else '1'}\n" for name in names[:-1]))
    errors = validate(data_dir, feats=False).errors
    assert len(errors) == 2
    assert any("reco2speed: s1-u2: expected a factor from 0.01 to 100, found '0'; mend the line" in error for error in errors)
    assert any("reco2speed: s3-u3: missing here" in error for error in errors)
    assert fix(data_dir) == (9, 8)
    assert "reco2speed: s3-u3: left out: its recording is not in it" in capsys.readouterr().err
    with pytest.raises(AsrtoolError, match="reco2speed: s1-u2: expected a factor"):
        DataDir.load(data_dir)


def test_a_directory_that_was_not_finished_is_none(data_dir, tmp_path, monkeypatch):
    from asrtool.data import data_dir as module

    perturb_speed(data_dir, tmp_path / "sp", "0.9")

    def fail(path, utt2spk):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_spk2utt", fail)
        with pytest.raises(OSError, match="no space"):
            perturb_speed(data_dir, tmp_path / "sp", "1.1")
    with pytest.raises(AsrtoolError, match="utt2spk: no such file"):
        DataDir.load(tmp_path / "sp")
    perturb_speed(data_dir, tmp_path / "sp", "1.1")
    assert DataDir.load(tmp_path / "sp").recording("sp1.1-s1-u1").speed == 1.1
