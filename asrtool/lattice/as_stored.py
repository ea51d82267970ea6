"""Lattices for copying, with their states in the order that a file has them in."""

import numpy as np

from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.kaldi_arcs import KaldiArcs, to_lattice_arrays
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
    if arcs.start != 0:
        return ordered
    if arcs.compact:
        return CompactLattice(
            num_frames=ordered.num_frames,
            arc_start=arcs.source,
            arc_end=arcs.end,
            arc_word=arcs.word,
            arc_graph_cost=arcs.graph,
            arc_acoustic_cost=arcs.acoustic,
            tid_begin=arcs.string_begin,
            transition_id=arcs.string,
            final_graph_cost=arcs.final_graph,
            final_acoustic_cost=arcs.final_acoustic,
            final_tid_begin=arcs.final_begin,
            final_transition_id=arcs.final_string,
        )
    if np.any((arcs.final_acoustic != 0) & (arcs.final_graph < np.inf)):
        return ordered
    return Lattice(
        num_frames=ordered.num_frames,
        state_frame=np.zeros(len(arcs.final_graph), np.int32),
        arc_start=arcs.source,
        arc_end=arcs.end,
        arc_transition_id=arcs.transition_id,
        arc_word=arcs.word,
        arc_graph_cost=arcs.graph,
        arc_acoustic_cost=arcs.acoustic,
        final_cost=arcs.final_graph,
    )
