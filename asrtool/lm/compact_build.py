"""Makes the arrays of a compact n-gram model from sorted n-grams."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.lm.compact_build_kernels import mark_histories, write_contexts, write_records
from asrtool.lm.compact_kernels import RANK_AT, START_STATE, state_of
from asrtool.lm.compact_layout import make_layout
from asrtool.lm.compact_quantise import bounds_between, centres_of
from asrtool.lm.text import BOS_ID

MAX_ORDER = 20
_NOT_QUANTISED = np.empty(0, dtype=np.float32)


@dataclass
class Level:
    """The n-grams of an order.

    Attributes:
        keys: int64 [M], sorted: index of the first n - 1 words times the number of words, plus the last word; empty for unigrams.
        costs: float32 [M], -ln of the probabilities.
        weights: float32 [M], -ln of the back-off weights; empty for the highest order.
    """

    keys: np.ndarray
    costs: np.ndarray
    weights: np.ndarray


def read_only(array: np.ndarray) -> np.ndarray:
    """A plain array that cannot be written, so that the kernels are compiled once for arrays in memory and in files."""
    array = np.asarray(array).view()
    array.flags.writeable = False
    return array


def build(levels: list[Level], bits: int, allocate: Callable[[int], np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(meta, data, tables) of a model; see `lm.compact_layout`.

    Args:
        levels: for each order from 1. Each n-gram's first words are an n-gram.
        bits: 0 or 2 to 16.
        allocate: gives data, uint64 zeros, by its size.
    """
    order, num_words = len(levels), len(levels[0].costs)
    if bits != 0 and not 2 <= bits <= 16:
        raise AsrtoolError(f"{bits} bits a value: expected 2 to 16, or 0 for floats")
    if order > MAX_ORDER:
        raise AsrtoolError(f"n-grams of order {order}: at most {MAX_ORDER} are possible")
    levels = [Level(read_only(level.keys), read_only(level.costs), read_only(level.weights)) for level in levels]
    ones = []
    for level, longer in pairwise(levels):
        ones.append(np.zeros(-(-len(level.costs) // 64), dtype=np.uint64))
        mark_histories(longer.keys, num_words, level.weights, ones[-1])
    layout = make_layout(
        [len(level.costs) for level in levels], [int(np.bitwise_count(marks).sum(dtype=np.int64)) for marks in ones], bits
    )
    meta = layout.meta
    tables, bounds = _quantise(levels, bits)
    data = allocate(layout.size)
    for n, level in enumerate(levels, 1):
        write_records(data, meta, n, level.keys, level.costs, bounds[n - 1])
    for n, marks in enumerate(ones, 1):
        pairs = data[meta[n, RANK_AT] :][: 2 * len(marks)]
        counts = np.bitwise_count(marks).astype(np.uint64)
        pairs[0::2] = np.cumsum(counts) - counts
        pairs[1::2] = marks
    arrays = (read_only(meta), read_only(data), read_only(tables))
    for n in range(1, order):
        longer = levels[n]
        write_contexts(arrays, data, n, levels[n - 1].keys, levels[n - 1].weights, longer.keys, bounds[order + n - 1])
    meta[0, START_STATE] = max(0, state_of(arrays[0], arrays[1], 1, BOS_ID)) if order > 1 else 0
    return meta, data, tables


def _quantise(levels: list[Level], bits: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """The rows' centres, float32 [2 N, 2 ** bits], and bounds (row n - 1: costs of order n; row N + n - 1: weights)."""
    order = len(levels)
    tables = np.zeros((2 * order, 1 << bits if bits else 1), dtype=np.float32)
    bounds = [_NOT_QUANTISED] * (2 * order)
    if bits:
        for n, level in enumerate(levels, 1):
            for row, values, exact in ((n - 1, level.costs, ()), (order + n - 1, level.weights, (0.0,))):
                if len(values) and row > 0:
                    centres = centres_of(values, 1 << bits, exact)
                    tables[row, : len(centres)] = centres
                    bounds[row] = bounds_between(centres)
                    if len(centres) == 1:  # one value: any bound above it keeps its code 0
                        bounds[row] = np.array([np.inf], dtype=np.float32)
    return tables, [read_only(bound) for bound in bounds]
