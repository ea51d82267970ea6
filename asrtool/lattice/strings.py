"""Strings of integers kept one after the other: string i is values[begin[i]:begin[i + 1]]."""

import numpy as np


def string_positions(first: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """first[0], first[0] + 1, ... (lengths[0] of them), first[1], ... as int64: where the elements of strings stand."""
    first, lengths = np.asarray(first, np.int64), np.asarray(lengths, np.int64)
    begin = np.cumsum(lengths) - lengths
    return np.arange(int(lengths.sum()), dtype=np.int64) + np.repeat(first - begin, lengths)


def begins(lengths: np.ndarray) -> np.ndarray:
    """int64 [N + 1]: where strings of these lengths begin, and the end of the last."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def gather_strings(begin: np.ndarray, values: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(begin, values) of the strings `chosen`, in that order."""
    lengths = np.diff(begin)[chosen]
    return begins(lengths), values[string_positions(begin[chosen], lengths)]
