"""Whether two systems differ: the matched-pairs sentence-segment word error test (MAPSSWE) and McNemar's test on sentences.

L. Gillick and S. Cox, "Some statistical issues in the comparison of speech recognition algorithms", ICASSP 1989; the segments are
those of NIST's sc_stats (mtchprs.c): stretches with errors, bounded by two words that both systems have right, or by the
utterance.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.score.details import Pairs
from asrtool.score.edit_distance import GAP

MIN_GOOD_WORDS = 2


@dataclass(frozen=True)
class MatchedPairs:
    """Segments, mean and deviation (n - 1) of the difference of errors a segment (second less first), z, two-sided p."""

    num_segments: int
    mean: float
    standard_deviation: float
    z: float
    p: float


def segment_errors(
    first: Mapping[str, Pairs], second: Mapping[str, Pairs], min_good: int = MIN_GOOD_WORDS
) -> tuple[np.ndarray, np.ndarray]:
    """int64 [N]: the errors of each system in each segment with errors of one of them.

    Args:
        first, second: alignments of the two systems to the same references.
    """
    if set(first) != set(second):
        only = min(set(first) ^ set(second))
        raise AsrtoolError(f"{only}: only one of the systems has this utterance; score both on the same data")
    events = [_events(first[utterance], second[utterance], utterance) for utterance in first]
    if not events:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    errors = np.concatenate(events)  # [places, 2 systems]
    utterance = np.repeat(np.arange(len(events)), [len(place) for place in events])
    is_word = np.concatenate([np.arange(len(place)) % 2 == 1 for place in events])
    wrong = errors.any(axis=1)
    good_before = np.cumsum(is_word & ~wrong)
    places = np.flatnonzero(wrong)
    begins = (np.diff(good_before[places]) >= min_good) | (np.diff(utterance[places]) != 0)
    starts = np.concatenate([[0], np.flatnonzero(begins) + 1]) if len(places) else np.zeros(0, np.int64)
    sums = np.add.reduceat(errors[places], starts, axis=0) if len(places) else np.zeros((0, 2), np.int64)
    return sums[:, 0], sums[:, 1]


def _events(first: Pairs, second: Pairs, utterance: str) -> np.ndarray:
    """int64 [2 R + 1, 2]: errors of each system at R reference words (odd rows) and before, between, after them (insertions)."""
    size = sum(reference != GAP for reference, _ in first)
    errors = np.zeros((2 * size + 1, 2), dtype=np.int64)
    words = []
    for system, pairs in enumerate((first, second)):
        words.append([reference for reference, _ in pairs if reference != GAP])
        if words[-1] != words[0]:
            raise AsrtoolError(f"{utterance}: the reference differs between the two systems; score both with the same text")
        place = 0
        for reference, hypothesis in pairs:
            if reference == GAP:
                errors[place, system] += 1
            else:
                errors[place + 1, system] = reference != hypothesis
                place += 2
    return errors


def matched_pairs(first: np.ndarray, second: np.ndarray) -> MatchedPairs:
    """The test on errors of two systems, int [N], segment by segment. Normal approximation: good from about 50 segments on."""
    difference = np.asarray(second, dtype=np.float64) - np.asarray(first, dtype=np.float64)
    count = len(difference)
    if count < 2 or not difference.any():
        return MatchedPairs(count, float(difference.sum() / max(count, 1)), 0.0, 0.0, 1.0)
    mean, deviation = float(difference.mean()), float(difference.std(ddof=1))
    z = mean / (deviation / math.sqrt(count)) if deviation else math.copysign(math.inf, mean)
    return MatchedPairs(count, mean, deviation, z, math.erfc(abs(z) / math.sqrt(2)))


def mcnemar(first_wrong: np.ndarray, second_wrong: np.ndarray) -> tuple[int, int, float]:
    """Sentences that only the first, only the second system has wrong, and the exact two-sided p of such a split.

    Args:
        first_wrong, second_wrong: bool [sentences].
    """
    from scipy.stats import binomtest

    only_first = int(np.sum(first_wrong & ~second_wrong))
    only_second = int(np.sum(second_wrong & ~first_wrong))
    if only_first + only_second == 0:
        return 0, 0, 1.0
    return only_first, only_second, float(binomtest(only_first, only_first + only_second).pvalue)
