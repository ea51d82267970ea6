"""A back-off n-gram model as sorted arrays.

An n-gram of order n >= 2 has an index, its rank among those of its order, and a key: index of its first n - 1 words times the
size of the vocabulary, plus the id of its last word. Keys are sorted; an unigram's index is its word's id. So n-grams are found
for a whole text at once by `searchsorted`.
"""

from dataclasses import dataclass

import numpy as np

from asrtool.lm.text import BOS_ID, Vocabulary


def find(keys: np.ndarray, prefix: np.ndarray, word: np.ndarray, num_words: int) -> np.ndarray:
    """int64 [M]: the indices of the n-grams (prefix index, word id), -1 for those not there or with a part that is -1."""
    index = np.full(len(prefix), -1, dtype=np.int64)
    known = np.flatnonzero((prefix >= 0) & (word >= 0))
    if len(keys) == 0 or len(known) == 0:
        return index
    wanted = prefix[known] * num_words + word[known]
    rank = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    index[known] = np.where(keys[rank] == wanted, rank, -1)
    return index


@dataclass
class NgramModel:
    """A model of order N over V words, <s> and </s> included.

    Attributes:
        vocabulary: the words; their ids are the unigrams' indices.
        keys: for each order from 2, int64 [number of n-grams], sorted.
        log10_prob: for each order from 1, float64: log10 of the probability of the last word after the others.
        log10_backoff: for each order below N, float64: log10 of the weight of the shorter history.
    """

    vocabulary: Vocabulary
    keys: list[np.ndarray]
    log10_prob: list[np.ndarray]
    log10_backoff: list[np.ndarray]

    @property
    def order(self) -> int:
        return len(self.log10_prob)

    def num_ngrams(self) -> list[int]:
        return [len(values) for values in self.log10_prob]

    def prefix_and_word(self, order: int) -> tuple[np.ndarray, np.ndarray]:
        """For the n-grams of an order from 2: index of the first n - 1 words, id of the last."""
        return np.divmod(self.keys[order - 2], len(self.vocabulary))

    def ngram_words(self, order: int) -> np.ndarray:
        """int64 [number of n-grams, order]: the ids of the words."""
        words = np.empty((len(self.log10_prob[order - 1]), order), dtype=np.int64)
        index = np.arange(len(words))
        for position in range(order, 1, -1):
            index, words[:, position - 1] = np.divmod(self.keys[position - 2][index], len(self.vocabulary))
        words[:, 0] = index
        return words

    def indices(self, tokens: np.ndarray) -> list[np.ndarray]:
        """For each order n and each position of `tokens` int64 [T]: the index of the n-gram that ends there, or -1."""
        found = [np.asarray(tokens, dtype=np.int64)]
        for keys in self.keys:
            previous = np.concatenate([[-1], found[-1][:-1]])
            word = np.where(tokens == BOS_ID, -1, tokens)  # no n-gram reaches over a sentence's start
            found.append(find(keys, previous, word, len(self.vocabulary)))
        return found

    def log10_probs(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The probability of each token after those before it in its sentence.

        Args:
            tokens: int64 [T], sentences with <s> and </s> as `lm.text.encode` makes them; -1 is not in the vocabulary.

        Returns:
            float64 [T] log10 probabilities (0 at <s> and at -1), int [T] order of the longest n-gram found (0 there).
        """
        found = self.indices(tokens)
        total = np.zeros(len(tokens))
        used_order = np.zeros(len(tokens), dtype=np.int64)
        open_ = (tokens >= 0) & (tokens != BOS_ID)
        for order in range(self.order, 0, -1):
            index = found[order - 1]
            hit = open_ & (index >= 0)
            total[hit] += self.log10_prob[order - 1][index[hit]]
            used_order[hit] = order
            open_ &= ~hit
            if order > 1:
                history = np.concatenate([[-1], found[order - 2][:-1]])
                backs_off = open_ & (history >= 0)
                total[backs_off] += self.log10_backoff[order - 2][history[backs_off]]
        return total, used_order
