"""Count cut-offs: n-grams seen less often than a minimum are left out of a model, and their share goes to the shorter history.

As in SRILM (-gtNmin) and KenLM (--prune, where the number is one lower), what is left out still counts in the sums of its history
and in the counts of counts. The minimum applies to the occurrences in the text, as in KenLM, so that with minima that do not fall
from order to order the first and the last words of an n-gram of the model are themselves n-grams of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.lm.columns import Column, Scratch, blocks
from asrtool.lm.counts import NgramCounts


@dataclass
class KeptNgrams:
    """Lists over the orders n = 1..N; columns over the n-grams that are kept, in the order of their keys.

    keys, suffix: int64, as in NgramCounts, among those kept.
    values: int64, the counts that the estimate is made of.
    left_out: float64 over the n-grams of order n - 1, the sum of the values of those continuations that are not kept; None: 0.
    """

    num_words: int
    keys: list[Column]
    values: list[Column]
    suffix: list[Column]
    left_out: list[np.ndarray | None]

    @property
    def order(self) -> int:
        return len(self.keys)


def check_min_counts(min_counts: Sequence[int], order: int) -> list[int]:
    """For each order one minimum; the last given holds for the higher orders too.

    Raises:
        AsrtoolError: a minimum below 1, more of them than orders, words cut off, or minima that fall.
    """
    text = " ".join(map(str, min_counts))
    result = [*min_counts, *[min_counts[-1] if min_counts else 1] * (order - len(min_counts))]
    if len(result) > order:
        raise AsrtoolError(f"--min-counts '{text}': more than {order} numbers, the order of the model")
    if min(result) < 1 or any(second < first for first, second in pairwise(result)):
        raise AsrtoolError(f"--min-counts '{text}': expected numbers from 1 that do not fall, '1 1 2' say")
    if result[0] > 1:
        raise AsrtoolError(f"--min-counts '{text}': the first must be 1; give the words that the model is to have by --vocab")
    return result


def keep(counts: NgramCounts, values: list[Column], min_counts: Sequence[int], scratch: Scratch) -> KeptNgrams:
    """The n-grams with at least the minimum of their order.

    Args:
        values: for each order a column beside `counts.counts`.
    """
    if max(min_counts) <= 1:
        return KeptNgrams(counts.num_words, counts.keys, values, counts.suffix, [None] * counts.order)
    num_words = counts.num_words
    kept = KeptNgrams(num_words, [counts.keys[0]], [values[0]], [counts.suffix[0]], [None])
    ranks = np.arange(num_words)  # of all n-grams of the order below: index among those kept, or -1
    for n in range(2, counts.order + 1):
        keys, kept_values, suffix = (scratch.column(np.int64) for _ in range(3))
        left_out = np.zeros(len(kept.keys[-1]))
        new_ranks = np.full(len(counts.keys[n - 1]) if n < counts.order else 0, -1, np.int64)
        num_kept = 0
        for low, high in blocks(len(counts.keys[n - 1])):
            prefix, word = np.divmod(counts.keys[n - 1][low:high], num_words)
            history, part = ranks[prefix], values[n - 1][low:high]
            stays = counts.counts[n - 1][low:high] >= min_counts[n - 1]
            goes = ~stays & (history >= 0)
            if goes.any():
                first, last = history[goes][0], history[goes][-1]
                left_out[first : last + 1] += np.bincount(history[goes] - first, part[goes])
            keys.append(history[stays] * num_words + word[stays])
            kept_values.append(part[stays])
            suffix.append(ranks[counts.suffix[n - 1][low:high][stays]])
            if len(new_ranks):
                new_ranks[low:high][stays] = np.arange(num_kept, num_kept + stays.sum())
            num_kept += int(stays.sum())
        kept.keys.append(keys.finish())
        kept.values.append(kept_values.finish())
        kept.suffix.append(suffix.finish())
        kept.left_out.append(left_out)
        ranks = new_ranks
    return kept
