"""Interpolated modified Kneser-Ney smoothing (Chen & Goodman 1998, section 3; the conventions of KenLM's lmplz).

An n-gram of the highest order counts as often as it occurs; one of a lower order as often as there are different words
before it, unless it begins with <s>, before which there is nothing. With a() for these counts, c for a history and c' for the
same without its first word,

    p(w | c) = (a(cw) - D(a(cw))) / sum_v a(cv)  +  gamma(c) p(w | c')
    gamma(c) = sum_v D(a(cv)) / sum_v a(cv)

and the unigrams are interpolated with the uniform distribution over the vocabulary with </s> and without <s>. D has a value for
counts of 1, 2 and 3 or more, for each order. As every n-gram seen is kept, the model is a back-off model with weights gamma.
"""

import numpy as np

from asrtool.lm.counts import NgramCounts
from asrtool.lm.model import NgramModel
from asrtool.lm.text import BOS_ID, Vocabulary

FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)  # KenLM's --discount_fallback
BOS_LOG10_PROB = -99.0  # ARPA's way to say "never predicted"


def adjusted_counts(counts: NgramCounts) -> list[np.ndarray]:
    """For each order the counts a() above, int64."""
    adjusted = []
    for order in range(1, counts.order):
        raw = counts.counts[order - 1]
        predecessors = np.bincount(counts.suffix[order], minlength=len(raw))
        adjusted.append(np.where(counts.starts_sentence[order - 1], raw, predecessors))
    adjusted.append(counts.counts[-1])
    return adjusted


def modified_discounts(adjusted: np.ndarray) -> tuple[np.ndarray, bool]:
    """(D1, D2, D3+) of equation 26 from the counts of counts.

    Returns:
        float64 [3], and whether they are FALLBACK_DISCOUNTS, as when some count does not occur or a discount would be
        negative or above its count (text from a grammar, or little text).
    """
    num = np.bincount(np.minimum(adjusted, 5), minlength=6)[1:5].astype(np.float64)
    if not np.all(num[:3] > 0):
        return np.array(FALLBACK_DISCOUNTS), True
    y = num[0] / (num[0] + 2.0 * num[1])
    numbers = np.arange(1, 4)
    discounts = numbers - (numbers + 1) * y * num[1:4] / num[0:3]
    if np.any(discounts <= 0.0) or np.any(discounts > numbers):
        return np.array(FALLBACK_DISCOUNTS), True
    return discounts, False


def estimate(counts: NgramCounts, vocabulary: Vocabulary) -> tuple[NgramModel, list[tuple[np.ndarray, bool]]]:
    """The model and, for each order, what `modified_discounts` gave."""
    discounts = []
    probabilities: list[np.ndarray] = []
    backoffs: list[np.ndarray] = []
    for order, adjusted in enumerate(adjusted_counts(counts), 1):
        values, is_fallback = modified_discounts(adjusted)
        discounts.append((values, is_fallback))
        subtracted = np.concatenate([[0.0], values])[np.minimum(adjusted, 3)]
        if order == 1:
            probabilities.append(_unigrams(adjusted, subtracted))
            continue
        history = counts.prefix[order - 1]
        num_histories = len(probabilities[-1])
        total = np.bincount(history, adjusted, minlength=num_histories)
        gamma = np.ones(num_histories)
        # A history without continuation, or (next to a word outside the vocabulary) with such as have no predecessor
        # themselves, leaves all to the shorter one.
        np.divide(np.bincount(history, subtracted, minlength=num_histories), total, out=gamma, where=total > 0)
        own = np.divide(adjusted - subtracted, total[history], out=np.zeros(len(history)), where=total[history] > 0)
        probabilities.append(own + gamma[history] * probabilities[-1][counts.suffix[order - 1]])
        backoffs.append(np.log10(gamma))
    log10_prob = [np.log10(values, out=np.full(len(values), BOS_LOG10_PROB), where=values > 0) for values in probabilities]
    return NgramModel(vocabulary, counts.keys[1:], log10_prob, backoffs), discounts


def _unigrams(adjusted: np.ndarray, subtracted: np.ndarray) -> np.ndarray:
    total = adjusted.sum()
    uniform = 1.0 / (len(adjusted) - 1)  # <s> is not predicted
    unigrams = (adjusted - subtracted) / total + subtracted.sum() / total * uniform
    unigrams[BOS_ID] = 0.0
    return unigrams
