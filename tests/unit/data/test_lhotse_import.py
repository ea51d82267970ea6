"""lhotse manifests to data directories: what lhotse made, what a data directory cannot hold, and bad input."""

import gzip
import json

import lhotse_toy
import numpy as np
import pytest

from asrtool.cli import main
from asrtool.data.data_dir import DataDir
from asrtool.data.validate import validate
from asrtool.io.audio import read_wav
from asrtool.io.kaldi_table import MatrixReader, read_scp

pytest.importorskip("lhotse", reason="the extra lhotse is not installed")
from lhotse import CutSet, Features, Recording, RecordingSet, SupervisionSegment, SupervisionSet
from lhotse.kaldi import export_to_kaldi

RATE = lhotse_toy.RATE


def supervision(name, recording, start, duration, **more) -> SupervisionSegment:
    settings = {"speaker": name.split("-")[0], "text": f"words of {name}", "language": "en", "gender": "F"} | more
    return SupervisionSegment(name, recording, start, duration, **settings)


@pytest.fixture
def manifests(tmp_path):
    """Two recordings, three supervisions; one of them the whole of its recording."""
    paths = [lhotse_toy.write_noise(tmp_path / "wav" / f"r{k}.wav", 16000 + 5000 * k) for k in (1, 2)]
    recordings = RecordingSet.from_recordings(Recording.from_file(path) for path in paths)
    supervisions = SupervisionSet.from_segments(
        [
            supervision("a-1", "r1", 0.25, 0.5),
            supervision("a-2", "r1", 0.7500625, 0.3),
            supervision("b-1", "r2", 0.0, recordings["r2"].duration, gender="male", language="zh"),
        ]
    )
    return recordings, supervisions


def save(path, items) -> str:
    items.to_file(path)
    return str(path)


def convert(recordings, supervisions, out, *options) -> int:
    pair = [f"--recordings={save(out.parent / 'r.jsonl.gz', recordings)}"]
    pair.append(f"--supervisions={save(out.parent / 's.jsonl.gz', supervisions)}")
    return main(["from-lhotse", *options, *pair, str(out)])


def convert_cuts(cuts, out, *options) -> int:
    return main(["from-lhotse", *options, save(out.parent / "c.jsonl.gz", CutSet.from_cuts(cuts)), str(out)])


def last_line(capsys) -> str:
    return capsys.readouterr().err.strip().splitlines()[-1]


def test_as_lhotse_itself_writes_it(manifests, tmp_path):
    recordings, supervisions = manifests
    assert convert(recordings, supervisions, tmp_path / "out") == 0
    export_to_kaldi(recordings, supervisions, tmp_path / "theirs")
    for name in ("wav.scp", "text", "utt2spk", "utt2lang"):
        assert (tmp_path / "out" / name).read_text() == (tmp_path / "theirs" / name).read_text()
    mine, theirs = (read_scp(tmp_path / side / "segments") for side in ("out", "theirs"))
    for name, line in theirs.items():
        assert mine[name].split()[0] == line.split()[0]
        assert [float(x) for x in mine[name].split()[1:]] == [float(x) for x in line.split()[1:]]
    assert mine["a-2"] == "r1 0.7500625 1.0500625"
    assert read_scp(tmp_path / "out" / "spk2gender") == {"a": "f", "b": "m"}
    assert read_scp(tmp_path / "out" / "utt2dur")["b-1"] == "1.6250"
    assert validate(tmp_path / "out", feats=False).errors == []


def test_back_to_lhotse_it_is_the_same(manifests, tmp_path):
    recordings, supervisions = manifests
    recordings = RecordingSet.from_recordings([recordings["r1"].perturb_volume(0.5), recordings["r2"].perturb_speed(0.9)])
    supervisions = SupervisionSet.from_segments(
        item.perturb_volume(0.5) if item.recording_id == "r1" else item.perturb_speed(0.9, RATE) for item in supervisions
    )
    assert convert(recordings, supervisions, tmp_path / "out") == 0
    assert read_scp(tmp_path / "out" / "reco2speed") == {"r1_vp0.5": "1", "r2_sp0.9": "0.9"}
    assert main(["to-lhotse", str(tmp_path / "out"), str(tmp_path / "m")]) == 0
    again = RecordingSet.from_file(tmp_path / "m" / "recordings.jsonl.gz").to_eager()
    assert [item.to_dict() for item in again] == [item.to_dict() for item in recordings]
    for mine, theirs in zip(SupervisionSet.from_file(tmp_path / "m" / "supervisions.jsonl.gz"), supervisions, strict=True):
        mine.custom, theirs.gender = None, theirs.gender[0].lower()
        assert mine.to_dict() == theirs.to_dict()


def test_cuts_and_what_they_are_cut_out_of(manifests, tmp_path):
    recordings, supervisions = manifests
    whole = CutSet.from_manifests(recordings=recordings, supervisions=supervisions)
    cuts = [whole[0].truncate(offset=0.2, duration=0.9), whole[1].drop_supervisions().truncate(duration=0.5)]
    cuts[1].id = "nobody"
    cuts.append(cuts[0].perturb_speed(1.1))
    assert convert_cuts(cuts, tmp_path / "out") == 0
    data = DataDir.load(tmp_path / "out")
    assert data.utterances == ["a-1", "a-1_sp1.1", "a-2", "a-2_sp1.1", "nobody"]
    assert data.utt2spk["nobody"] == "nobody" and "nobody" not in data.text
    assert data.segments["a-1"] == ("r1", 0.25, 0.75) and data.segments["nobody"] == ("r2", 0, 0.5)
    assert data.reco2speed == {"r1": 1, "r1_sp1.1": 1.1, "r2": 1}
    for cut in cuts:
        theirs = cut.recording.load_audio()[0] * 32768
        for item in cut.supervisions:
            start = round((cut.start + item.start) * RATE)
            ours = data.audio(item.id, RATE)
            piece = theirs[start : start + len(ours)]
            assert len(ours) == pytest.approx(item.duration * RATE, abs=1)
            assert np.abs(piece[200:-200] - ours[200 : len(piece) - 200]).max() < 0.02 * np.abs(theirs).max()


def test_what_cannot_be_held_is_written(manifests, tmp_path, capsys):
    recordings, supervisions = manifests
    one, two = CutSet.from_manifests(recordings=recordings, supervisions=supervisions)
    mixed = one.mix(two, offset_other_by=0.5, snr=3, preserve_id="left")
    mixed.id = "mixed"
    for cut, why in ((mixed, "cannot hold a mixed or padded cut"), (two.resample(8000), "cannot hold its transform Resample")):
        assert convert_cuts([cut], tmp_path / "out") == 1
        error = last_line(capsys)
        assert why in error and "line 1: " in error and "--materialise true" in error
        assert not (tmp_path / "out" / "utt2spk").exists()
        for kind in ("flac", "wav"):
            out = tmp_path / f"{cut.id}{kind}"
            assert convert_cuts([cut], out, "--materialise", "true", "--audio-format", kind) == 0
            (entry,) = read_scp(out / "wav.scp").values()
            theirs = cut.load_audio()[0] * 32768
            assert np.abs(read_wav(entry, cut.sampling_rate) - np.clip(theirs, -32768, 32767)).max() <= 0.51
            assert entry.endswith("." + kind)
    assert DataDir.load(tmp_path / "mixedwav").segments["b-1"] == ("mixed", 0.5, 2.125)
    out = tmp_path / "lower"
    assert convert_cuts([one, two], out, "--rate", "8000", "--materialise", "true") == 0
    assert {len(DataDir.load(out).audio(name, 8000)) for name in ("a-1", "b-1")} == {4000, 13000}
    assert convert_cuts([one, two], tmp_path / "none", "--rate", "8000") == 1
    assert "its sampling rate is 16000 Hz, not 8000" in last_line(capsys)


def test_several_channels(tmp_path):
    path = lhotse_toy.write_noise(tmp_path / "wav" / "two ch.wav", 16000, channels=2)
    recordings = RecordingSet.from_recordings([Recording.from_file(path, recording_id="R")])
    items = [supervision("a-1", "R", 0.1, 0.4, channel=1), supervision("b-1", "R", 0.1, 0.4, channel=[0, 1])]
    assert convert(recordings, SupervisionSet.from_segments(items), tmp_path / "out") == 0
    assert read_scp(tmp_path / "out" / "wav.scp") == {f"R_{k}": f"sox '{path}' -t wav - remix {k + 1} |" for k in (0, 1)}
    assert read_scp(tmp_path / "out" / "segments") == {"a-1": "R_1 0.1 0.5", "b-1-0": "R_0 0.1 0.5", "b-1-1": "R_1 0.1 0.5"}
    assert read_scp(tmp_path / "out" / "reco2file_and_channel") == {"R_0": "R 1", "R_1": "R 2"}
    perturbed = RecordingSet.from_recordings([recordings["R"].resample(8000)])
    assert convert(perturbed, SupervisionSet.from_segments(items), tmp_path / "low", "--materialise", "true") == 0
    theirs = perturbed["R"].load_audio(channels=1)[0] * 32768
    assert np.abs(DataDir.load(tmp_path / "low").audio("a-1", 8000) - theirs[800:4000]).max() <= 0.51
    sources = RecordingSet.from_dicts(
        [
            recordings["R"].to_dict()
            | {
                "sources": [
                    {"type": "file", "channels": [0], "source": "x.wav"},
                    {"type": "file", "channels": [1], "source": "y.sph"},
                ]
            }
        ]
    )
    assert convert(sources, SupervisionSet.from_segments(items), tmp_path / "files") == 0
    assert read_scp(tmp_path / "files" / "wav.scp") == {"R_0": "x.wav", "R_1": "sph2pipe -f wav -p -c 1 y.sph |"}


def test_ids_speakers_and_texts(manifests, tmp_path, capsys):
    recordings, _ = manifests
    items = [
        supervision("u 1", "r1", 0.0, 0.5, speaker="spk a", text=None),
        supervision("u2", "r1", 0.5, 0.5, speaker=None, gender=None, text=" two\nlines "),
        supervision("spkb-3", "r2", 0.0, 0.5, speaker="spkb", gender=None, text=""),
    ]
    supervisions = SupervisionSet.from_segments(items)
    assert convert(recordings, supervisions, tmp_path / "out") == 1
    assert "u 1: id 'u 1': an id must be one word; say --replace-whitespace _" in last_line(capsys)
    options = ["--replace-whitespace", "_", "--prefix-speaker"]
    assert convert(recordings, supervisions, tmp_path / "out", *options, "true") == 0
    said = capsys.readouterr().err
    assert "1 utterances have no text" in said and "2 speakers, spkb first, have no gender" in said
    data = DataDir.load(tmp_path / "out")
    assert data.utt2spk == {"spk_a-u_1": "spk_a", "spkb-3": "spkb", "u2": "u2"}
    assert data.text == {"spkb-3": [], "u2": ["two", "lines"]}
    assert convert(recordings, supervisions, tmp_path / "out", *options, "false") == 0
    assert "1 utterances, u_1 first, do not begin with their speaker; see --prefix-speaker" in capsys.readouterr().err


def test_whole_recordings_need_no_segments(manifests, tmp_path):
    recordings, _ = manifests
    items = [supervision(f"r{k}", f"r{k}", 0.0, recordings[f"r{k}"].duration, speaker=f"s{k}") for k in (1, 2)]
    assert convert(recordings, SupervisionSet.from_segments(items), tmp_path / "out", "--prefix-speaker", "true") == 0
    assert not (tmp_path / "out" / "segments").exists()
    assert list(read_scp(tmp_path / "out" / "wav.scp")) == ["s1-r1", "s2-r2"]
    assert validate(tmp_path / "out", feats=False).errors == []


def test_features_of_other_storage_are_copied(manifests, tmp_path, capsys):
    recordings, supervisions = manifests
    random, features = np.random.default_rng(0), []
    (tmp_path / "npy").mkdir()
    for item in supervisions:
        matrix = random.normal(size=(int(item.duration * 100), 5)).astype(np.float32)
        np.save(tmp_path / "npy" / f"{item.id}.npy", matrix)
        place = {"storage_type": "numpy_files", "storage_path": str(tmp_path / "npy"), "storage_key": f"{item.id}.npy"}
        frames = {"num_frames": len(matrix), "num_features": 5, "frame_shift": 0.01, "sampling_rate": RATE}
        times = {"start": item.start, "duration": len(matrix) / 100, "recording_id": item.recording_id, "channels": 0}
        features.append(Features(type="fbank", **frames, **times, **place))
    lines = "".join(json.dumps(item.to_dict()) + "\n" for item in features)
    (tmp_path / "f.jsonl").write_text(lines)
    assert convert(recordings, supervisions, tmp_path / "out", "--features", str(tmp_path / "f.jsonl")) == 0
    matrices = MatrixReader(tmp_path / "out" / "feats.scp")
    for item in features:
        np.testing.assert_array_equal(matrices[item.storage_key[:-4]], item.load())
    assert (tmp_path / "out" / "frame_shift").read_text() == "0.01\n"
    assert read_scp(tmp_path / "out" / "utt2num_frames")["a-1"] == "50"
    (tmp_path / "f.jsonl").write_text(lines.split("\n", 1)[1])
    assert convert(recordings, supervisions, tmp_path / "out") == 1
    assert "feats.scp: is there already" in last_line(capsys)
    assert convert(recordings, supervisions, tmp_path / "less", "--features", str(tmp_path / "f.jsonl")) == 1
    assert "a-1: has no features in the manifest" in last_line(capsys)


GOOD = {"id": "x", "recording_id": "r1", "start": 0.0, "duration": 0.5, "channel": 0}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2: damaged or not a manifest"),
        ("[1]", "line 2: damaged or not a manifest"),
        (json.dumps({"id": "x"}), "line 2: x: lacks 'recording_id'"),
        (json.dumps(GOOD | {"start": "soon"}), "line 2: x: has a field of another kind"),
        (json.dumps(GOOD | {"recording_id": "r9"}), "its recording 'r9' is not in the manifest of recordings"),
        (json.dumps(GOOD | {"start": 9.0}), "nothing of it is in its recording of 1.312 s"),
        (json.dumps(GOOD | {"duration": float("nan")}), "nothing of it is in its recording"),
        (json.dumps(GOOD | {"channel": 3}), "its recording has no channel 3"),
        (json.dumps(GOOD | {"id": "a-1"}), "an utterance 'a-1' came before with other content"),
        (json.dumps(GOOD | {"id": ""}), "id '': an id must be one word"),
    ],
)
def test_bad_lines(manifests, tmp_path, capsys, line, said):
    recordings, supervisions = manifests
    save(tmp_path / "r.jsonl.gz", recordings)
    good = json.dumps(supervisions[0].to_dict())
    (tmp_path / "s.jsonl").write_text(f"{good}\n{line}\n")
    pair = ["--recordings", str(tmp_path / "r.jsonl.gz"), "--supervisions", str(tmp_path / "s.jsonl")]
    assert main(["from-lhotse", *pair, str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and said in error[0] and "s.jsonl: line 2: " in error[0]
    assert not (tmp_path / "out").exists()
    if "damaged" not in said and "lacks" not in said and "another kind" not in said:
        assert main(["from-lhotse", "--max-failed", "0.6", *pair, str(tmp_path / "out")]) == 0
        assert DataDir.load(tmp_path / "out").utterances == ["a-1"]


def test_bad_commands_and_files(manifests, tmp_path, capsys):
    recordings, supervisions = manifests
    assert main(["from-lhotse", str(tmp_path / "out")]) == 1
    assert "expected either CUTS DATA_DIR, or --recordings R --supervisions S DATA_DIR" in last_line(capsys)
    assert main(["from-lhotse", str(tmp_path / "absent.jsonl"), str(tmp_path / "out")]) == 1
    assert "absent.jsonl: no such manifest" in last_line(capsys)
    (tmp_path / "x.yaml").write_text("- id: 1\n")
    assert main(["from-lhotse", str(tmp_path / "x.yaml"), str(tmp_path / "out")]) == 1
    assert "lhotse copy" in last_line(capsys)
    assert main(["from-lhotse", save(tmp_path / "r.jsonl.gz", recordings), str(tmp_path / "out")]) == 1
    assert "r.jsonl.gz: line 1: r1: is not a cut; give recordings and supervisions" in last_line(capsys)
    whole = gzip.compress(b"".join(json.dumps(item.to_dict()).encode() + b"\n" for item in recordings))
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[:60])
    assert main(["from-lhotse", str(tmp_path / "cut.jsonl.gz"), str(tmp_path / "out")]) == 1
    assert "cut.jsonl.gz: damaged .gz file (Compressed file ended" in last_line(capsys)
    changed = supervisions[0].to_dict() | {"start": 0.0}
    cut = {"id": "c", "start": 0.0, "duration": 0.5, "channel": 0, "supervisions": [changed], "type": "MonoCut"}
    cuts = [cut | {"recording": recordings["r1"].to_dict()}, cut | {"recording": recordings["r2"].to_dict() | {"id": "r1"}}]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(item) + "\n" for item in cuts))
    assert main(["from-lhotse", str(tmp_path / "c.jsonl"), str(tmp_path / "out")]) == 1
    assert "line 2: c: a recording of this id came before with other content" in last_line(capsys)
    sources = {"sources": [{"type": "url", "channels": [0], "source": "https://host/x.wav"}]}
    cuts = [cut | {"recording": recordings["r1"].to_dict() | sources}]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(item) + "\n" for item in cuts))
    assert main(["from-lhotse", str(tmp_path / "c.jsonl"), str(tmp_path / "out")]) == 1
    assert "its source of type 'url' with 1 channels cannot stand in wav.scp" in last_line(capsys)
