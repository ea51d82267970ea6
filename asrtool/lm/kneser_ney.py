"""Interpolated modified Kneser-Ney smoothing (Chen & Goodman 1998, section 3; the conventions of KenLM's lmplz).

An n-gram of the highest order counts as often as it occurs; one of a lower order as often as there are different words
before it, unless it begins with <s>, before which there is nothing. With a() for these counts, c for a history and c' for the
same without its first word,

    p(w | c) = (a(cw) - D(a(cw))) / sum_v a(cv)  +  gamma(c) p(w | c')
    gamma(c) = sum_v D(a(cv)) / sum_v a(cv)

and the unigrams are interpolated with the uniform distribution over the vocabulary with </s> and without <s>. D has a value for
counts of 1, 2 and 3 or more, for each order. As every n-gram seen is kept, the model is a back-off model with weights gamma.
With count cut-offs (`lm.cut_offs`), D of an n-gram that is left out is all of its count.
"""

from collections.abc import Sequence

import numpy as np

from asrtool.lm.columns import Column, Scratch, blocks, counts_of_counts, history_blocks
from asrtool.lm.counts import NgramCounts
from asrtool.lm.cut_offs import keep
from asrtool.lm.model import NgramModel
from asrtool.lm.text import BOS_ID, Vocabulary

FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)  # KenLM's --discount_fallback
BOS_LOG10_PROB = -99.0  # ARPA's way to say "never predicted"


def adjusted_counts(counts: NgramCounts, scratch: Scratch | None = None) -> list[Column]:
    """For each order the counts a() above, int64."""
    scratch = scratch or Scratch()
    adjusted = []
    for order in range(1, counts.order):
        column = scratch.column(np.int64)
        for low, high in blocks(len(counts.keys[order - 1])):
            part = counts.predecessors[order - 1][low:high]
            if low < counts.num_starting[order - 1]:
                begins = np.arange(low, high) < counts.num_starting[order - 1]
                part = np.where(begins, counts.counts[order - 1][low:high], part)
            column.append(part)
        adjusted.append(column.finish())
    return [*adjusted, counts.counts[-1]]


def modified_discounts(adjusted: Column) -> tuple[np.ndarray, bool]:
    """(D1, D2, D3+) of equation 26 from the counts of counts.

    Returns:
        float64 [3], and whether they are FALLBACK_DISCOUNTS, as when some count does not occur or a discount would be
        negative or above its count (text from a grammar, or little text).
    """
    num = counts_of_counts(adjusted, 4)[1:]
    if not np.all(num[:3] > 0):
        return np.array(FALLBACK_DISCOUNTS), True
    y = num[0] / (num[0] + 2.0 * num[1])
    numbers = np.arange(1, 4)
    discounts = numbers - (numbers + 1) * y * num[1:4] / num[0:3]
    if np.any(discounts <= 0.0) or np.any(discounts > numbers):
        return np.array(FALLBACK_DISCOUNTS), True
    return discounts, False


def estimate(
    counts: NgramCounts, vocabulary: Vocabulary, min_counts: Sequence[int] = (1,), scratch: Scratch | None = None
) -> tuple[NgramModel, list[tuple[np.ndarray, bool]]]:
    """The model and, for each order, what `modified_discounts` gave.

    Args:
        min_counts: for each order, the last for those above too (see `lm.cut_offs`).
        scratch: where the model's arrays go, which are columns then (see `lm.columns`); by default in memory. Needs 16 bytes of
            memory for each n-gram of the greatest order below N.
    """
    scratch = scratch or Scratch()
    adjusted = adjusted_counts(counts, scratch)
    discounts = [modified_discounts(column) for column in adjusted]
    minima = [*min_counts, *[min_counts[-1]] * (counts.order - len(min_counts))]
    kept = keep(counts, adjusted, minima, scratch)
    shorter = _unigrams(kept.values[0][:], discounts[0][0])
    probabilities, weights = [log10_unigrams(shorter)], []
    for n in range(2, kept.order + 1):
        taken = np.concatenate([[0.0], discounts[n - 1][0]])
        left_out = kept.left_out[n - 1]
        prob = np.empty(len(kept.keys[n - 1]) if n < kept.order else 0)
        log10_prob, log10_gamma = scratch.column(np.float64), FilledColumn(scratch)
        for low, high, keys, starts in history_blocks(kept.keys[n - 1], kept.num_words):
            values = kept.values[n - 1][low:high]
            history = keys[starts] // kept.num_words
            subtracted = taken[np.minimum(values, 3)]
            gone = left_out[history] if left_out is not None else 0.0
            total = np.add.reduceat(values, starts) + gone
            # A history without continuation, or (next to a word outside the vocabulary) with such as have no predecessor
            # themselves, leaves all to the shorter one.
            gamma = np.divide(
                np.add.reduceat(subtracted, starts) + gone, total, out=np.ones(len(starts)), where=np.asarray(total) > 0
            )
            length = np.diff(starts, append=len(keys))
            total = np.repeat(np.maximum(total, 1.0), length)
            part = (values - subtracted) / total + np.repeat(gamma, length) * shorter[kept.suffix[n - 1][low:high]]
            log10_prob.append(np.log10(part))
            log10_gamma.put(history, np.log10(gamma))
            if len(prob):
                prob[low:high] = part
        probabilities.append(log10_prob.finish())
        weights.append(log10_gamma.finish(len(kept.keys[n - 2])))
        shorter = prob
    return NgramModel(vocabulary, kept.keys[1:], probabilities, weights), discounts


class FilledColumn:
    """A float64 column whose entries come in order, with zeros for those that do not come."""

    def __init__(self, scratch: Scratch) -> None:
        self._column, self._length = scratch.column(np.float64), 0

    def put(self, places: np.ndarray, values: np.ndarray) -> None:
        """int64, ascending and above all before; float64."""
        if len(places) == 0:
            return
        part = np.zeros(int(places[-1]) + 1 - self._length)
        part[places - self._length] = values
        self._column.append(part)
        self._length += len(part)

    def finish(self, length: int) -> Column:
        self.put(np.array([length - 1]), np.zeros(1)) if length > self._length else None
        return self._column.finish()


def log10_unigrams(unigrams: np.ndarray) -> np.ndarray:
    return np.log10(unigrams, out=np.full(len(unigrams), BOS_LOG10_PROB), where=unigrams > 0)


def _unigrams(adjusted: np.ndarray, discounts: np.ndarray) -> np.ndarray:
    subtracted = np.concatenate([[0.0], discounts])[np.minimum(adjusted, 3)]
    adjusted, subtracted = adjusted.copy(), subtracted.copy()
    adjusted[BOS_ID], subtracted[BOS_ID] = 0, 0.0
    total = adjusted.sum()
    uniform = 1.0 / (len(adjusted) - 1)  # <s> is not predicted
    unigrams = (adjusted - subtracted) / total + subtracted.sum() / total * uniform
    unigrams[BOS_ID] = 0.0
    return unigrams
