"""Bad input to the feature verbs: exit status 1 and a line that names file, utterance and mend."""

import numpy as np
import pytest
import soundfile

from asrtool.cli import main
from asrtool.io.kaldi_table import MatrixWriter


def make_features(data_dir, *extra):
    return main(["make-features", *extra, "fbank", str(data_dir), str(data_dir.parent / "fbank")])


def wav(data_dir, name):
    return data_dir.parent.parent / "wav" / f"{name}.wav"


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda path: path.unlink(), "s1-u2.wav: no such wav file; mend wav.scp"),
        (lambda path: path.write_bytes(path.read_bytes()[:999]), "s1-u2.wav: truncated: the header promises 12800 bytes"),
        (lambda path: path.write_bytes(path.read_bytes()[:40]), "s1-u2.wav: truncated or damaged wav header"),
        (lambda path: path.write_bytes(b"rubbish" * 99), "s1-u2.wav: not an audio file"),
        (lambda path: soundfile.write(path, np.zeros(8000), 8000), "sampling rate is 8000 Hz, expected 16000"),
        (lambda path: soundfile.write(path, np.zeros((8000, 2)), 16000), "has 2 channels, expected one"),
        (lambda path: soundfile.write(path, np.zeros(100), 16000), "0.006 s are shorter than one frame"),
        (lambda path: soundfile.write(path, np.full(8000, np.nan), 16000, subtype="FLOAT"), "NaN or infinity"),
    ],
)
def test_bad_wav(data_dir, capsys, damage, expected):
    damage(wav(data_dir, "s1-u2"))
    assert make_features(data_dir) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("WARNING: s1-u2: ")
    assert expected in said[0]
    assert said[-1].startswith("asrtool make-features: ERROR: 1 of 9 utterances failed (allowed: 10%); the first: s1-u2: ")
    assert not (data_dir / "feats.scp").exists()
    assert list((data_dir.parent / "fbank").iterdir()) == []
    assert make_features(data_dir, "--max-failed", "0.2") == 0  # the other eight
    assert len((data_dir / "feats.scp").read_text().splitlines()) == 8


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        (["--num-mel-bin=28"], "command line: unknown option '--num-mel-bin'"),
        (["--low-freq=9000"], "do not fit 16000"),
        (["--compression-method", "9"], "--compression-method 9: expected Kaldi's 1 to 7"),
        (["--job", "3", "--nj", "2"], "job 3 of 2"),
        (["--collect", "true"], "raw_fbank_train.1.scp: no such file"),
        (["--config", "absent.conf"], "absent.conf: no such conf file"),
    ],
)
def test_bad_options(data_dir, capsys, extra, expected):
    assert make_features(data_dir, *extra) == 1
    assert expected in capsys.readouterr().err


def test_failing_pipe(data_dir, edit, capsys):
    edit(data_dir / "wav.scp", str(wav(data_dir, "s2-u1")), "echo no sound >&2; exit 2 |")
    assert make_features(data_dir) == 1
    assert (
        "s2-u1: 'echo no sound >&2; exit 2 |': the command failed with status 2: no sound; mend wav.scp"
        in capsys.readouterr().err
    )


def test_segment_of_an_unknown_recording(data_dir, capsys):
    (data_dir / "segments").write_text("".join(f"s{s}-u{u} s{s} 0.0 0.1\n" for s in "123" for u in "123"))
    assert make_features(data_dir) == 1
    assert "wav.scp: s1-u1: recording 's1' is not in it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("matrices", "expected"),
    [
        ({"s1-u1": np.ones((3, 2)), "s1-u2": np.ones((3, 4))}, "feats.scp: s1-u2: 4 dimensions, those before have 2"),
        ({"s1-u1": np.full((3, 2), np.nan)}, "f.ark: s1-u1: NaN or infinity in frame 0"),
        ({"x-u1": np.ones((3, 2))}, "utt2spk: x-u1: not in it, but in feats.scp"),
        ({}, "feats.scp: no utterances"),
    ],
)
def test_bad_features(data_dir, capsys, matrices, expected):
    with MatrixWriter(data_dir / "f.ark", data_dir / "feats.scp") as writer:
        for utterance, matrix in matrices.items():
            writer.write(utterance, matrix.astype(np.float32))
    assert main(["compute-cmvn-stats", str(data_dir)]) == 1
    said = capsys.readouterr().err
    assert expected in said
    assert len(said.splitlines()) == 1


def test_truncated_archive_and_missing_speaker(data_dir, capsys):
    assert make_features(data_dir) == 0
    assert main(["compute-cmvn-stats", str(data_dir)]) == 0
    cmvn = data_dir / "cmvn.scp"
    cmvn.write_text(cmvn.read_text().replace("s1 ", "s7 "))
    copy = ["copy-features", "--apply-cmvn", "speaker", str(data_dir), str(data_dir / "x.ark")]
    capsys.readouterr()
    assert main(copy) == 1
    assert "cmvn.scp: s1-u1: speaker 's1' is not in it" in capsys.readouterr().err
    ark = data_dir.parent / "fbank" / "raw_fbank_train.1.ark"
    ark.write_bytes(ark.read_bytes()[:-1])
    assert main(["copy-features", str(data_dir), str(data_dir / "x.ark")]) == 1
    assert "raw_fbank_train.1.ark: s3-u3: truncated" in capsys.readouterr().err
    assert not (data_dir / "x.ark").exists()
    assert main(["copy-features", "--add-deltas", "true", str(data_dir / "feats.scp"), str(data_dir / "x.ark")]) == 1
    assert "need a data directory" in capsys.readouterr().err
