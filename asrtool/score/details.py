"""Tables to read: alignments, errors by speaker, counts of confusions, laid out as Kaldi's utils/scoring/wer_*_details.pl, and
sclite's table of a system (.sys)."""

from collections import Counter
from collections.abc import Mapping
from itertools import chain

import numpy as np

from asrtool.score.edit_distance import GAP, ErrorCounts, align, operation

SPECIAL_SYMBOL = "***"
"""Stands where a side has no word."""

Pairs = list[tuple[str, str]]


def align_texts(references: Mapping[str, list[str]], hypotheses: Mapping[str, list[str]]) -> dict[str, Pairs]:
    """The alignment of each utterance of `references`; one without a hypothesis is all deleted."""
    return {utterance: align(reference, hypotheses.get(utterance, [])) for utterance, reference in references.items()}


def per_utterance_lines(alignments: Mapping[str, Pairs]) -> list[str]:
    """Kaldi's `per_utt`: for each utterance the lines ref, hyp, op, and #csid (correct, substituted, inserted, deleted)."""
    lines = []
    for utterance, pairs in alignments.items():
        letters = [operation(pair) for pair in pairs]
        columns = [(_shown(reference), _shown(hypothesis), letter) for (reference, hypothesis), letter in zip(pairs, letters)]
        rows = ([], [], [])
        for column in columns:
            width = max(map(len, column))
            for row, text in zip(rows, column):
                right = (width - len(text)) // 2
                row.append(" " * (width - len(text) - right) + text + " " * right)
        lines += [f"{utterance} {name}  {'  '.join(row)}" for name, row in zip(("ref", "hyp", "op "), rows)]
        lines.append(f"{utterance} #csid {' '.join(str(letters.count(letter)) for letter in 'CSID')}")
    return lines


def _shown(token: str) -> str:
    return token if token != GAP else SPECIAL_SYMBOL


def operation_lines(alignments: Mapping[str, Pairs]) -> list[str]:
    """Kaldi's `ops`: how often each word was right, taken for another, inserted or deleted; by kind, then falling counts."""
    names = {"C": "correct", "S": "substitution", "I": "insertion", "D": "deletion"}
    counts = Counter(chain.from_iterable(alignments.values()))
    rows = [(names[operation(pair)], -count, _shown(pair[0]), _shown(pair[1])) for pair, count in counts.items()]
    word_width = min(16, max((len(word) for row in rows for word in row[2:]), default=0))
    count_width = max((len(str(-row[1])) for row in rows), default=0)
    return [
        f"{name:<13} {reference:>{word_width}}    {hypothesis:>{word_width}}    {-count:>{count_width}}"
        for name, count, reference, hypothesis in sorted(rows)
    ]


def sum_by_speaker(
    per_utterance: Mapping[str, ErrorCounts], utt2spk: Mapping[str, str]
) -> dict[str, tuple[int, int, ErrorCounts]]:
    """Speaker -> (sentences, wrong sentences, errors), sorted; an utterance without a speaker is its own."""
    sums: dict[str, tuple[int, int, ErrorCounts]] = {}
    for utterance, counts in per_utterance.items():
        speaker = utt2spk.get(utterance, utterance)
        sentences, wrong, total = sums.get(speaker, (0, 0, ErrorCounts()))
        sums[speaker] = (sentences + 1, wrong + (counts.errors > 0), total + counts)
    return dict(sorted(sums.items()))


def per_speaker_lines(per_utterance: Mapping[str, ErrorCounts], utt2spk: Mapping[str, str]) -> list[str]:
    """Kaldi's `per_spk`: counts ("raw") and percentages ("sys") of each speaker and of all."""
    sums = sum_by_speaker(per_utterance, utt2spk)
    width = max([15, *map(len, sums)])
    heads = ("#SENT", "#WORD", "Corr", "Sub", "Ins", "Del", "Err", "S.Err")
    lines = [f"{'SPEAKER':<{width}} id  " + " ".join(f"{head:>10}" for head in heads)]
    for speaker, (sentences, wrong, c) in [*sums.items(), ("SUM", _sum(sums))]:
        values = (c.correct, c.substitutions, c.insertions, c.deletions, c.errors)
        counts = " ".join(f"{value:>10d}" for value in (sentences, c.total, *values, wrong))
        lines.append(f"{speaker:<{width}} raw {counts}")
        if c.total:
            shares = [*(100.0 * value / c.total for value in values), 100.0 * wrong / sentences]
            lines.append(
                f"{speaker:<{width}} sys {sentences:>10d} {c.total:>10d} " + " ".join(f"{share:>10.2f}" for share in shares)
            )
    return lines


def _sum(sums: Mapping[str, tuple[int, int, ErrorCounts]]) -> tuple[int, int, ErrorCounts]:
    sentences, wrong, counts = zip(*sums.values())
    return sum(sentences), sum(wrong), sum(counts, ErrorCounts())


def system_table(title: str, per_utterance: Mapping[str, ErrorCounts], utt2spk: Mapping[str, str]) -> list[str]:
    """The table of sclite's .sys report: percentages by speaker, their sum, mean, deviation (n - 1) and median."""
    sums = sum_by_speaker(per_utterance, utt2spk)
    width = max([7, *map(len, sums)])
    rows = np.array([_shares(*row) for row in sums.values()])
    heads = ("Corr", "Sub", "Del", "Ins", "Err", "S.Err")
    rule = f"|{'=' * (width + 2)}+{'=' * 15}+{'=' * 43}|"

    def line(name: str, sentences: str, words: str, shares) -> str:
        return f"| {name:<{width}} | {sentences:>5} {words:>7} |" + " ".join(f"{share:>6.1f}" for share in shares) + "  |"

    lines = [
        f",{'-' * (width + 62)}.",
        f"|{title[: width + 62]:^{width + 62}}|",
        f"|{'-' * (width + 62)}|",
        f"| {'SPKR':<{width}} | {'# Snt':>5} {'# Wrd':>7} |" + " ".join(f"{h:>6}" for h in heads) + "  |",
        rule.replace("=", "-"),
    ]
    lines += [line(speaker, str(row[0]), str(row[2].total), shares) for (speaker, row), shares in zip(sums.items(), rows)]
    total = _sum(sums)
    lines += [rule, line("Sum/Avg", str(total[0]), str(total[2].total), _shares(*total)), rule]
    sizes = np.array([(sentences, counts.total) for sentences, _, counts in sums.values()], dtype=np.float64)
    deviation = {"ddof": 1} if len(sums) > 1 else {}
    for name, reduce in (("Mean", np.mean), ("S.D.", lambda x, axis: np.std(x, axis=axis, **deviation)), ("Median", np.median)):
        sentences, words = reduce(sizes, axis=0)
        lines.append(line(name, f"{sentences:.1f}", f"{words:.1f}", reduce(rows, axis=0)))
    return [*lines, f"`{'-' * (width + 62)}'"]


def _shares(sentences: int, wrong: int, c: ErrorCounts) -> list[float]:
    values = (c.correct, c.substitutions, c.deletions, c.insertions, c.errors)
    return [*(100.0 * value / c.total if c.total else 0.0 for value in values), 100.0 * wrong / sentences]
