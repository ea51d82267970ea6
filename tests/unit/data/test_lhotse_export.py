"""Data directories to lhotse manifests and back: the same bytes, and what lhotse itself makes of them."""

import gzip
import json
import re
import shutil

import numpy as np
import pytest

from asrtool.cli import main
from asrtool.data.data_dir import DataDir, select
from asrtool.data.lhotse_lines import read_lines
from asrtool.data.perturb import perturb_speed, perturb_volume
from asrtool.io.kaldi_table import MatrixReader, read_scp

FILES = ("recordings", "supervisions", "cuts", "features")


def files_of(directory) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


def to_lhotse(data_dir, out, *options) -> None:
    assert main(["to-lhotse", *options, str(data_dir), str(out)]) == 0


def both_ways_back(manifests, out, features: bool) -> list[dict[str, bytes]]:
    """The data directories made of recordings and supervisions, and of cuts."""
    more = ["--features", str(manifests / "features.jsonl.gz")] if features else []
    pair = [f"--{name}={manifests}/{name}.jsonl.gz" for name in ("recordings", "supervisions")]
    assert main(["from-lhotse", *pair, *more, str(out / "pair")]) == 0
    assert main(["from-lhotse", *more, str(manifests / "cuts.jsonl.gz"), str(out / "cuts")]) == 0
    return [files_of(out / "pair"), files_of(out / "cuts")]


@pytest.fixture
def rich_dir(data_dir, tmp_path):
    """With features, statistics, durations, languages, genders and an empty transcript."""
    assert main(["make-features", "fbank", str(data_dir), str(tmp_path / "fbank")]) == 0
    assert main(["compute-cmvn-stats", str(data_dir)]) == 0
    names = DataDir.load(data_dir).utterances
    (data_dir / "spk2gender").write_text("s1 f\ns2 m\ns3 f\n")
    (data_dir / "utt2lang").write_text("".join(f"{name} zh\n" for name in names))
    (data_dir / "utt2uniq").write_text("".join(f"{name} {name}\n" for name in names))
    (data_dir / "reco2dur").write_text("".join(f"{name} {0.3 + 0.1 * (k % 3):.2f}\n" for k, name in enumerate(names)))
    text = data_dir / "text"
    text.write_text(text.read_text().replace("s2-u1 天 气\n", "s2-u1\n").replace("s3-u3 one two", "s3-u3 one  two"))
    return data_dir


def test_the_same_bytes_come_back(rich_dir, tmp_path):
    to_lhotse(rich_dir, tmp_path / "m")
    before = files_of(rich_dir)
    assert {"feats.scp", "cmvn.scp", "utt2dur", "reco2dur", "frame_shift", "spk2gender"} <= set(before)
    for after in both_ways_back(tmp_path / "m", tmp_path, True):
        assert after == before
    first = {name: (tmp_path / "m" / f"{name}.jsonl.gz").read_bytes() for name in FILES}
    to_lhotse(rich_dir, tmp_path / "again")
    assert {name: (tmp_path / "again" / f"{name}.jsonl.gz").read_bytes() for name in FILES} == first
    without = both_ways_back(tmp_path / "m", tmp_path / "without", False)
    assert without[0] == without[1] == {k: v for k, v in before.items() if k not in _OF_FEATURES}


_OF_FEATURES = ("feats.scp", "utt2num_frames", "cmvn.scp", "frame_shift")


def segmented(data_dir) -> None:
    (data_dir / "segments").write_text("s1-a s1-u3 0.10 0.300\ns1-b s1-u3 0.3 -1\ns2-a s2-u3 0.0 0.8\n")
    (data_dir / "utt2spk").write_text("s1-a s1\ns1-b s1\ns2-a s2\n")
    (data_dir / "text").write_text("s1-a a\ns1-b b\ns2-a c\n")
    (data_dir / "utt2lang").write_text("s1-a en\ns1-b en\ns2-a zh\n")
    (data_dir / "spk2gender").write_text("s1 f\ns2 m\n")
    select(data_dir, data_dir, ["s1-a", "s1-b", "s2-a"])


def test_segments_come_back_as_they_were_written(data_dir, tmp_path):
    segmented(data_dir)
    to_lhotse(data_dir, tmp_path / "m")
    for after in both_ways_back(tmp_path / "m", tmp_path, False):
        assert after == files_of(data_dir)
    lines = list(read_lines(tmp_path / "m" / "supervisions.jsonl.gz"))
    assert [(line["start"], line["duration"]) for line in lines] == [(0.1, 0.2), (0.3, 0.2), (0.0, 0.5)]


def test_speed_and_volume_become_transforms(data_dir, tmp_path):
    pytest.importorskip("lhotse", reason="the extra lhotse is not installed")
    from lhotse import CutSet

    perturb_speed(data_dir, tmp_path / "sp", "0.9")
    perturb_volume(tmp_path / "sp", seed=2)
    to_lhotse(tmp_path / "sp", tmp_path / "m")
    for after in both_ways_back(tmp_path / "m", tmp_path, False):
        assert after == files_of(tmp_path / "sp")
    data = DataDir.load(tmp_path / "sp")
    cuts = CutSet.from_file(tmp_path / "m" / "cuts.jsonl.gz").to_eager()
    for name in data.utterances:
        theirs, ours = cuts[name].load_audio()[0] * 32768, data.audio(name, 16000)
        assert abs(len(theirs) - len(ours)) <= 1 and len(theirs) == cuts[name].recording.num_samples
        assert np.std(ours) == pytest.approx(np.std(theirs), rel=0.06)  # white noise: lhotse's filter is less steep


def test_lhotse_reads_them(rich_dir, tmp_path):
    pytest.importorskip("lhotse", reason="the extra lhotse is not installed")
    pytest.importorskip("kaldi_native_io", reason="the extra lhotse is not installed")
    from lhotse import CutSet, FeatureSet, RecordingSet, SupervisionSet
    from lhotse.kaldi import load_kaldi_data_dir
    from lhotse.qa import validate, validate_recordings_and_supervisions

    text = rich_dir / "text"
    text.write_text(text.read_text().replace("s2-u1\n", "s2-u1 x\n"))  # lhotse's importer takes no empty ones
    to_lhotse(rich_dir, tmp_path / "m")
    kinds = (RecordingSet, SupervisionSet, CutSet, FeatureSet)
    recordings, supervisions, cuts, features = (
        kind.from_file(tmp_path / "m" / f"{name}.jsonl.gz").to_eager() for kind, name in zip(kinds, FILES)
    )
    validate_recordings_and_supervisions(recordings, supervisions)
    validate(cuts, read_data=True)
    validate(features, read_data=True)
    their_recordings, their_supervisions, their_features = load_kaldi_data_dir(rich_dir, 16000, frame_shift=0.01)
    for mine, theirs in zip(recordings, their_recordings, strict=True):
        assert mine == theirs
    for mine, theirs in zip(supervisions, their_supervisions, strict=True):
        mine.custom = None
        assert mine.duration == pytest.approx(theirs.duration)
        theirs.duration = mine.duration
        assert mine == theirs
    matrices = MatrixReader(rich_dir / "feats.scp")
    for mine, theirs in zip(features, their_features, strict=True):
        assert mine == theirs
        np.testing.assert_allclose(mine.load(), matrices[mine.storage_key], rtol=3e-7)
    whole = CutSet.from_manifests(recordings=recordings, supervisions=supervisions, features=features)
    assert {cut.load_features().shape[1] for cut in whole} == {23}
    for cut in cuts:
        np.testing.assert_array_equal(cut.load_audio()[0] * 32768, DataDir.load(rich_dir).audio(cut.id, 16000))


def test_commands_and_their_lengths(data_dir, tmp_path, capsys):
    wav = read_scp(data_dir / "wav.scp")
    (data_dir / "wav.scp").write_text("".join(f"{name} cat {path} |\n" for name, path in wav.items()))
    to_lhotse(data_dir, tmp_path / "m")
    first = next(read_lines(tmp_path / "m" / "recordings.jsonl.gz"))
    assert first["sources"] == [{"type": "command", "channels": [0], "source": f"cat {wav['s1-u1']}"}]
    assert (first["num_samples"], first["sampling_rate"], first["duration"]) == (4800, 16000, 0.3)
    for after in both_ways_back(tmp_path / "m", tmp_path, False):
        assert after == files_of(data_dir)
    names = list(wav)
    (data_dir / "wav.scp").write_text("".join(f"{name} no-such-command |\n" for name in names))
    (data_dir / "utt2dur").write_text("".join(f"{name} 1.5\n" for name in names))
    to_lhotse(data_dir, tmp_path / "n", "--rate", "8000")
    assert next(read_lines(tmp_path / "n" / "recordings.jsonl.gz"))["num_samples"] == 12000
    capsys.readouterr()
    assert main(["to-lhotse", str(data_dir), str(tmp_path / "o")]) == 1
    assert "wav.scp: s1-u1: 'no-such-command |': the command failed with status 127" in capsys.readouterr().err
    assert not (tmp_path / "o" / "recordings.jsonl.gz").exists()


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("wav.scp", "s1-u1.wav", "absent.wav", "s1-u1: .*absent.wav"),
        ("segments", "s2-u3", "s9-u3", "s2-a: its recording 's9-u3' is not in wav.scp"),
        ("segments", "0.0 0.8", "0.6 0.8", "s2-a: its segment begins after the end of 's2-u3'"),
        ("segments", "s2-a s2-u3 0.0 0.8\n", "", "s2-a: not in segments"),
    ],
)
def test_bad_directories(data_dir, tmp_path, capsys, edit, file, old, new, said):
    if file == "segments":
        segmented(data_dir)
    edit(data_dir / file, old, new)
    assert main(["to-lhotse", str(data_dir), str(tmp_path / "m")]) == 1
    error = [line for line in capsys.readouterr().err.splitlines() if "ERROR" in line]
    assert len(error) == 1
    assert re.search(said, error[0])
    if file == "segments":
        assert main(["to-lhotse", "--max-failed", "0.5", str(data_dir), str(tmp_path / "m")]) == 0
        assert len(list(read_lines(tmp_path / "m" / "cuts.jsonl.gz"))) == 2


def test_plain_lines_are_read_too(data_dir, tmp_path):
    to_lhotse(data_dir, tmp_path / "m")
    plain = tmp_path / "cuts.jsonl"
    with gzip.open(tmp_path / "m" / "cuts.jsonl.gz") as packed, open(plain, "wb") as file:
        shutil.copyfileobj(packed, file)
    assert main(["from-lhotse", str(plain), str(tmp_path / "out")]) == 0
    assert files_of(tmp_path / "out") == files_of(data_dir)
    assert json.loads(plain.read_text().splitlines()[0])["type"] == "MonoCut"
