"""How far an error rate, or the difference of two, may be trusted: bootstrap over utterances or speakers.

M. Bisani and H. Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation", ICASSP 2004.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.score.edit_distance import ErrorCounts

_DRAWS_AT_ONCE = 1 << 21


@dataclass(frozen=True)
class Interval:
    """A rate in %, the standard error of it, and the bounds of its confidence interval (quantiles of the bootstrap)."""

    rate: float
    standard_error: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Two systems on the same utterances; `difference` is the second's rate less the first's.

    probability_of_improvement: share of the bootstrap samples in which the second has fewer errors; ties count half.
    """

    first: Interval
    second: Interval
    difference: Interval
    probability_of_improvement: float


def bootstrap_interval(
    errors: np.ndarray, totals: np.ndarray, num_samples: int = 10000, seed: int = 0, confidence: float = 0.95
) -> Interval:
    """The interval of one system's rate.

    Args:
        errors, totals: int [U], errors and reference tokens of each unit (utterance or speaker) that is drawn.
    """
    return _interval(*_rates([errors], totals, num_samples, seed), _rate(errors, totals), confidence)


def compare_systems(
    first: np.ndarray, second: np.ndarray, totals: np.ndarray, num_samples: int = 10000, seed: int = 0, confidence: float = 0.95
) -> Comparison:
    """Intervals of two systems and of their difference, from the same draws.

    Args:
        first, second: int [U], errors of the two systems in each unit; totals: int [U], reference tokens.
    """
    one, two = _rates([first, second], totals, num_samples, seed)
    rates = _rate(first, totals), _rate(second, totals)
    better = np.mean(two < one) + 0.5 * np.mean(two == one)
    return Comparison(
        _interval(one, rates[0], confidence),
        _interval(two, rates[1], confidence),
        _interval(two - one, rates[1] - rates[0], confidence),
        float(better),
    )


def units(
    per_utterance: Sequence[Mapping[str, ErrorCounts]], utt2spk: Mapping[str, str] | None = None
) -> tuple[list[np.ndarray], np.ndarray]:
    """Errors (int64 [U] a system) and reference tokens (int64 [U]) of the units that are drawn.

    Args:
        per_utterance: of each system, for the same utterances.
        utt2spk: draw speakers; by default utterances.
    """
    names = list(per_utterance[0])
    owners = names if utt2spk is None else [utt2spk.get(name, name) for name in names]
    _, unit = np.unique(owners, return_inverse=True)
    totals = np.bincount(unit, [per_utterance[0][name].total for name in names]).astype(np.int64)
    return [np.bincount(unit, [system[name].errors for name in names]).astype(np.int64) for system in per_utterance], totals


def _rate(errors: np.ndarray, totals: np.ndarray) -> float:
    return 100.0 * float(np.sum(errors)) / float(np.sum(totals))


def _rates(systems: list[np.ndarray], totals: np.ndarray, num_samples: int, seed: int) -> list[np.ndarray]:
    """float64 [num_samples] for each system: its rate in samples of U units drawn with replacement."""
    totals = np.asarray(totals, dtype=np.float64)
    if num_samples < 2:
        raise AsrtoolError(f"{num_samples} bootstrap samples: expected 2 or more; 10000 is usual")
    if not totals.sum():
        raise AsrtoolError("the reference text has no words: nothing to draw from")
    generator = np.random.default_rng(seed)
    columns = [*(np.asarray(errors, dtype=np.float64) for errors in systems), totals]
    sums = np.empty((len(columns), num_samples))
    step = max(1, _DRAWS_AT_ONCE // len(totals))
    for begin in range(0, num_samples, step):
        drawn = generator.integers(len(totals), size=(min(step, num_samples - begin), len(totals)), dtype=np.int32)
        for row, column in zip(sums, columns):
            row[begin : begin + step] = np.take(column, drawn).sum(axis=1)
    some = sums[-1] > 0  # a sample of utterances without words has no rate
    return [100.0 * errors[some] / sums[-1][some] for errors in sums[:-1]]


def _interval(rates: np.ndarray, rate: float, confidence: float) -> Interval:
    low, high = np.quantile(rates, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(rate, float(rates.std(ddof=1)), float(low), float(high))
