"""A decoding graph in the layout that the search kernels walk: one 16-byte record an arc, emitting arcs before epsilon arcs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from asrtool.errors import AsrtoolError

if TYPE_CHECKING:
    from asrtool.fst.csr import CsrGraph

# next_epsilon_cost: the cheapest epsilon arc that leaves the next state (inf: none); pdf: -1 on epsilon arcs
ARC = np.dtype([("next", "i4"), ("pdf", "i4"), ("cost", "f4"), ("next_epsilon_cost", "f4")])


@dataclass
class PackedGraph:
    """A graph for one tid_to_pdf.

    Attributes:
        start: start state; -1: the graph is empty.
        offsets: int32 [2S+1]; state s has the emitting arcs offsets[2s]:offsets[2s+1] and the epsilon arcs up to offsets[2s+2].
        arcs: ARC [A].
        ilabel, olabel: int32 [A], transition-ids and words of the packed arcs (0: none).
        final_cost: float32 [S], inf where not final.
        num_pdfs: one more than the largest pdf_id on an arc.
    """

    start: int
    offsets: np.ndarray
    arcs: np.ndarray
    ilabel: np.ndarray
    olabel: np.ndarray
    final_cost: np.ndarray
    num_pdfs: int

    def with_word_penalty(self, penalty: float) -> np.ndarray:
        """A copy of the arcs whose costs have `penalty` added for each word."""
        arcs = self.arcs.copy()
        arcs["cost"][self.olabel != 0] += np.float32(penalty)
        arcs["next_epsilon_cost"] = _cheapest_epsilon(self.offsets, arcs)[arcs["next"]]
        return arcs


def _cheapest_epsilon(offsets: np.ndarray, arcs: np.ndarray) -> np.ndarray:
    """float32 [S]: the cheapest epsilon arc that leaves each state, inf where there is none."""
    cheapest = np.full(len(offsets) // 2, np.inf, np.float32)
    source = np.repeat(np.arange(len(cheapest)), np.diff(offsets[::2]))
    epsilon = arcs["pdf"] < 0
    np.minimum.at(cheapest, source[epsilon], arcs["cost"][epsilon])
    return cheapest


def pack_graph(graph: "CsrGraph", tid_to_pdf: np.ndarray) -> PackedGraph:
    """Packs a graph whose input labels are transition-ids; tid_to_pdf int32 [num_tids+1] (index 0 unused).

    Raises:
        AsrtoolError: no start state, labels beyond tid_to_pdf (another model's graph), a NaN cost, or an epsilon cycle.
    """
    num_states = len(graph.final_cost)
    arc_begin = np.asarray(graph.arc_begin, dtype=np.int64)
    if not 0 <= graph.start < num_states:
        raise AsrtoolError("the graph has no start state; rebuild it with utils/mkgraph.sh")
    ilabel = np.asarray(graph.arc_ilabel)
    if len(ilabel) and (ilabel.max() >= len(tid_to_pdf) or ilabel.min() < 0):
        raise AsrtoolError(
            f"the graph has transition-id {ilabel.max()} and the model only {len(tid_to_pdf) - 1}: "
            "the graph belongs to another model; rebuild it with utils/mkgraph.sh"
        )
    if np.isnan(graph.arc_cost).any():
        raise AsrtoolError("the graph has arcs with a NaN cost; rebuild it with utils/mkgraph.sh")
    source = np.repeat(np.arange(num_states, dtype=np.int32), np.diff(arc_begin))
    epsilon = ilabel == 0
    _refuse_epsilon_cycles(source[epsilon], graph.arc_nextstate[epsilon], num_states)
    order = np.argsort(2 * source.astype(np.int64) + epsilon, kind="stable")
    offsets = np.zeros(2 * num_states + 1, np.int32)
    np.cumsum(np.bincount(2 * source.astype(np.int64) + epsilon, minlength=2 * num_states), out=offsets[1:])
    arcs = np.empty(len(order), ARC)
    arcs["next"] = graph.arc_nextstate[order]
    arcs["cost"] = graph.arc_cost[order]
    packed_ilabel = ilabel[order]
    arcs["pdf"] = np.where(packed_ilabel > 0, np.asarray(tid_to_pdf, np.int32)[packed_ilabel], -1)
    arcs["next_epsilon_cost"] = _cheapest_epsilon(offsets, arcs)[arcs["next"]]
    return PackedGraph(
        start=int(graph.start),
        offsets=offsets,
        arcs=arcs,
        ilabel=packed_ilabel,
        olabel=graph.arc_olabel[order],
        final_cost=np.ascontiguousarray(graph.final_cost, dtype=np.float32),
        num_pdfs=int(arcs["pdf"].max(initial=-1)) + 1,
    )


def _refuse_epsilon_cycles(source: np.ndarray, target: np.ndarray, num_states: int) -> None:
    looped = source[source == target]
    if len(looped) == 0 and len(source):
        links = csr_array((np.ones(len(source), np.int8), (source, target)), shape=(num_states, num_states))
        components, label = connected_components(links, directed=True, connection="strong")
        if components < num_states:
            looped = np.flatnonzero(np.bincount(label)[label] > 1)
    if len(looped):
        raise AsrtoolError(f"the graph has a cycle of epsilon arcs through state {looped[0]}; remove it (fstrmepsilon)")
