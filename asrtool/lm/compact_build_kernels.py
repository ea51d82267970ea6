"""Writes the bit fields of a compact n-gram model (layout: `lm.compact_layout`)."""

import numpy as np
from numba import njit

from asrtool.io.kernel_cache import forget_older_than
from asrtool.lm import compact_kernels
from asrtool.lm.compact_kernels import (
    BEGIN_BITS,
    CONTEXT_AT,
    COST_BITS,
    NUM_WORDS,
    RECORD_AT,
    RECORD_BITS,
    SUFFIX_BITS,
    WEIGHT_BITS,
    WORD_BITS,
    advance,
    shorter,
    state_of,
)

forget_older_than(__file__, compact_kernels)


@njit(nogil=True, cache=True)
def mark_histories(keys, num_words, weights, ones):
    """Sets the bits of the n-grams that are histories which the model tells apart.

    Args:
        keys: int64 [M], of the n-grams one order up: index of the first n words times num_words plus the last word.
        weights: float32 [number of n-grams], back-off weights.
        ones: uint64, written.
    """
    for index in range(len(keys)):
        node = keys[index] // num_words
        ones[node >> 6] |= np.uint64(1) << np.uint64(node & 63)
    for node in range(len(weights)):
        if weights[node] != 0.0:
            ones[node >> 6] |= np.uint64(1) << np.uint64(node & 63)


@njit(nogil=True, cache=True)
def write_bits(data, at, width, value):
    """Writes the `width` lowest bits (1 to 63) of the int64 `value` from bit `at` on, where zeros are."""
    element, shift = at >> 6, np.uint64(at & 63)
    bits = np.uint64(value)
    data[element] |= bits << shift
    if (at & 63) + width > 64:
        data[element + 1] |= bits >> (np.uint64(64) - shift)


@njit(nogil=True, cache=True)
def code_of(value, bounds):
    """The 32 bits of a float32; with `bounds` (float32, ascending), how many of them are below the value."""
    if len(bounds) == 0:
        return np.int64(np.float32(value).view(np.uint32))
    return np.int64(np.searchsorted(bounds, value))


@njit(nogil=True, cache=True)
def write_records(data, meta, order, keys, costs, bounds):
    """The records of an order.

    Args:
        data: uint64 [W], written; zeros so far.
        keys: int64 [M] as in `mark_histories`, of this order; empty for unigrams.
        costs: float32 [M].
        bounds: float32 [number of codes - 1], empty where costs are not quantised.
    """
    at, width = meta[order, RECORD_AT], meta[order, WORD_BITS]
    for index in range(len(costs)):
        if width:
            write_bits(data, at, width, keys[index] % meta[0, NUM_WORDS])
        write_bits(data, at + width, meta[order, COST_BITS], code_of(costs[index], bounds))
        at += meta[order, RECORD_BITS]


@njit(nogil=True, cache=True)
def write_contexts(arrays, data, order, keys, weights, longer_keys, bounds):
    """The histories of an order, after all records and ranks and the histories of lower orders.

    Args:
        arrays: the model's; its data is `data`, read.
        data: uint64 [W], written.
        keys: int64 [M] as in `mark_histories`, of this order; weights: float32 [M].
        longer_keys: int64, those one order up.
        bounds: float32, as in `write_records`, of the weights.
    """
    meta, read_data, _ = arrays
    num_words = meta[0, NUM_WORDS]
    at, begin = meta[order, CONTEXT_AT], np.int64(0)
    for node in range(len(weights)):
        if state_of(meta, read_data, order, node) < 0:
            continue
        write_bits(data, at, meta[order, BEGIN_BITS], begin)
        at += meta[order, BEGIN_BITS]
        write_bits(data, at, meta[order, WEIGHT_BITS], code_of(weights[node], bounds))
        at += meta[order, WEIGHT_BITS]
        if order > 1:
            parent = state_of(meta, read_data, order - 1, keys[node] // num_words)
            _, suffix = shorter(meta, read_data, order - 1, parent)
            write_bits(data, at, meta[order, SUFFIX_BITS], advance(arrays, suffix, keys[node] % num_words)[0])
        at += meta[order, SUFFIX_BITS]
        while begin < len(longer_keys) and longer_keys[begin] // num_words == node:
            begin += 1
    write_bits(data, at, meta[order, BEGIN_BITS], begin)
