"""Back-off smoothing after Katz (1987) with Good-Turing discounts; the conventions of SRILM's ngram-count.

A count r from 1 to K (gtmax) is discounted by

    d_r = (r* / r - A) / (1 - A),   r* = (r + 1) n_{r+1} / n_r,   A = (K + 1) n_{K+1} / n_1

with n_r the number of n-grams of the order that occur r times; greater counts are not. A history's n-grams have
p(w | c) = d_r r / sum_v r(cv), and what is left goes to the words not seen after it, in proportion to p(w | c'). Words never seen
share what the unigrams leave evenly. Where nothing would be left though not all words were seen, the sum is made greater by 1.
"""

from collections.abc import Sequence

import numpy as np

from asrtool.lm.columns import Column, Scratch, counts_of_counts, history_blocks
from asrtool.lm.counts import NgramCounts
from asrtool.lm.cut_offs import keep
from asrtool.lm.kneser_ney import FilledColumn, log10_unigrams
from asrtool.lm.model import NgramModel
from asrtool.lm.text import BOS_ID, Vocabulary

DEFAULT_GT_MAX = (1, 7)  # SRILM's -gt1max, -gt2max and above
_NOTHING = 1e-9  # a share that is rounding only


def good_turing_discounts(counts: Column, greatest: int) -> tuple[np.ndarray, list[int]]:
    """The factors d_r.

    Args:
        counts: int64, of the n-grams of an order.
        greatest: K. As in SRILM it is lowered while no n-gram occurs K + 1 times, and nothing is discounted if none occurs once.

    Returns:
        float64 [K + 2], of counts 0, 1, ..., the last for all greater ones (1); the counts whose factor came out of range, so
        that it is 1.
    """
    num = counts_of_counts(counts, greatest + 1)
    if len(num) < 2 or num[1] == 0:
        greatest = 0
    while greatest > 0 and num[greatest + 1] == 0:
        greatest -= 1
    factors = np.ones(greatest + 2)
    if greatest == 0:
        return factors, []
    common = (greatest + 1) * num[greatest + 1] / num[1]
    unfit = []
    for r in range(1, greatest + 1):
        plain = (r + 1) * num[r + 1] / (r * num[r]) if num[r] else np.inf
        factor = (plain - common) / (1.0 - common) if common != 1.0 else np.inf
        if plain > 1.0 or not _NOTHING < factor <= 1.0:
            unfit.append(r)
        else:
            factors[r] = factor
    return factors, unfit


def estimate_katz(
    counts: NgramCounts,
    vocabulary: Vocabulary,
    min_counts: Sequence[int] = (1,),
    gt_max: Sequence[int] = DEFAULT_GT_MAX,
    scratch: Scratch | None = None,
) -> tuple[NgramModel, list[tuple[np.ndarray, list[int]]]]:
    """The model and, for each order, what `good_turing_discounts` gave.

    Args:
        min_counts, gt_max: for each order, the last for those above too.
        scratch: as in `kneser_ney.estimate`.
    """
    scratch = scratch or Scratch()
    minima, limits = ([*values, *[values[-1]] * (counts.order - len(values))] for values in (min_counts, gt_max))
    discounts = [good_turing_discounts(column, limit) for column, limit in zip(counts.counts, limits)]
    kept = keep(counts, counts.counts, minima, scratch)
    shorter = _unigrams(kept.values[0][:], discounts[0][0])
    probabilities, weights = [log10_unigrams(shorter)], []
    for n in range(2, kept.order + 1):
        factors = discounts[n - 1][0]
        left_out = kept.left_out[n - 1]
        prob = np.empty(len(kept.keys[n - 1]) if n < kept.order else 0)
        log10_prob, log10_weight = scratch.column(np.float64), FilledColumn(scratch)
        for low, high, keys, starts in history_blocks(kept.keys[n - 1], kept.num_words):
            values = kept.values[n - 1][low:high]
            history, length = keys[starts] // kept.num_words, np.diff(starts, append=len(keys))
            total = np.add.reduceat(values, starts) + (left_out[history] if left_out is not None else 0.0)
            mass = factors[np.minimum(values, len(factors) - 1)] * values
            full = (np.add.reduceat(mass, starts) >= total * (1.0 - _NOTHING)) & (length < kept.num_words - 1)
            part = mass / np.repeat(total + full, length)
            share = np.add.reduceat(part, starts)
            left_shorter = 1.0 - np.add.reduceat(shorter[kept.suffix[n - 1][low:high]], starts)
            unseen = left_shorter > _NOTHING
            part /= np.repeat(np.where(unseen, 1.0, share), length)  # where every word was seen, nothing is to be left
            weight = np.divide(1.0 - share, left_shorter, out=np.ones(len(share)), where=unseen)
            log10_prob.append(np.log10(part))
            log10_weight.put(history, np.log10(weight))
            if len(prob):
                prob[low:high] = part
        probabilities.append(log10_prob.finish())
        weights.append(log10_weight.finish(len(kept.keys[n - 2])))
        shorter = prob
    return NgramModel(vocabulary, kept.keys[1:], probabilities, weights), discounts


def _unigrams(counts: np.ndarray, factors: np.ndarray) -> np.ndarray:
    mass = factors[np.minimum(counts, len(factors) - 1)] * counts
    total = counts.sum()
    zero = counts == 0
    zero[BOS_ID] = False
    if mass.sum() >= total * (1.0 - _NOTHING) and zero.any():
        total += 1
    unigrams = mass / total
    left = 1.0 - unigrams.sum()
    share = zero if zero.any() else np.arange(len(counts)) != BOS_ID
    unigrams[share] += left / share.sum()
    unigrams[BOS_ID] = 0.0
    return unigrams
