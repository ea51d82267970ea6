"""Few values that stand for many: one-dimensional k-means."""

import numpy as np

SAMPLE = 1 << 20
ROUNDS = 30


def centres_of(values: np.ndarray, count: int, exact: tuple[float, ...] = ()) -> np.ndarray:
    """float32 [at most count], ascending: centres with a small mean squared distance to the values.

    Lloyd's algorithm from bins of equal population; large arrays are sampled at equal distances.

    Args:
        values: float32.
        exact: values that are centres themselves.
    """
    values = np.sort(values[:: max(1, len(values) // SAMPLE)].astype(np.float64))
    values = values[~np.isin(values, exact)]
    distinct = np.unique(values)
    count -= len(exact)
    if len(distinct) <= count:
        return np.union1d(distinct, exact).astype(np.float32)
    centres = np.unique(values[((np.arange(count) + 0.5) * len(values) / count).astype(np.int64)])
    if len(centres) < count:  # one value fills several bins: the others share the range
        others = np.setdiff1d(distinct, centres)
        spread = others[np.linspace(0, len(others) - 1, count - len(centres)).astype(np.int64)]
        centres = np.union1d(centres, spread)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    for _ in range(ROUNDS):
        ends = np.concatenate([[0], np.searchsorted(values, (centres[1:] + centres[:-1]) / 2), [len(values)]])
        sizes = np.diff(ends)
        means = np.divide(np.diff(sums[ends]), sizes, out=centres.copy(), where=sizes > 0)
        if np.array_equal(means, centres):
            break
        centres = means
    return np.union1d(centres, exact).astype(np.float32)


def bounds_between(centres: np.ndarray) -> np.ndarray:
    """float32 [C - 1]: values up to bounds[c] belong to centre c or one before."""
    return ((centres[1:].astype(np.float64) + centres[:-1]) / 2).astype(np.float32)
