"""Counts of all n-grams of a text up to an order, by sorting arrays of keys (see `lm.model`)."""

from dataclasses import dataclass

import numpy as np

from asrtool.lm.text import BOS_ID, Corpus


@dataclass
class NgramCounts:
    """Lists over the orders n = 1..N; arrays over the n-grams of the order, in the order of their keys.

    keys: int64 (the unigrams' are the word ids: all of the vocabulary, also unseen words).
    counts: int64, occurrences in the text. <s> counts as a history but never as a predicted word: its own count is 0.
    prefix, suffix: int64, indices of the first and the last n - 1 words among the n-grams of order n - 1 (empty for n = 1).
    starts_sentence: bool, the first word is <s>.
    """

    num_words: int
    keys: list[np.ndarray]
    counts: list[np.ndarray]
    prefix: list[np.ndarray]
    suffix: list[np.ndarray]
    starts_sentence: list[np.ndarray]

    @property
    def order(self) -> int:
        return len(self.keys)


def count_ngrams(corpus: Corpus, num_words: int, order: int) -> NgramCounts:
    """Counts the n-grams that lie within a sentence and hold no word outside the vocabulary.

    Args:
        corpus: ids below `num_words`.
    """
    tokens = corpus.tokens
    seen = tokens[(tokens >= 0) & (tokens != BOS_ID)]
    empty = np.empty(0, dtype=np.int64)
    words = np.arange(num_words, dtype=np.int64)
    result = NgramCounts(num_words, [words], [np.bincount(seen, minlength=num_words)], [empty], [empty], [words == BOS_ID])
    index = tokens  # of the n-gram that ends at each position
    for _ in range(2, order + 1):
        ends = 1 + np.flatnonzero((index[:-1] >= 0) & (tokens[1:] >= 0) & (tokens[1:] != BOS_ID))
        keys, first, inverse, counts = np.unique(
            index[ends - 1] * num_words + tokens[ends], return_index=True, return_inverse=True, return_counts=True
        )
        prefix = keys // num_words
        result.keys.append(keys)
        result.counts.append(counts.astype(np.int64))
        result.prefix.append(prefix)
        result.suffix.append(index[ends[first]])
        result.starts_sentence.append(result.starts_sentence[-1][prefix])
        index = np.full(len(tokens), -1, dtype=np.int64)
        index[ends] = inverse
    return result
