"""Drops what lies on no path from the start to a final state."""

import numpy as np

from asrtool.lattice.arrays import AnyLattice, final_costs, select, topology


def connect(lattice: AnyLattice) -> AnyLattice:
    """The lattice without states and arcs that are on no whole path; empty (no states) where it has none.

    Raises:
        AsrtoolError: arcs that are not in topological order.
    """
    from asrtool.lattice.connect_kernels import best_costs

    start, end = topology(lattice)
    is_final = final_costs(lattice)[0] < np.inf
    forward, backward = best_costs(start, end, np.zeros(len(start)), np.where(is_final, 0.0, np.inf))
    return select(lattice, (forward < np.inf) & (backward < np.inf), np.ones(len(start), bool))
