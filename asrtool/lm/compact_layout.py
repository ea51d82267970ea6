"""Where things are in a compact n-gram model of order N over V words.

The model is a trie. The n-grams of an order are sorted by their first n - 1 words, then by the last; an n-gram's index is its
rank, an unigram's its word's id. All lies in one array of uint64, in fields of as many bits as the largest value needs:

- a record for each n-gram: the last word (not for unigrams), the cost -ln p as float32, or as code of a table's row;
- for each order below N, one bit for each n-gram: whether it is a history that the model tells apart, which has continuations
  or a back-off weight; in pairs of elements (ones before these 64 n-grams, their bits), so that one look counts the ones before
  an n-gram;
- a record for each such history: index of its first continuation (the last one's end is the next record's), back-off weight as
  cost, and the state of the longest shorter history told apart.

Other histories need nothing: backing off from them costs nothing. States count the histories: 0 is the empty one, then by order.
"""

from dataclasses import dataclass

import numpy as np

from asrtool.lm.compact_kernels import (
    BEGIN_BITS,
    CONTEXT_AT,
    CONTEXT_BITS,
    COST_BITS,
    COUNT,
    META_COLUMNS,
    NUM_STATES,
    NUM_WORDS,
    ORDER,
    RANK_AT,
    RECORD_AT,
    RECORD_BITS,
    STATE_BEGIN,
    SUFFIX_BITS,
    WEIGHT_BITS,
    WORD_BITS,
)

FLOAT_BITS = 32


@dataclass
class Layout:
    """meta: int64 [N + 1, 16] as in `lm.compact_kernels` (but the start state); size: elements of data."""

    meta: np.ndarray
    size: int


def make_layout(num_ngrams: list[int], num_contexts: list[int], bits: int) -> Layout:
    """Places a model's parts.

    Args:
        num_ngrams: for each order from 1; the first is V.
        num_contexts: for each order from 1 below N, the histories told apart.
        bits: of costs from order 2 on and of back-off weights; 0 for float32.
    """
    order = len(num_ngrams)
    meta = np.zeros((order + 1, META_COLUMNS), dtype=np.int64)
    meta[0, [ORDER, NUM_WORDS, NUM_STATES]] = order, num_ngrams[0], 1 + sum(num_contexts)
    state, element = 1, 0
    for n, count in enumerate(num_ngrams, 1):
        row = meta[n]
        row[[STATE_BEGIN, COUNT, RECORD_AT]] = state, count, 64 * element
        row[WORD_BITS] = int(num_ngrams[0] - 1).bit_length() if n > 1 else 0
        row[COST_BITS] = bits if bits and n > 1 else FLOAT_BITS
        row[RECORD_BITS] = row[WORD_BITS] + row[COST_BITS]
        element += _elements(count * int(row[RECORD_BITS]))
        if n == order:
            break
        row[RANK_AT] = element
        element += 2 * _elements(count)
        row[CONTEXT_AT] = 64 * element
        row[BEGIN_BITS] = num_ngrams[n].bit_length()
        row[WEIGHT_BITS] = bits or FLOAT_BITS
        row[SUFFIX_BITS] = (state - 1).bit_length()
        row[CONTEXT_BITS] = row[BEGIN_BITS] + row[WEIGHT_BITS] + row[SUFFIX_BITS]
        element += _elements((num_contexts[n - 1] + 1) * int(row[CONTEXT_BITS]))
        state += num_contexts[n - 1]
    return Layout(meta, element + 1)  # a field's second element is read only where it reaches there; one more does no harm


def _elements(bits: int) -> int:
    return -(-bits // 64)
