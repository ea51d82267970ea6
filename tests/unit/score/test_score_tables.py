"""Alignments and tables against brute force and Kaldi's own examples."""

import random
from functools import cache

import pytest

from asrtool.score.details import (
    align_texts,
    operation_lines,
    per_speaker_lines,
    per_utterance_lines,
    system_table,
)
from asrtool.score.edit_distance import GAP, ErrorCounts, align, count_errors, operation, to_characters

REFERENCE = {"UTT-A": ["word-A", "word-B", "word-C", "word-D", "word-E"]}  # the example in utils/scoring/wer_*_details.pl
HYPOTHESIS = {"UTT-A": ["word-A", "word-A", "word-B", "word-D", "word-X"]}


def distance(reference: tuple, hypothesis: tuple) -> int:
    """The recursion of Levenshtein."""

    @cache
    def best(i: int, j: int) -> int:
        if i == 0 or j == 0:
            return i + j
        return min(best(i - 1, j) + 1, best(i, j - 1) + 1, best(i - 1, j - 1) + (reference[i - 1] != hypothesis[j - 1]))

    return best(len(reference), len(hypothesis))


def test_alignments_are_best_and_whole():
    generator = random.Random(1)
    for _ in range(400):
        reference, hypothesis = (generator.choices("abc", k=generator.randrange(9)) for _ in range(2))
        pairs, counts = align(reference, hypothesis), count_errors(reference, hypothesis)
        letters = [operation(pair) for pair in pairs]
        assert [r for r, _ in pairs if r != GAP] == reference and [h for _, h in pairs if h != GAP] == hypothesis
        assert len(letters) - letters.count("C") == counts.errors == distance(tuple(reference), tuple(hypothesis))
        assert [letters.count(x) for x in "CSDI"] == [counts.correct, counts.substitutions, counts.deletions, counts.insertions]


def test_kaldis_alignment_lines():
    assert per_utterance_lines(align_texts(REFERENCE, HYPOTHESIS)) == [
        "UTT-A ref  word-A    ***   word-B  word-C  word-D  word-E",
        "UTT-A hyp  word-A  word-A  word-B    ***   word-D  word-X",
        "UTT-A op      C       I       C       D       C       S  ",
        "UTT-A #csid 3 1 1 1",
    ]


def test_kaldis_operation_lines():
    assert operation_lines(align_texts(REFERENCE, HYPOTHESIS)) == [
        "correct       word-A    word-A    1",
        "correct       word-B    word-B    1",
        "correct       word-D    word-D    1",
        "deletion      word-C       ***    1",
        "insertion        ***    word-A    1",
        "substitution  word-E    word-X    1",
    ]


def test_kaldis_speaker_lines():
    counts = count_errors(REFERENCE["UTT-A"], HYPOTHESIS["UTT-A"])
    expected = """\
SPEAKER         id       #SENT      #WORD       Corr        Sub        Ins        Del        Err      S.Err
A               raw          1          5          3          1          1          1          3          1
A               sys          1          5      60.00      20.00      20.00      20.00      60.00     100.00
SUM             raw          1          5          3          1          1          1          3          1
SUM             sys          1          5      60.00      20.00      20.00      20.00      60.00     100.00"""
    assert per_speaker_lines({"UTT-A": counts}, {"UTT-A": "A"}) == expected.split("\n")


def test_table_of_a_system():
    per_utterance = {"a-1": ErrorCounts(0, 0, 0, 4), "a-2": ErrorCounts(1, 0, 1, 4), "b-1": ErrorCounts(0, 2, 0, 2)}
    lines = system_table("title", per_utterance, {"a-1": "a", "a-2": "a", "b-1": "b"})
    assert len({len(line) for line in lines}) == 1
    rows = {line.split()[1]: line.replace("|", " ").split()[1:] for line in lines if line.startswith("| ")}
    assert rows["a"] == ["2", "8", "87.5", "12.5", "0.0", "12.5", "25.0", "50.0"]
    assert rows["Sum/Avg"] == ["3", "10", "70.0", "10.0", "20.0", "10.0", "40.0", "66.7"]
    assert rows["Mean"] == ["1.5", "5.0", "43.8", "6.2", "50.0", "6.2", "62.5", "75.0"]
    assert rows["S.D."][-2:] == ["53.0", "35.4"] and rows["Median"][0] == "1.5"


@pytest.mark.parametrize(
    ("words", "latin_words", "tokens"),
    [
        ("播放KTV don't", True, "播 放 KTV don't"),
        ("播放KTV", False, "播 放 K T V"),
        ("cafe\u0301 naïve 3号", True, "café naïve 3 号"),
        ("'quoted'", True, "' quoted '"),
    ],
)
def test_latin_words_in_characters(words, latin_words, tokens):
    assert to_characters(words.split(), latin_words) == tokens.split()
