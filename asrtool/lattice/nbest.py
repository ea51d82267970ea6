"""N-best lists of a lattice, the best path of given words, and how many word sequences lie within a beam."""

from itertools import pairwise

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.lattice.arrays import path_of_arcs, topology, weighed_costs
from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.lattice import BestPath, Lattice


def _searched(lattice: Lattice | CompactLattice, acoustic_scale: float, lm_scale: float, penalty: float):
    """The SearchedLattice at these scales."""
    from asrtool.lattice.connect_kernels import best_costs
    from asrtool.lattice.word_search_kernels import SearchedLattice

    start, end = topology(lattice)
    arc_cost, final_cost = weighed_costs(lattice, acoustic_scale, lm_scale, penalty)
    backward = best_costs(start, end, arc_cost, final_cost)[1]
    begin = np.searchsorted(start, np.arange(lattice.num_states + 1)).astype(np.int64)
    return SearchedLattice(begin, end, np.require(lattice.arc_word, np.int32, ["C", "W"]), arc_cost, backward, final_cost)


def nbest_arcs(
    lattice: Lattice | CompactLattice,
    num_best: int,
    acoustic_scale: float = 1.0,
    lm_scale: float = 1.0,
    word_insertion_penalty: float = 0.0,
    beam: float = np.inf,
) -> list[np.ndarray]:
    """As `nbest`, but the arcs (int32, in path order) of each word sequence's best path."""
    from asrtool.lattice.word_path_kernels import arcs_of_sequences
    from asrtool.lattice.word_search_kernels import best_word_sequences

    if num_best < 1 or not beam >= 0:
        raise AsrtoolError(f"{num_best} best within a beam of {beam}: expected at least 1, and a beam of 0 or more")
    searched = _searched(lattice, acoustic_scale, lm_scale, word_insertion_penalty)
    backward = searched.backward
    if not len(backward) or backward[0] == np.inf:
        return []
    limit = _limit(backward[0], beam)
    found, _, parent, *entries = best_word_sequences(searched, num_best, limit)
    order = np.lexsort((found, parent[found]))  # those that differ in the last word only follow each other
    bounds, arcs = arcs_of_sequences(searched, limit, topology(lattice)[0], found[order], parent, *entries)
    paths = [arcs[a:b][::-1] for a, b in pairwise(bounds)]
    return [paths[place] for place in np.argsort(order)]


def nbest(
    lattice: Lattice | CompactLattice,
    num_best: int,
    acoustic_scale: float = 1.0,
    lm_scale: float = 1.0,
    word_insertion_penalty: float = 0.0,
    beam: float = np.inf,
) -> list[BestPath]:
    """The `num_best` cheapest different word sequences, each with its best path, from the cheapest.

    The cost is lm_scale * graph + acoustic_scale * acoustic cost + penalty * words; those that are returned are neither scaled
    nor penalised. Exact for both kinds of lattice; Kaldi's lattice-nbest gives the same on determinised lattices, and the N best
    paths, some with the same words, on others. Fewer where the lattice or the beam holds fewer; none without a final state.

    Raises:
        AsrtoolError: num_best < 1, a beam below 0, or a bad lattice.
    """
    arcs = nbest_arcs(lattice, num_best, acoustic_scale, lm_scale, word_insertion_penalty, beam)
    return [path_of_arcs(lattice, path) for path in arcs]


def best_path_of_words(
    lattice: Lattice | CompactLattice,
    words: np.ndarray,
    acoustic_scale: float = 1.0,
    lm_scale: float = 1.0,
) -> BestPath | None:
    """The cheapest path with exactly these words (integers without 0); None where the lattice has none."""
    from asrtool.lattice.word_path_kernels import best_arcs_of_words

    searched = _searched(lattice, acoustic_scale, lm_scale, 0.0)
    if not lattice.num_states:
        return None
    path, cost = best_arcs_of_words(searched, np.array(words, np.int32))
    return path_of_arcs(lattice, path) if cost < np.inf else None


def count_words_within(
    lattice: Lattice | CompactLattice, beam: float, acoustic_scale: float = 1.0, lm_scale: float = 1.0, most: int = 1_000_000
) -> int:
    """How many different word sequences cost at most `beam` more than the best one; counting stops at `most`."""
    from asrtool.lattice.word_search_kernels import count_word_sequences

    searched = _searched(lattice, acoustic_scale, lm_scale, 0.0)
    backward = searched.backward
    if not len(backward) or backward[0] == np.inf:
        return 0
    return int(count_word_sequences(searched, _limit(backward[0], beam), most))


def _limit(best: float, beam: float) -> float:
    """With an allowance for rounding: sums over a path from the start and from the end differ."""
    return float(min(best + beam + 1e-11 * abs(best), np.finfo(np.float64).max))
