"""Corpora in folders (the Montreal Forced Aligner's layout) and in data directories."""

import numpy as np
import pytest

from asrtool.errors import AsrtoolError
from asrtool.forced_alignment.corpus import read_corpus
from asrtool.io.audio import write_wav
from asrtool.io.textgrid import Interval, TextGrid, filled_tier, write_textgrid


def wav(path, seconds=0.5):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_wav(str(path), np.zeros(int(16000 * seconds)), 16000)


def test_texts_beside_recordings(tmp_path):
    wav(tmp_path / "anna" / "one.wav")
    (tmp_path / "anna" / "one.lab").write_text("hello\nthere\n")
    (tmp_path / "anna" / "one.txt").write_text("not this\n")
    wav(tmp_path / "bob" / "my file.wav")
    (tmp_path / "bob" / "my file.txt").write_text("\ufeffgood day", encoding="utf-8")
    wav(tmp_path / "bob" / "lonely.wav")
    wav(tmp_path / "bob" / "empty.wav")
    (tmp_path / "bob" / "empty.txt").write_text("")
    corpus = read_corpus(tmp_path)
    found = [(one.name, one.speaker, one.text) for one in corpus.utterances]
    assert found == [("anna/one", "anna", "hello there"), ("bob/my_file", "bob", "good day")]
    assert sorted(name for name, _ in corpus.problems) == ["bob/empty", "bob/lonely"]
    assert [one.speaker for one in read_corpus(tmp_path, speaker_characters=2).utterances] == ["my", "on"]


def test_textgrids_give_utterances_by_tier(tmp_path):
    wav(tmp_path / "meeting.wav", 3)
    tiers = [
        filled_tier("anna", [Interval(0.5, 1.0, "hello"), Interval(2.0, 2.5, "yes")], 3.0),
        filled_tier("bob smith", [Interval(1.0, 2.0, "good day")], 3.0),
        filled_tier("anna - phones", [Interval(0.5, 1.0, "HH")], 3.0),
    ]
    write_textgrid(tmp_path / "meeting.TextGrid", TextGrid(3.0, tiers))
    found = [(one.speaker, one.start_s, one.end_s, one.text) for one in read_corpus(tmp_path).utterances]
    assert found == [("anna", 0.5, 1.0, "hello"), ("anna", 2.0, 2.5, "yes"), ("bob_smith", 1.0, 2.0, "good day")]


def test_data_directories_with_segments(data_dir, edit):
    (data_dir / "segments").write_text("s1-u1 rec 0.0 0.2\ns1-u2 rec 0.2 -1\n")
    (data_dir / "utt2spk").write_text("s1-u1 s1\ns1-u2 s1\ns1-u3 s1\n")
    (data_dir / "text").write_text("s1-u1 a b\ns1-u2 c\n")
    edit(data_dir / "wav.scp", "s1-u1 ", "rec ")
    corpus = read_corpus(data_dir)
    assert [(one.name, one.recording, one.end_s, one.text) for one in corpus.utterances] == [
        ("s1-u1", "rec", 0.2, "a b"),
        ("s1-u2", "rec", -1.0, "c"),
    ]
    assert list(corpus.recordings) == ["rec"]
    assert corpus.problems[0][0] == "s1-u3"


def test_nothing_to_align_is_said_so(tmp_path):
    with pytest.raises(AsrtoolError, match="no recording with a text"):
        read_corpus(tmp_path)
    with pytest.raises(AsrtoolError, match="no such directory"):
        read_corpus(tmp_path / "absent")
