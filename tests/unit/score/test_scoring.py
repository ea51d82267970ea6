"""Error counts by hand, Kaldi's files of a sweep, and results.json."""

import json
import threading

import numpy as np
import pytest

from asrtool.cli import main
from asrtool.errors import AsrtoolError
from asrtool.lattice.archive import write_lattices
from asrtool.lattice.lattice import Lattice
from asrtool.score.edit_distance import ErrorCounts, count_errors, to_characters
from asrtool.score.results import append_result, make_record, read_results
from asrtool.score.sweep import error_line, read_best_setting, score_text, settings_grid


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("a b c", "a b c", (0, 0, 0, 3)),
        ("a b c", "a c", (0, 1, 0, 3)),
        ("a b", "a x b y", (2, 0, 0, 2)),
        ("a b c d", "a x c", (0, 1, 1, 4)),
        ("a b", "", (0, 2, 0, 2)),
        ("", "a b", (2, 0, 0, 0)),
        ("", "", (0, 0, 0, 0)),
    ],
)
def test_edits_by_hand(reference, hypothesis, expected):
    counts = count_errors(reference.split(), hypothesis.split())
    assert (counts.insertions, counts.deletions, counts.substitutions, counts.total) == expected


@pytest.mark.parametrize(
    ("words", "characters"),
    [
        ("今天 天气", "今 天 天 气"),
        ("播放 KTV 歌曲", "播 放 KTV 歌 曲"),
        ("T恤 3号", "T 恤 3 号"),
        ("hello world", "hello world"),
        ("", ""),
    ],
)
def test_characters(words, characters):
    assert to_characters(words.split()) == characters.split()


def test_kaldis_line():
    assert error_line(ErrorCounts(40, 266, 547, 1305), "wer") == "%WER 65.36 [ 853 / 1305, 40 ins, 266 del, 547 sub ]"


def test_missing_hypotheses_are_deletions_and_unknown_ones_an_error():
    references = {"u1": ["a", "b"], "u2": ["c"], "u3": []}
    score = score_text(references, {"u1": ["a", "!SIL", "b"], "u3": []}, ignored=frozenset({"!SIL"}))
    assert score.counts == ErrorCounts(0, 1, 0, 3) and score.missing == 1 and score.wrong_sentences == 1
    with pytest.raises(AsrtoolError, match="u9: decoded but not in the reference text"):
        score_text(references, {"u9": ["a"]})
    with pytest.raises(AsrtoolError, match="no words"):
        score_text({"u3": []}, {"u3": []})


def test_settings():
    assert settings_grid(7, 8, "0.0,0.5") == [(7, 0.0), (7, 0.5), (8, 0.0), (8, 0.5)]
    for arguments in ((8, 7, "0"), (0, 3, "0"), (7, 8, "a")):
        with pytest.raises(AsrtoolError, match=r"--min-lmwt|--word-ins-penalty"):
            settings_grid(*arguments)


def lattice(graph_costs, acoustic_costs, words) -> Lattice:
    """One frame; an arc a word."""
    count = len(words)
    return Lattice(
        1, np.array([0, 1], np.int32), np.zeros(count, np.int32), np.ones(count, np.int32), np.ones(count, np.int32),
        np.array(words, np.int32), np.array(graph_costs, np.float32), np.array(acoustic_costs, np.float32),
        np.array([np.inf, 0], np.float32),
    )  # fmt: skip


@pytest.fixture
def scored(tmp_path):
    """Data, graph and a decoding of two utterances: an LM weight of 10 and more gets u1 right, a penalty spoils u2."""
    data, graph, decode = tmp_path / "data", tmp_path / "graph", tmp_path / "decode"
    for folder in (data, graph, decode):
        folder.mkdir()
    (data / "utt2spk").write_text("u1 s\nu2 s\n")
    (data / "text").write_text("u1 明天\nu2 天气 <UNK>\n", encoding="utf-8")
    (graph / "words.txt").write_text("<eps> 0\n明天 1\n今天 2\n天气 3\n<UNK> 4\n", encoding="utf-8")
    pairs = [("u1", lattice([1, 2], [9.5, 0], [1, 2])), ("u2", lattice([0, 0.4], [0, 0], [3, 0]))]
    write_lattices(decode / "lat.1.gz", pairs[:1])
    write_lattices(decode / "lat.2.gz", pairs[1:])
    return data, graph, decode


def score(scored, *more):
    data, graph, decode = map(str, scored)
    return main(["score", *more, data, graph, decode])


def test_sweep_writes_kaldis_files(scored, capsys):
    decode = scored[2]
    assert score(scored) == 0
    assert (decode / "wer_9_0.0").read_text().startswith("%WER 50.00 [ 1 / 2, 0 ins, 0 del, 1 sub ]\n%SER 50.00 [ 1 / 2 ]\n")
    assert (decode / "wer_10_0.5").read_text().startswith("%WER 50.00 [ 1 / 2, 0 ins, 1 del, 0 sub ]")
    best = f"%WER 0.00 [ 0 / 2, 0 ins, 0 del, 0 sub ] {decode}/wer_10_0.0\n"
    assert (decode / "scoring_kaldi" / "best_wer").read_text() == best == capsys.readouterr().out
    assert (decode / "scoring_kaldi" / "penalty_0.0" / "10.txt").read_text() == "u1 明天\nu2 天气\n"
    assert len(list(decode.glob("wer_*"))) == 33
    assert read_best_setting(decode, "wer") == (10, 0.0)


def test_characters_tuned_settings_and_results(scored, tmp_path):
    data, graph, decode = scored
    results = tmp_path / "results.json"
    more = ["--metric", "cer", "--results", str(results), "--system", "mono", "--set", "test"]
    assert score(scored, *more, "--lmwt", "9", "--wip", "0.5") == 0
    assert (decode / "scoring_kaldi" / "best_cer").read_text().startswith("%CER 75.00 [ 3 / 4, 0 ins, 2 del, 1 sub ]")
    assert [path.name for path in decode.glob("cer_*")] == ["cer_9_0.5"]
    test = tmp_path / "decode_test"
    test.mkdir()
    (test / "lat.1.gz").write_bytes((decode / "lat.1.gz").read_bytes())
    assert score((data, graph, test), *more, "--tuned-on", str(decode)) == 0
    assert (test / "cer_9_0.5").is_file() and len(list(test.glob("cer_*"))) == 1
    (record,) = read_results(results)
    assert (record["system"], record["set"], record["errors"], record["total"], record["del"]) == ("mono", "test", 3, 4, 2)


def test_hypotheses_without_lattices(scored):
    decode = scored[2]
    (decode / "hyp.txt").write_text("u1 明天\nu2\n", encoding="utf-8")
    assert score(scored, "--best-path", "true") == 0
    assert (decode / "scoring_kaldi" / "best_wer").read_text() == f"%WER 50.00 [ 1 / 2, 0 ins, 1 del, 0 sub ] {decode}/wer_hyp\n"


@pytest.mark.parametrize(
    ("damage", "more", "message"),
    [
        (lambda data, graph, decode: (data / "text").write_text("u1 明天\n"), [], "u2: decoded but not in the reference text"),
        (lambda data, graph, decode: (data / "text").write_text("u1\nu2\n"), [], "the reference text has no words"),
        (lambda data, graph, decode: (graph / "words.txt").write_text("<eps> 0\n"), [], "words.txt: no symbol with id"),
        (lambda data, graph, decode: [path.unlink() for path in decode.glob("lat*")], [], "no lat.*.gz in it; decode first"),
        (lambda data, graph, decode: (decode / "lat.1.gz").write_text("x"), [], "lat.1.gz: not an archive of lattices"),
        (lambda data, graph, decode: None, ["--min-lmwt", "18"], "expected 1 <= min <= max"),
        (lambda data, graph, decode: None, ["--word-ins-penalty", "x"], "expected numbers separated by commas"),
        (lambda data, graph, decode: None, ["--tuned-on", "nowhere"], "score nowhere first"),
        (lambda data, graph, decode: None, ["--best-path", "true"], "hyp.txt: no such file; decode first"),
        (lambda data, graph, decode: None, ["--system", "a,b"], "names 2 systems for 1"),
    ],
)
def test_bad_input(scored, capsys, damage, more, message):
    damage(*scored)
    assert score(scored, *more) == 1
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1


def test_results_replace_the_same_system_and_survive_several_writers(tmp_path):
    path = tmp_path / "exp" / "results.json"
    counts = ErrorCounts(1, 2, 3, 60)
    threads = [threading.Thread(target=append_result, args=(path, make_record(f"s{n}", "dev", "wer", counts))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    append_result(path, make_record("s3", "dev", "wer", ErrorCounts(0, 0, 3, 60), "run.sh", "abc", 7))
    records = {record["system"]: record for record in json.loads(path.read_text())}
    assert len(records) == 8 and len(read_results(path)) == 8
    assert records["s0"]["value"] == 10.0 and records["s3"] | {"value": 5.0, "command": "run.sh", "seed": 7} == records["s3"]
    path.write_text('{"a": 1}')
    with pytest.raises(AsrtoolError, match="not a list of results"):
        append_result(path, make_record("s0", "dev", "wer", counts))
