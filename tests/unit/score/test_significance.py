"""Bootstrap and matched pairs against enumeration, kaldialign's own bootstrap, scipy and segments found by hand."""

import itertools

import kaldialign
import numpy as np
import pytest
from scipy import stats

from asrtool.cli import main
from asrtool.errors import AsrtoolError
from asrtool.score.bootstrap import bootstrap_interval, compare_systems, units
from asrtool.score.details import align_texts
from asrtool.score.edit_distance import ErrorCounts, count_errors
from asrtool.score.significance import matched_pairs, mcnemar, segment_errors


def test_bootstrap_against_all_samples():
    first, second, totals = np.array([0, 3, 1, 4]), np.array([1, 2, 0, 2]), np.array([5, 4, 3, 6])
    drawn = np.array(list(itertools.product(range(4), repeat=4)))
    rates = [100 * errors[drawn].sum(1) / totals[drawn].sum(1) for errors in (first, second)]
    result = compare_systems(first, second, totals, num_samples=200_000)
    for interval, exact in ((result.first, rates[0]), (result.second, rates[1]), (result.difference, rates[1] - rates[0])):
        assert interval.standard_error == pytest.approx(exact.std(), rel=0.01)
        low, high = np.quantile(exact, [0.025, 0.975], method="inverted_cdf")
        assert interval.low == pytest.approx(low, abs=1.0) and interval.high == pytest.approx(high, abs=1.0)
    better = np.mean(rates[1] < rates[0]) + 0.5 * np.mean(rates[1] == rates[0])
    assert result.probability_of_improvement == pytest.approx(better, abs=0.005)
    assert result.first.rate == pytest.approx(100 * 8 / 18)


def corpus(seed=3, size=120):
    """References and two systems, the second with fewer errors."""
    generator = np.random.default_rng(seed)
    references = {f"u{n}": [str(word) for word in generator.integers(20, size=generator.integers(3, 15))] for n in range(size)}
    systems = [
        {
            u: [w if generator.random() > wrong else "x" for w in words if generator.random() > 0.05]
            for u, words in references.items()
        }
        for wrong in (0.2, 0.15)
    ]
    return references, *systems


def test_bootstrap_against_kaldialign():
    references, *systems = corpus()
    per_utterance = [{u: count_errors(r, system[u]) for u, r in references.items()} for system in systems]
    (first, second), totals = units(per_utterance)
    result = compare_systems(first, second, totals, num_samples=10000, seed=1)
    oracle = kaldialign.bootstrap_wer_ci([*references.values()], [*systems[0].values()], [*systems[1].values()])
    for interval, expected in ((result.first, oracle["system1"]), (result.second, oracle["system2"])):
        assert interval.rate == pytest.approx(100 * expected["wer"], abs=0.1)  # the oracle's is the mean of the samples
        assert 1.96 * interval.standard_error == pytest.approx(100 * expected["ci95"], rel=0.05)
    assert result.probability_of_improvement == pytest.approx(oracle["p_s2_improv_over_s1"], abs=0.02)


def test_bootstrap_is_repeatable_and_knows_speakers():
    per_utterance = {f"{s}-{n}": ErrorCounts(0, 0, 5 * (s == "a"), 5) for s in "abcd" for n in range(50)}
    by_utterance, by_speaker = (units([per_utterance], owner) for owner in (None, {name: name[0] for name in per_utterance}))
    assert by_speaker[0][0].tolist() == [250, 0, 0, 0] and len(by_utterance[1]) == 200
    intervals = [bootstrap_interval(errors[0], totals, 2000, seed=7) for errors, totals in (by_utterance, by_speaker)]
    assert intervals[1].standard_error > 5 * intervals[0].standard_error
    assert intervals[0] == bootstrap_interval(by_utterance[0][0], by_utterance[1], 2000, seed=7)
    with pytest.raises(AsrtoolError, match="no words"):
        bootstrap_interval(np.array([0]), np.array([0]))


def segments(reference, first, second, **options):
    references = {"u": reference.split()}
    sides = (align_texts(references, {"u": text.split()}) for text in (first, second))
    return list(zip(*(errors.tolist() for errors in segment_errors(*sides, **options))))


@pytest.mark.parametrize(
    ("reference", "first", "second", "expected"),
    [
        ("a b c d e", "a b c d e", "a b c d e", []),
        ("a b c d e", "x b c d e", "a b c d x", [(1, 0), (0, 1)]),  # three good words between
        ("a b c d", "x b c d", "a b c x", [(1, 0), (0, 1)]),  # two are enough
        ("a b c", "x b c", "a b x", [(1, 1)]),  # one is not
        ("a b c d", "a b x c d", "a b c d", [(1, 0)]),  # an insertion between good words
        ("a b c d", "x b y c d", "a b c x", [(2, 1)]),  # and the insertion parts the two
        ("a b c d", "b c d z", "b c d", [(1, 1), (1, 0)]),  # both lack a, the first adds z
    ],
)
def test_segments_by_hand(reference, first, second, expected):
    assert segments(reference, first, second) == expected


def test_segments_end_with_the_utterance_and_hold_all_errors():
    references, *systems = corpus()
    alignments = [align_texts(references, system) for system in systems]
    found = segment_errors(*alignments)
    per_utterance = [segment_errors(*({u: system[u]} for system in alignments)) for u in references]
    for side, system in enumerate(systems):
        assert found[side].sum() == sum(count_errors(references[u], system[u]).errors for u in references)
        assert found[side].tolist() == np.concatenate([pair[side] for pair in per_utterance]).tolist()
    assert len(segment_errors(*alignments, min_good=1)[0]) > len(found[0]) > len(references) / 2


def test_matched_pairs_against_scipy():
    references, *systems = corpus()
    first, second = segment_errors(*(align_texts(references, system) for system in systems))
    result = matched_pairs(first, second)
    expected = stats.ttest_rel(second, first)
    assert result.z == pytest.approx(expected.statistic)
    assert result.p == pytest.approx(2 * stats.norm.sf(abs(expected.statistic)))
    assert matched_pairs(first, first).p == 1.0 and matched_pairs(first[:0], first[:0]).num_segments == 0
    assert matched_pairs(second, first).z == -result.z


def test_mcnemar_by_hand():
    first = np.array([True] * 8 + [False] * 2 + [True] * 5)
    second = np.array([False] * 8 + [True] * 2 + [True] * 5)
    # 2 * (C(10,0) + C(10,1) + C(10,2)) / 2 ** 10
    assert mcnemar(first, second) == (8, 2, pytest.approx(2 * 56 / 1024))
    assert mcnemar(first, first) == (0, 0, 1.0)


def write(path, texts):
    path.write_text("".join(f"{u} {' '.join(words)}\n" for u, words in texts.items()))
    return str(path)


def test_verb_on_files(tmp_path, capsys):
    references, *systems = corpus()
    paths = [write(tmp_path / f"hyp{n}", system) for n, system in enumerate(systems)]
    text = write(tmp_path / "text", references)
    report = tmp_path / "report"
    assert main(["compare-wer", "--text", text, "--num-samples", "500", "--output", str(report), *paths]) == 0
    out = capsys.readouterr().out
    assert out == report.read_text() and out.count("%WER") == 2 and "over 120 utterances, seed 0" in out
    utt2spk = write(tmp_path / "utt2spk", {u: [u[:2]] for u in references})
    assert main(["compare-wer", "--text", text, "--utt2spk", utt2spk, "--num-samples", "500", *paths]) == 0
    assert "over 10 speakers" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "a file of hypotheses needs --text"),
        (["--text", "text", "--num-samples", "1"], "--num-samples 1: expected 2 or more"),
        (["--text", "other"], "u0: decoded but not in the reference text"),
    ],
)
def test_verb_on_bad_input(tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "text", {"u0": ["a"]})
    write(tmp_path / "other", {"u1": ["a"]})
    write(tmp_path / "hyp", {"u0": ["a"]})
    assert main(["compare-wer", *options, "hyp", "hyp"]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_directories_that_were_not_scored_alike(tmp_path, capsys):
    for name, words in (("one", "a b"), ("two", "a c")):
        scoring = tmp_path / name / "scoring_kaldi"
        (scoring / "penalty_0.5").mkdir(parents=True)
        (scoring / "best_wer").write_text(f"%WER 0.00 [ 0 / 2, 0 ins, 0 del, 0 sub ] {name}/wer_9_0.5\n")
        (scoring / "test_filt.txt").write_text(f"u1 {words}\n")
        (scoring / "penalty_0.5" / "9.txt").write_text("u1 a b\n")
    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    assert main(["compare-wer", one, one]) == 0 and "p 1 " in capsys.readouterr().out
    assert main(["compare-wer", one, two]) == 1
    assert "u1: the references of the two systems differ" in capsys.readouterr().err
    assert main(["compare-wer", "--metric", "cer", one, two]) == 1
    assert "best_cer: no best LM weight in it" in capsys.readouterr().err
