"""Lattices for copying, with their states in the order that a file has them in."""

import numpy as np

from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.kaldi_arcs import KaldiArcs, in_order, to_lattice_arrays
from asrtool.lattice.lattice import Lattice


def as_stored(arcs: KaldiArcs) -> Lattice | CompactLattice:
    """For `archive.read_lattices`: what is read and written again unchanged is the same, as with Kaldi's lattice-copy.

    The lattice is checked as any other, but good for nothing but writing and `convert`: its states may be in any order, and
    state_frame is 0. One that begins with another state than 0, or has acoustic costs in final weights and is state-level, is
    brought into order.

    Raises:
        ValueError: see `kaldi_arcs.to_lattice_arrays`.
    """
    ordered = to_lattice_arrays(arcs)
    final_acoustic = np.any((arcs.final_acoustic != 0) & (arcs.final_graph < np.inf))
    if arcs.start != 0 or (final_acoustic and not arcs.compact):
        return ordered
    return in_order(arcs, ordered.num_frames, np.zeros(len(arcs.final_graph), np.int32))
