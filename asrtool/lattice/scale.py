"""Scaled costs and word insertion penalties."""

from dataclasses import replace

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.lattice.arrays import AnyLattice, final_costs
from asrtool.lattice.compact import CompactLattice


def scale(
    lattice: AnyLattice,
    acoustic_scale: float = 1.0,
    lm_scale: float = 1.0,
    acoustic_to_lm: float = 0.0,
    lm_to_acoustic: float = 0.0,
) -> AnyLattice:
    """graph' = lm_scale * graph + acoustic_to_lm * acoustic, acoustic' = acoustic_scale * acoustic + lm_to_acoustic * graph.

    As Kaldi's lattice-scale with --acoustic2lm-scale and --lm2acoustic-scale. What is not final stays so at a scale of 0.

    Raises:
        AsrtoolError: a scale that is not finite; lm_to_acoustic on a state-level lattice, whose final costs are graph costs only.
    """
    if not np.isfinite([acoustic_scale, lm_scale, acoustic_to_lm, lm_to_acoustic]).all():
        raise AsrtoolError("the scales of a lattice's costs must be finite")
    compact = isinstance(lattice, CompactLattice)
    final_graph, final_acoustic = final_costs(lattice)
    is_final = final_graph < np.inf
    if lm_to_acoustic and not compact and final_graph[is_final].any():
        raise AsrtoolError("graph costs of final states cannot become acoustic costs in a state-level lattice; determinise it")

    def mix(graph, acoustic, of_graph, of_acoustic):
        mixed = of_graph * np.asarray(graph, np.float64) if of_graph else np.zeros(len(graph))
        return (mixed + of_acoustic * np.asarray(acoustic, np.float64) if of_acoustic else mixed).astype(np.float32)

    def mix_final(of_graph, of_acoustic):
        mixed = np.full(len(is_final), np.inf, np.float32)
        mixed[is_final] = mix(final_graph[is_final], final_acoustic[is_final], of_graph, of_acoustic)
        return mixed

    graph, acoustic = lattice.arc_graph_cost, lattice.arc_acoustic_cost
    arcs = {
        "arc_graph_cost": mix(graph, acoustic, lm_scale, acoustic_to_lm),
        "arc_acoustic_cost": mix(graph, acoustic, lm_to_acoustic, acoustic_scale),
    }
    if not compact:
        return replace(lattice, **arcs, final_cost=mix_final(lm_scale, 0.0))
    graph_end, acoustic_end = mix_final(lm_scale, acoustic_to_lm), mix_final(lm_to_acoustic, acoustic_scale)
    return replace(lattice, **arcs, final_graph_cost=graph_end, final_acoustic_cost=acoustic_end)


def add_penalty(lattice: AnyLattice, word_insertion_penalty: float) -> AnyLattice:
    """The penalty on the graph cost of every arc with a word, as Kaldi's lattice-add-penalty."""
    if not np.isfinite(word_insertion_penalty):
        raise AsrtoolError(f"a word insertion penalty of {word_insertion_penalty}: it must be finite")
    penalty = np.where(lattice.arc_word != 0, np.float32(word_insertion_penalty), np.float32(0))
    return replace(lattice, arc_graph_cost=(lattice.arc_graph_cost + penalty).astype(np.float32))
