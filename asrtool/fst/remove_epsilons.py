"""Kaldi's RemoveEpsLocal: joins arcs around states with one way in or one way out; never makes the FST much larger.

The sum of what leaves a state stays as it was in the log semiring (fstrmepslocal's default), and no path's cost changes.
"""

import numpy as np

from asrtool.fst.csr import CsrGraph
from asrtool.fst.remove_epsilons_kernels import DELETED, remove_local


def remove_epsilons_local(graph: CsrGraph) -> CsrGraph:
    """An equivalent FST with fewer epsilons; states that nothing leads to any more are still there."""
    if graph.num_states == 0:
        return graph
    labels = np.column_stack([graph.arc_ilabel, graph.arc_olabel, graph.arc_nextstate]).astype(np.int32, copy=False)
    final = graph.final_cost.astype(np.float64)
    extra_begin, extra_end, labels, costs = remove_local(
        graph.arc_begin, np.ascontiguousarray(labels), graph.arc_cost.astype(np.float64), final, graph.start
    )
    num_arcs, size = graph.num_arcs, int(extra_end[-1])
    extra_source = np.repeat(np.arange(graph.num_states, dtype=np.int32), extra_end - extra_begin)
    source = np.concatenate([graph.arc_source, extra_source])
    alive = np.flatnonzero(labels[:size, 2] != DELETED)
    assert len(source) == size >= num_arcs
    rows = labels[alive]
    return CsrGraph.from_arcs(graph.start, source[alive], rows[:, 0], rows[:, 1], rows[:, 2], costs[alive], final)
