"""How often each id occurs in alignments: counts of pdfs for priors, and a table of them (Kaldi's analyze-counts)."""

from collections.abc import Iterable, Iterator

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.io.symbols import SymbolTable


def count_ids(alignments: Iterable[tuple[str, np.ndarray]], dim: int = 0) -> np.ndarray:
    """int64 [P]: occurrences of the ids 0 to P - 1, at least `dim` of them.

    Raises:
        AsrtoolError: an id below 0, or above `dim` - 1 where that is given.
    """
    counts = np.zeros(dim, np.int64)
    for utterance, ids in alignments:
        if len(ids) and (ids.min() < 0 or (dim and ids.max() >= dim)):
            bad = int(ids.min() if ids.min() < 0 else ids.max())
            raise AsrtoolError(f"{utterance}: id {bad} is not in 0 to {dim - 1}: alignments of another kind")
        found = np.bincount(ids, minlength=len(counts))
        found[: len(counts)] += counts
        counts = found
    return counts


def count_lines(counts: np.ndarray, symbols: SymbolTable | None = None) -> Iterator[str]:
    """The ids from the rarest to the most frequent: rank, id (and symbol), count, share; then what never occurs.

    Raises:
        AsrtoolError: an id that the table lacks.
    """
    total = max(int(counts.sum()), 1)
    width = len(str(int(counts.max(initial=0))))
    for rank, number in enumerate(np.argsort(counts, kind="stable").tolist()):
        name = f" {symbols.symbol(number)}" if symbols else ""
        yield f"{rank} id {number}{name} count {int(counts[number]):>{width}} share {counts[number] / total:.6f}"
    unseen = np.flatnonzero(counts == 0)
    yield f"total {int(counts.sum())}, ids {len(counts)}, never seen {len(unseen)}{':' if len(unseen) else ''}" + "".join(
        f" {number}" for number in unseen.tolist()
    )
