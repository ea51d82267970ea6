"""Denominator lattices: searched for with the present network, or made beforehand; and the numerator's path joined to them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from asrtool.decoder.beam_search import BeamSearchDecoder, BeamSearchOptions
from asrtool.decoder.graph_dir import load_graph
from asrtool.decoder.packed_graph import PackedGraph
from asrtool.errors import AsrtoolError
from asrtool.hmm.transition_model import TransitionModel
from asrtool.lattice.arrays import path_lattice
from asrtool.lattice.best_path_kernels import best_path_arcs
from asrtool.lattice.lattice import Lattice
from asrtool.sequence.failures import UtteranceError
from asrtool.sequence.options import SpeechOptions
from asrtool.sequence.presence_kernels import has_pdf_path

Denominators = Callable[[str, np.ndarray], Lattice]
"""(utterance, log-likelihoods float32 [T, P]) -> its state-level lattice; raises UtteranceError."""

_WIDE = 1e4  # a beam within which all paths with the numerator's pdfs stay: a frame's graph costs are some tens at most


class SearchedLattices:
    """Lattices of the denominator graph, at the beams of make_denlats.sh."""

    def __init__(self, graph: PackedGraph, options: SpeechOptions, acoustic_scale: float) -> None:
        self.decoder = BeamSearchDecoder(graph, options=search_options(options, acoustic_scale))

    @classmethod
    def load(cls, graph_dir: str | Path, model: TransitionModel, options: SpeechOptions, acoustic_scale: float):
        """Of the graph in a directory, which is mapped into memory where that can be written to.

        Raises:
            AsrtoolError: a file is missing or damaged, or the graph was made for another model.
        """
        return cls(load_graph(graph_dir, model)[0], options, acoustic_scale)

    def __call__(self, utterance: str, loglikes: np.ndarray) -> Lattice:
        try:
            return self.decoder.decode_lattice(loglikes)
        except AsrtoolError as error:
            raise UtteranceError("search", str(error)) from None


def search_options(options: SpeechOptions, acoustic_scale: float) -> BeamSearchOptions:
    """The search for denominator lattices."""
    return BeamSearchOptions(options.beam, options.lattice_beam, options.max_active, options.min_active, acoustic_scale)


def has_numerator(lattice: Lattice, tid_to_pdf: np.ndarray, numerator: np.ndarray) -> bool:
    """Whether a path of the lattice has the pdfs of `numerator` (transition-ids int32 [T])."""
    arrays = (lattice.state_frame, lattice.arc_start, lattice.arc_end, lattice.arc_transition_id, lattice.final_cost, tid_to_pdf)
    kinds = (np.int32, np.int32, np.int32, np.int32, np.float32, np.int32)
    prepared = [np.require(array, kind, ["C", "W"]) for array, kind in zip(arrays, kinds)]
    return lattice.num_frames == len(numerator) and bool(has_pdf_path(*prepared, prepared[-1][numerator]))


class NumeratorPaths:
    """Finds numerators in a denominator graph, at their cost there."""

    def __init__(self, graph: PackedGraph, tid_to_pdf: np.ndarray) -> None:
        options = BeamSearchOptions(beam=_WIDE, lattice_beam=1e-3, max_active=1 << 20, min_active=0, acoustic_scale=1.0)
        self.decoder = BeamSearchDecoder(graph, options=options)
        self.tid_to_pdf = tid_to_pdf

    def __call__(self, numerator: np.ndarray, loglikes: np.ndarray) -> Lattice | None:
        """A lattice of one path: the graph's cheapest with the pdfs of `numerator` [T]; None where the graph has none.

        Its acoustic costs are those of `loglikes` float32 [T, P].
        """
        pdfs, frames = self.tid_to_pdf[numerator], np.arange(len(numerator))
        only = np.full(loglikes.shape, -np.inf, np.float32)
        only[frames, pdfs] = 0
        try:
            lattice = self.decoder.decode_lattice(only)
        except AsrtoolError:  # no path survives
            return None
        if not lattice.reached_final:
            return None
        arcs, cost = best_path_arcs(
            lattice.arc_start, lattice.arc_end, lattice.arc_graph_cost.astype(np.float64), lattice.final_cost.astype(np.float64)
        )
        if not cost < np.inf:
            return None
        path = path_lattice(lattice, arcs)
        emitting = path.arc_transition_id != 0
        path.arc_acoustic_cost = np.zeros(path.num_arcs, np.float32)
        path.arc_acoustic_cost[emitting] = -loglikes[frames, pdfs]
        return path


def join(lattice: Lattice, path: Lattice) -> Lattice:
    """The paths of both, which have the same number of frames and share nothing but their start."""
    frame = np.concatenate([lattice.state_frame, path.state_frame[1:]])
    order = np.argsort(frame, kind="stable")  # within a frame each keeps its topological order
    number = np.empty(len(frame), np.int32)
    number[order] = np.arange(len(frame), dtype=np.int32)
    of_path = np.concatenate([[0], lattice.num_states + np.arange(path.num_states - 1)])
    start = number[np.concatenate([lattice.arc_start, of_path[path.arc_start]])]
    end = number[np.concatenate([lattice.arc_end, of_path[path.arc_end]])]
    by_start = np.argsort(start, kind="stable")
    joined = {
        name: np.concatenate([getattr(lattice, name), getattr(path, name)])[by_start]
        for name in ("arc_transition_id", "arc_word", "arc_graph_cost", "arc_acoustic_cost")
    }
    final_cost = np.concatenate([lattice.final_cost, path.final_cost[1:]])[order]
    final_cost[0] = min(lattice.final_cost[0], path.final_cost[0])
    return replace(
        lattice, state_frame=frame[order], arc_start=start[by_start], arc_end=end[by_start], final_cost=final_cost, **joined
    )
