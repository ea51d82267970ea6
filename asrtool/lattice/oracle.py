"""The oracle error of a lattice: how near its nearest path comes to what was said."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from asrtool.lattice.arrays import path_of_arcs, topology, weighed_costs
from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.lattice import BestPath, Lattice


@dataclass(frozen=True)
class Oracle:
    """The path with the fewest word errors, of those with equally few the cheapest.

    Attributes:
        insertions, deletions, substitutions: of one best alignment of the path's words to the reference.
        num_words: of the reference.
        path: its words, transition-ids and unscaled costs.
        arcs: int32, in path order.
    """

    insertions: int
    deletions: int
    substitutions: int
    num_words: int
    path: BestPath
    arcs: np.ndarray

    @property
    def errors(self) -> int:
        return self.insertions + self.deletions + self.substitutions


def oracle(
    lattice: Lattice | CompactLattice,
    reference: Sequence[int],
    acoustic_scale: float = 1.0,
    lm_scale: float = 1.0,
    ignored: Iterable[int] = (),
) -> Oracle | None:
    """The path nearest to the reference (word ids), exact; None where no path reaches a final state.

    Kaldi's lattice-oracle counts the same errors but takes any of the nearest paths. Takes 12 bytes for each state and reference
    position.

    Args:
        acoustic_scale, lm_scale: weigh the costs that choose among paths with equally few errors.
        ignored: word ids that count on neither side (Kaldi's wildcard symbols).

    Raises:
        AsrtoolError: a bad lattice.
    """
    from asrtool.lattice.oracle_kernels import errors_to_go, nearest_path

    start, end = topology(lattice)
    arc_cost, final_cost = weighed_costs(lattice, acoustic_scale, lm_scale)
    words = np.array(reference, np.int32).reshape(-1)
    arc_word = np.array(lattice.arc_word, np.int32)
    ignored = np.array(list(ignored), np.int32)
    if len(ignored):
        words = words[~np.isin(words, ignored)]
        arc_word[np.isin(arc_word, ignored)] = 0
    errors, costs = errors_to_go(start, end, arc_word, arc_cost, final_cost, words)
    if not len(costs) or costs[0, 0] == np.inf:
        return None
    begin = np.searchsorted(start, np.arange(lattice.num_states + 1)).astype(np.int64)
    arcs, inserted, deleted, replaced = nearest_path(begin, end, arc_word, arc_cost, words, errors, costs)
    return Oracle(inserted, deleted, replaced, len(words), path_of_arcs(lattice, arcs), arcs)
