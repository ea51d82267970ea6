"""Lattice pruning to a beam."""

from dataclasses import replace

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.lattice.arrays import AnyLattice, select, topology, weighed_costs
from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.strings import begins


def prune(lattice: AnyLattice, beam: float, acoustic_scale: float = 1.0, lm_scale: float = 1.0) -> AnyLattice:
    """What is on some whole path that costs at most `beam` more than the best one; empty (no states) without a whole path.

    Arcs and final costs are judged one by one, as in Kaldi's PruneLattice: paths inside the beam stay, arcs on no such path go.
    Costs are compared in float64, with an allowance of 1e-11 of the best cost for rounding.

    Raises:
        AsrtoolError: a beam that is not >= 0, a cost that is NaN or -inf, or arcs that are not in topological order.
    """
    from asrtool.lattice.connect_kernels import best_costs

    if not beam >= 0:
        raise AsrtoolError(f"a beam of {beam}: it must be 0 or more")
    start, end = topology(lattice)
    arc_cost, final_cost = weighed_costs(lattice, acoustic_scale, lm_scale)
    forward, backward = best_costs(start, end, arc_cost, final_cost)
    best = backward[0] if len(backward) else np.inf
    if best == np.inf:
        return select(lattice, np.zeros(lattice.num_states, bool), np.zeros(lattice.num_arcs, bool))
    limit = min(best + beam + 1e-11 * abs(best), np.finfo(np.float64).max)
    result = select(lattice, forward + backward <= limit, forward[start] + arc_cost + backward[end] <= limit)
    ends = (forward + final_cost <= limit)[forward + backward <= limit]
    return _without_ends(result, ~ends)


def _without_ends(lattice: AnyLattice, dropped: np.ndarray) -> AnyLattice:
    """States [S] that are `dropped` are final no more."""
    names = ("final_graph_cost", "final_acoustic_cost") if isinstance(lattice, CompactLattice) else ("final_cost",)
    result = replace(lattice, **{name: np.where(dropped, np.float32(np.inf), getattr(lattice, name)) for name in names})
    if isinstance(lattice, CompactLattice):
        lengths = np.diff(lattice.final_tid_begin)
        result.final_transition_id = lattice.final_transition_id[np.repeat(~dropped, lengths)]
        result.final_tid_begin = begins(np.where(dropped, 0, lengths))
    return result
