"""Numerators with tolerance against the enumeration of all alignments."""

import itertools

import numpy as np
import pytest
import torch

from asrtool.criterion.lattice_free_tolerance import Units, tolerant_numerator
from asrtool.graph.denominator import BOTH, FORWARD_ONLY, LOOP_ONLY

pytestmark = pytest.mark.usefixtures("one_thread")
KINDS = {
    "usual": np.array([BOTH, BOTH, BOTH, BOTH], np.int8),
    "chain": np.array([FORWARD_ONLY, LOOP_ONLY, FORWARD_ONLY, LOOP_ONLY], np.int8),
}
ALIGNMENTS = {
    "usual": [[0, 0, 1, 2, 2, 2], [3, 3, 3], [], [1, 0, 1, 0], [2]],
    "chain": [[0, 1, 1, 2, 3, 3], [0, 0, 1], [], [2, 3, 0, 2, 3], [0]],
}


def enumerated(pdfs: list[int], kinds: np.ndarray, tolerance: int) -> set[tuple[int, ...]]:
    """Every alignment, as pdfs, by trying all lengths of the units."""
    units = []  # pdf, first, end
    for frame, pdf in enumerate(pdfs):
        if units and units[-1][0] == pdf and kinds[pdf] != FORWARD_ONLY:
            units[-1][2] = frame + 1
        else:
            units.append([pdf, frame, frame + 1])
    choices = [[1] if kinds[pdf] == FORWARD_ONLY else range(int(kinds[pdf] != LOOP_ONLY), len(pdfs) + 1) for pdf, _, _ in units]
    found = set()
    for lengths in itertools.product(*choices):
        ends = np.cumsum(lengths)
        if ends[-1] == len(pdfs) and all(
            end == begin or (begin >= first - tolerance and end <= last + tolerance)
            for (_, first, last), begin, end in zip(units, ends - lengths, ends)
        ):
            found.add(tuple(pdf for (pdf, _, _), length in zip(units, lengths) for _ in range(length)))
    return found


@pytest.mark.parametrize("tolerance", [0, 1, 2, 9])
@pytest.mark.parametrize("kind", KINDS)
def test_equals_enumeration(kind, tolerance):
    kinds, alignments = KINDS[kind], ALIGNMENTS[kind]
    scores = torch.randn(5, 7, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(tolerance))
    units = Units([np.array(one, np.int64) for one in alignments], kinds, tolerance, torch.device("cpu"))
    loglike, posteriors = tolerant_numerator(scores, units)
    only_loglike, nothing = tolerant_numerator(scores, units, posteriors=False)
    assert nothing is None and torch.equal(only_loglike, loglike)
    for b, alignment in enumerate(alignments):
        paths = sorted(enumerated(alignment, kinds, tolerance)) if alignment else [()]
        assert len(paths) == 1 or tolerance
        assert tuple(alignment) in paths
        weights = np.exp([sum(float(scores[b, t, pdf]) for t, pdf in enumerate(path)) for path in paths])
        assert loglike[b].item() == pytest.approx(np.log(weights.sum()), abs=1e-10)
        expected = np.zeros((7, 4))
        for path, weight in zip(paths, weights / weights.sum()):
            expected[np.arange(len(path)), list(path)] += weight
        np.testing.assert_allclose(posteriors[b], expected, atol=1e-10)
