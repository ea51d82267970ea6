"""The words of a model's n-grams, part by part, and as one array of bytes for kernels."""

import numpy as np

from asrtool.lm.columns import blocks


def ngram_words_of(keys: list, num_words: int, order: int, low: int, high: int) -> np.ndarray:
    """int64 [high - low, order]: the words of the n-grams low..high of an order.

    Args:
        keys: for each order from 2 an array or column (`lm.columns`) of sorted keys.
    """
    words = np.empty((high - low, order), np.int64)
    if order == 1:
        words[:, 0] = np.arange(low, high)
        return words
    if high == low:
        return words
    prefix, words[:, -1] = np.divmod(keys[order - 2][low:high], num_words)
    first = int(prefix[0])
    for begin, end in blocks(int(prefix[-1]) + 1 - first):
        rows = slice(*np.searchsorted(prefix, [first + begin, first + end]))
        if rows.start < rows.stop:
            lowest, highest = int(prefix[rows.start]), int(prefix[rows.stop - 1])
            shorter = ngram_words_of(keys, num_words, order - 1, lowest, highest + 1)
            words[rows, :-1] = shorter[prefix[rows] - lowest]
    return words


def word_bytes(words: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """uint8 text of all words, int64 [V + 1] where they begin."""
    encoded = [word.encode() for word in words]
    starts = np.zeros(len(words) + 1, np.int64)
    np.cumsum([len(word) for word in encoded], out=starts[1:])
    return np.frombuffer(b"".join(encoded) or b"\0", np.uint8), starts
