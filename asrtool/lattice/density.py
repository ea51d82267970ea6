"""How much a lattice holds: arcs a frame, states, arcs, paths."""

from dataclasses import dataclass

import numpy as np

from asrtool.lattice.arrays import arc_frames, final_costs, state_frames, topology
from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.lattice import Lattice


def depth_per_frame(lattice: Lattice | CompactLattice) -> np.ndarray:
    """int64 [T]: arcs that cross each frame, strings of final states included, as Kaldi's lattice-depth-per-frame.

    Raises:
        AsrtoolError: a bad lattice.
    """
    frames = state_frames(lattice)
    begins, lengths = [frames[lattice.arc_start]], [arc_frames(lattice)]
    if isinstance(lattice, CompactLattice):
        begins.append(frames)
        lengths.append(np.diff(lattice.final_tid_begin))
    begin, length = np.concatenate(begins), np.concatenate(lengths)
    begin, length = begin[begin >= 0], length[begin >= 0]  # what no path reaches has no place in time
    size = lattice.num_frames + 1
    changes = np.bincount(begin, minlength=size) - np.bincount(begin + length, minlength=size)
    return np.cumsum(changes)[: lattice.num_frames]


def depth(lattice: Lattice | CompactLattice) -> float:
    """The average arcs that cross a frame, as Kaldi's lattice-depth; 0 without frames."""
    return float(depth_per_frame(lattice).mean()) if lattice.num_frames else 0.0


@dataclass(frozen=True)
class LatticeCounts:
    """Numbers of a lattice; whole paths in floating point (of a determinised lattice they are its word sequences)."""

    frames: int
    states: int
    arcs: int
    word_arcs: int
    final_states: int
    paths: float
    depth: float


def count(lattice: Lattice | CompactLattice) -> LatticeCounts:
    """What is in a lattice.

    Raises:
        AsrtoolError: a bad lattice.
    """
    from asrtool.lattice.forward_backward_kernels import sum_paths

    start, end = topology(lattice)
    is_final = final_costs(lattice)[0] < np.inf
    log_paths = sum_paths(start, end, np.zeros(len(start)), np.where(is_final, 0.0, np.inf))[1]
    return LatticeCounts(
        frames=lattice.num_frames,
        states=lattice.num_states,
        arcs=lattice.num_arcs,
        word_arcs=int(np.count_nonzero(lattice.arc_word)),
        final_states=int(is_final.sum()),
        paths=_rounded(log_paths[0]) if len(log_paths) else 0.0,
        depth=depth(lattice),
    )


def _rounded(log_count: float) -> float:
    count = float(np.exp(min(log_count, 709.0)))  # exp(710) is inf
    return float(round(count)) if count < 1e12 else count
