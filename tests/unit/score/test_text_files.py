"""trn, stm and ctm: round trips, words to segments by their middle, and files that do not fit."""

import pytest

from asrtool.cli import main
from asrtool.errors import AsrtoolError
from asrtool.io.ctm import CtmWord, read_ctm, write_ctm
from asrtool.score.text_files import (
    StmSegment,
    ctm_to_texts,
    read_stm,
    read_text,
    read_trn,
    write_kaldi_text,
    write_stm,
    write_trn,
)


def test_trn(tmp_path):
    texts = {"s1-u2": ["今天", "天气"], "s1-u1": ["a", "(b)"], "u3": []}
    path = tmp_path / "hyp.trn"
    write_trn(path, texts, {"s1-u1": "s1", "s1-u2": "s1", "u3": "s2"})
    assert path.read_text(encoding="utf-8") == "a (b) (s1-u1)\n今天 天气 (s1-u2)\n(s2-u3)\n"
    assert read_trn(path) == {"s1-u1": ["a", "(b)"], "s1-u2": ["今天", "天气"], "s2-u3": []}


def test_stm_and_ctm(tmp_path):
    segments = [
        StmSegment("rec2", "1", "s2", 0.0, 1.5, ["c"], "<F0,M>"),
        StmSegment("rec1", "1", "s1", 2.0, 3.25, []),
        StmSegment("rec1", "1", "s1", 0.5, 2.0, ["a", "b"]),
    ]
    write_stm(tmp_path / "ref.stm", segments)
    assert (tmp_path / "ref.stm").read_text().splitlines()[0] == "rec1 1 s1 0.500 2.000 <O> a b"
    assert read_stm(tmp_path / "ref.stm") == [segments[2], segments[1], segments[0]]
    (tmp_path / "bare.stm").write_text(";; comment\nrec1 1 s1 0.5 2 a b\n\n")
    assert read_stm(tmp_path / "bare.stm") == [segments[2]]
    words = [CtmWord("rec1", "1", 0.5, 0.5, "a", 1.0), CtmWord("rec1", "1", 1.0, 0.25, "b"), CtmWord("u2", "A", 0, 1, "c", 0.5)]
    write_ctm(tmp_path / "hyp.ctm", words)
    assert (tmp_path / "hyp.ctm").read_text() == "rec1 1 0.50 0.50 a 1.00\nrec1 1 1.00 0.25 b\nu2 A 0.00 1.00 c 0.50\n"
    assert read_ctm(tmp_path / "hyp.ctm") == words
    (tmp_path / "bare.ctm").write_text(";; comment\nrec1 1 1 .25 b\n\n")
    assert read_ctm(tmp_path / "bare.ctm") == words[1:2]


def test_words_go_to_the_segment_of_their_middle():
    segments = [
        StmSegment("r", "1", "s", 1.0, 2.0, ["a"]),
        StmSegment("r", "1", "s", 2.0, 3.0, ["b"]),
        StmSegment("r", "1", "s", 4.0, 5.0, ["IGNORE_TIME_SEGMENT_IN_SCORING"]),
        StmSegment("r", "2", "s", 1.0, 2.0, ["c"]),
    ]
    words = [
        CtmWord("r", "1", 0.5, 0.9, "before"),
        CtmWord("r", "1", 0.9, 0.4, "one"),
        CtmWord("r", "1", 1.8, 0.3, "two"),
        CtmWord("r", "1", 1.9, 0.4, "three"),
        CtmWord("r", "1", 4.1, 0.4, "ignored"),
        CtmWord("x", "1", 1.0, 0.4, "elsewhere"),
    ]
    references, hypotheses, outside = ctm_to_texts(words, segments)
    assert references == {"r_1_0000100": ["a"], "r_1_0000200": ["b"], "r_2_0000100": ["c"]}
    assert hypotheses == {"r_1_0000100": ["one", "two"], "r_1_0000200": ["three"], "r_2_0000100": []}
    assert outside == 2


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (read_trn, "a b\n", "line 1: expected 'words \\(utterance\\)'"),
        (read_trn, "a (u)\n;; c\nb (u)\n", "line 3: u: the utterance occurs before"),
        (read_trn, "a { b / c } (u)\n", "alternatives in braces"),
        (read_stm, "r 1 s 0 x <O> a\n", "line 1: expected a number, found 'x'"),
        (read_stm, "r 1 s\n", "line 1: expected a number"),
        (read_stm, "r 1 s 2 1 a\n", "ends before it starts"),
        (read_ctm, "r 1 0 1\n", "expected 'recording channel begin duration word .confidence.', found 'r 1 0 1'"),
        (read_ctm, ";;\nr 1 x 1 a\n", "line 2: expected 'recording channel begin"),
        (read_ctm, "r 1 0 1 a 0.5 b\n", "line 1: expected 'recording channel begin"),
        (read_text, "u a\nu b\n", "u: each utterance must stand once"),
        (read_text, "u a\n\nv b\n", "an empty line"),
    ],
)
def test_files_that_do_not_fit(tmp_path, read, text, message):
    (tmp_path / "file").write_text(text)
    with pytest.raises(AsrtoolError, match=message):
        read(tmp_path / "file")


def test_not_utf8(tmp_path):
    (tmp_path / "file").write_bytes("u 你".encode("gb18030"))
    with pytest.raises(AsrtoolError, match="file: not UTF-8 at byte 2"):
        read_text(tmp_path / "file")


def test_verb(tmp_path, capsys):
    data = tmp_path / "data"
    data.mkdir()
    (data / "utt2spk").write_text("s-u1 s\ns-u2 s\n")
    (data / "segments").write_text("s-u1 rec 0.0 1.0\ns-u2 rec 1.0 2.5\n")
    write_kaldi_text(data / "text", {"s-u1": ["你好"], "s-u2": ["天气", "好"]})
    stm, trn, hypotheses, references = (str(tmp_path / name) for name in ("ref.stm", "hyp.trn", "hyp", "ref"))
    assert main(["convert-text", "--data", str(data), str(data / "text"), stm]) == 0
    (tmp_path / "hyp.ctm").write_text("rec 1 0.1 0.5 你好\nrec 1 1.2 0.3 天气\nrec 1 3.0 0.3 好\n", encoding="utf-8")
    assert main(["convert-text", "--stm", stm, "--ref-output", references, str(tmp_path / "hyp.ctm"), hypotheses]) == 0
    assert "2 segments, 1 words outside" in capsys.readouterr().err
    assert read_text(references) == {"rec_1_0000000": ["你好"], "rec_1_0000100": ["天气", "好"]}
    assert read_text(hypotheses) == {"rec_1_0000000": ["你好"], "rec_1_0000100": ["天气"]}
    assert main(["convert-text", "--metric", "cer", hypotheses, trn]) == 0
    assert read_trn(trn)["rec_1_0000000"] == ["你", "好"]
    assert main(["convert-text", str(tmp_path / "hyp.ctm"), hypotheses]) == 1
    assert "a .ctm needs --stm" in capsys.readouterr().err
    assert main(["convert-text", hypotheses, stm]) == 1
    assert "an stm needs --data" in capsys.readouterr().err
