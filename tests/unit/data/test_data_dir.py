"""Loading, selecting, splitting and mending of data directories."""

import numpy as np
import pytest

from asrtool.cli import main
from asrtool.data.data_dir import DataDir, select
from asrtool.data.fix import fix
from asrtool.data.subset import balanced_runs, choose_number, split_by_speaker, train_valid_speakers
from asrtool.data.validate import validate
from asrtool.errors import AsrtoolError


def test_load(data_dir):
    data = DataDir.load(data_dir)
    assert len(data.utterances) == 9
    assert data.spk2utt["s2"] == ["s2-u1", "s2-u2", "s2-u3"]
    assert data.text["s1-u1"] == ["天", "气"]
    assert data.utt2dur["s1-u2"] == pytest.approx(0.4)
    assert data.frame_shift_s == 0.01
    assert len(data.audio("s1-u3", 16000)) == 8000
    findings = validate(data_dir, feats=False)
    assert findings.errors == []
    assert findings.warnings == []


def test_segments(data_dir):
    (data_dir / "segments").write_text("s1-a s1-u3 0.1 0.3\ns1-b s1-u3 0.3 -1\ns2-a s2-u3 0.0 0.9\n")
    for name, content in (("utt2spk", "s1-a s1\ns1-b s1\ns2-a s2\n"), ("text", "s1-a a\ns1-b b\ns2-a c\n")):
        (data_dir / name).write_text(content)
    data = DataDir.load(data_dir)
    whole = DataDir.load(data_dir)
    whole.segments = {}
    recording = whole.audio("s1-u3", 16000)
    np.testing.assert_array_equal(data.audio("s1-a", 16000), recording[1600:4800])
    np.testing.assert_array_equal(data.audio("s1-b", 16000), recording[4800:])
    assert len(data.audio("s2-a", 16000)) == 8000  # 0.4 s of overshoot are allowed
    assert data.utt2dur == {"s1-a": pytest.approx(0.2), "s1-b": pytest.approx(0.2), "s2-a": pytest.approx(0.9)}
    select(data_dir, data_dir.parent / "part", ["s1-a"])
    assert (data_dir.parent / "part" / "wav.scp").read_text().split()[0] == "s1-u3"
    assert len((data_dir.parent / "part" / "wav.scp").read_text().splitlines()) == 1


def test_select_filters_every_file(data_dir):
    (data_dir / "cmvn.scp").write_text("s1 x:1\ns2 x:2\ns3 x:3\n")
    (data_dir / "utt2dur").write_text("".join(f"{name} 1.0\n" for name in DataDir.load(data_dir).utterances))
    (data_dir / "frame_shift").write_text("0.01\n")
    part = data_dir.parent / "part"
    select(data_dir, part, ["s3-u1", "s1-u2", "absent"])
    assert (part / "utt2spk").read_text() == "s1-u2 s1\ns3-u1 s3\n"
    assert (part / "spk2utt").read_text() == "s1 s1-u2\ns3 s3-u1\n"
    assert (part / "cmvn.scp").read_text() == "s1 x:1\ns3 x:3\n"
    assert (part / "text").read_text(encoding="utf-8") == "s1-u2 play some music\ns3-u1 天 气\n"
    assert (part / "utt2dur").read_text() == "s1-u2 1.0\ns3-u1 1.0\n"
    assert (part / "frame_shift").read_text() == "0.01\n"


@pytest.mark.parametrize("per_utterance", [False, True])
@pytest.mark.parametrize("num_parts", [1, 2, 3])
def test_split_covers_all_and_keeps_speakers_together(data_dir, num_parts, per_utterance):
    paths = split_by_speaker(data_dir, num_parts, per_utterance)
    parts = [DataDir.load(path) for path in paths]
    assert [name for part in parts for name in part.utterances] == DataDir.load(data_dir).utterances
    if not per_utterance:
        assert sum(len(part.spk2utt) for part in parts) == 3
    before = paths[0].stat().st_ino
    assert split_by_speaker(data_dir, num_parts, per_utterance)[0].stat().st_ino == before  # left alone: nothing changed
    (data_dir / "text").write_text("".join(f"{name} x\n" for name in DataDir.load(data_dir).utterances))
    split_by_speaker(data_dir, num_parts, per_utterance)
    assert DataDir.load(paths[0]).text["s1-u1"] == ["x"]


def test_balanced_runs_are_even_and_none_is_empty():
    groups = [["a"] * size for size in (1, 50, 1, 1, 1, 40, 7, 1)]
    runs = balanced_runs(groups, 3)
    assert sum(map(len, runs)) == 102
    assert min(map(len, runs)) > 0
    assert len(balanced_runs([["a"] * 100, ["b"], ["c"]], 3)) == 3
    assert [len(run) for run in balanced_runs([["a"], ["b"], ["c"] * 100], 3)] == [1, 1, 100]
    assert [len(run) for run in balanced_runs([["x"]] * 12, 4)] == [3, 3, 3, 3]


def test_train_and_valid_share_no_speaker(data_dir):
    data = DataDir.load(data_dir)
    train, valid = train_valid_speakers(data, 0.3, seed=1)
    assert sorted(train + valid) == ["s1", "s2", "s3"]
    assert len(valid) == 1
    assert train_valid_speakers(data, 0.3, seed=1) == (train, valid)
    assert len({tuple(train_valid_speakers(data, 0.3, seed)[1]) for seed in range(10)}) == 3


def test_choices(data_dir):
    data = DataDir.load(data_dir)
    assert choose_number(data, "first", 2) == ["s1-u1", "s1-u2"]
    assert choose_number(data, "last", 1) == ["s3-u3"]
    assert choose_number(data, "shortest", 3) == ["s1-u1", "s2-u1", "s3-u1"]
    assert choose_number(data, "even", 3) == ["s1-u1", "s2-u1", "s3-u1"]
    assert choose_number(data, "per_spk", 1) == ["s1-u1", "s2-u1", "s3-u1"]
    with pytest.raises(AsrtoolError, match="9 utterances, 10 were asked for"):
        choose_number(data, "first", 10)


def test_fix_mends_what_can_be_mended(data_dir, edit, capsys):
    lines = (data_dir / "utt2spk").read_text().splitlines()
    (data_dir / "utt2spk").write_text("\n".join(reversed([*lines, lines[0]])) + "\n")
    edit(data_dir / "text", "s1-u2 play some music\n", "s1-u2\n")
    edit(data_dir / "text", "s2-u1 ", "s2-u1\r\ns2-u1 ")
    edit(data_dir / "wav.scp", "s3-u1.wav", "absent.wav")
    (data_dir / "spk2utt").unlink()
    wav = data_dir.parent.parent / "wav" / "s3-u2.wav"
    wav.write_bytes(wav.read_bytes()[:-2])
    assert validate(data_dir, feats=False).errors != []
    assert fix(data_dir) == (9, 5)
    assert DataDir.load(data_dir).utterances == ["s1-u1", "s1-u3", "s2-u2", "s2-u3", "s3-u3"]
    assert validate(data_dir, feats=False).errors == []
    assert (data_dir / ".backup" / "spk2utt").exists() is False
    said = capsys.readouterr().err
    for name in ("s1-u2", "s2-u1", "s3-u1", "s3-u2"):
        assert name in said
    assert fix(data_dir) == (5, 5)


def test_verbs(data_dir, capsys):
    root = data_dir.parent
    (root / "list").write_text("s1\ns3\n")
    (root / "other").write_text("s2\n")
    (root / "utts").write_text("s1-u1 x\ns2-u2\n")
    verbs = [
        (f"validate-data-dir --feats false {data_dir}", "fit for use"),
        (f"fix-data-dir {data_dir}", "9 of 9 utterances kept"),
        (f"split-data-dir --num-parts 2 {data_dir}", "2 parts"),
        (f"split-data-dir --speaker-lists {root}/list,{root}/other {data_dir} {root}/a {root}/b", "2 speakers, 6 utterances"),
        (f"split-data-dir --valid-share 0.3 {data_dir} {root}/c {root}/d", "1 speakers, 3 utterances"),
        (f"subset-data-dir --speakers {root}/list {data_dir} {root}/e", "6 of 9 utterances"),
        (f"subset-data-dir --utt-list {root}/utts {data_dir} {root}/f", "2 of 9 utterances"),
        (f"subset-data-dir --per-spk 2 {data_dir} {root}/g", "6 of 9 utterances"),
        (f"subset-data-dir --shortest 4 {data_dir} {root}/h", "4 of 9 utterances"),
    ]
    for command, said in verbs:
        assert main(command.split()) == 0, command
        assert said in capsys.readouterr().out
    assert set(DataDir.load(root / "a").spk2utt) == {"s1", "s3"}
    assert validate(root / "b", feats=False).errors == []
    assert not set(DataDir.load(root / "c").spk2utt) & set(DataDir.load(root / "d").spk2utt)


@pytest.mark.parametrize("with_segments", [False, True])
def test_a_job_loads_its_own_lines_alone(tmp_path, with_segments):
    names = [f"s-{number:02d}" for number in range(10)]
    tables = {"utt2spk": [f"{name} s" for name in names], "text": [f"{name} one two" for name in names]}
    tables["wav.scp"] = [f"{'r' if with_segments else ''}{name} {name}.wav" for name in names]
    tables["reco2vol"] = [f"{'r' if with_segments else ''}{name} 0.5" for name in names]
    if with_segments:
        tables["segments"] = [f"{name} r{name} 0 1" for name in names]
    for name, lines in tables.items():
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
    whole = DataDir.load(tmp_path)
    jobs = [DataDir.load(tmp_path, job, 3) for job in (1, 2, 3)]
    assert [len(job.utterances) for job in jobs] == [3, 3, 4]
    assert [name for job in jobs for name in job.utterances] == names
    for job in jobs:
        assert len(job.wav_scp) == len(job.reco2vol) == len(job.utterances)
        assert all(job.recording(name) == whole.recording(name) for name in job.utterances)


def test_transcripts_are_read_when_they_are_asked_for(tmp_path):
    (tmp_path / "utt2spk").write_text("a-1 a\na-2 a\n")
    data = DataDir.load(tmp_path)
    (tmp_path / "text").write_text("a-1 one  two\na-2\n")
    assert data.text == {"a-1": ["one", "two"], "a-2": []} and "a-3" not in data.text
    (tmp_path / "text").write_text("a-1 one\na-1 two\n")
    with pytest.raises(AsrtoolError, match=r"text: line 2: a-1: occurs twice"):
        len(DataDir.load(tmp_path).text)
