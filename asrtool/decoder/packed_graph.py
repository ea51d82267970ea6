"""A decoding graph as the search kernels walk it: a record a state, a record an arc, emitting arcs before epsilon arcs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from asrtool.errors import AsrtoolError

if TYPE_CHECKING:
    from asrtool.fst.csr import CsrGraph

# a state's emitting arcs are emitting:epsilon, its epsilon arcs epsilon:end; epsilon_cost: the cheapest of these (inf: none)
STATE = np.dtype([("emitting", "i4"), ("epsilon", "i4"), ("end", "i4"), ("epsilon_cost", "f4")])
# pdf: -1 on epsilon arcs
ARC = np.dtype([("next", "i4"), ("pdf", "i4"), ("cost", "f4")])

_REBUILD = "rebuild it with utils/mkgraph.sh"


@dataclass
class PackedGraph:
    """A graph of S states and A < 2^31 arcs for one tid_to_pdf: 20 bytes a state, 20 an arc.

    Attributes:
        start: start state.
        states: STATE [S], arcs: ARC [A].
        ilabel, olabel: int32 [A], transition-ids and words of the packed arcs (0: none).
        final_cost: float32 [S], inf where not final.
        num_pdfs: one more than the largest pdf_id on an arc.
    """

    start: int
    states: np.ndarray
    arcs: np.ndarray
    ilabel: np.ndarray
    olabel: np.ndarray
    final_cost: np.ndarray
    num_pdfs: int

    def search_arrays(self, word_penalty: float) -> tuple[np.ndarray, np.ndarray]:
        """(states, arcs); with a penalty copies whose costs have it added for each word."""
        if not word_penalty:
            return self.states, self.arcs
        states, arcs = self.states.copy(), self.arcs.copy()
        arcs["cost"][self.olabel != 0] += np.float32(word_penalty)
        states["epsilon_cost"] = cheapest_epsilon(states, arcs)
        return states, arcs

    def check_loglikes(self, loglikes: np.ndarray, first_frame: int = 0) -> None:
        """AsrtoolError where log-likelihoods [T, P] have fewer columns than the graph has pdfs, or NaN or +inf values.

        first_frame: the number of the first of them, for the message.
        """
        if loglikes.ndim != 2 or loglikes.shape[1] < self.num_pdfs:
            raise AsrtoolError(
                f"log-likelihoods of {loglikes.shape[-1] if loglikes.ndim else 0} pdfs, the graph needs {self.num_pdfs}: "
                "graph and model do not belong together; rebuild the graph with utils/mkgraph.sh"
            )
        if not loglikes.max(initial=-np.inf) < np.inf:  # NaN where there is one
            frame = first_frame + int(np.argmax(~(loglikes < np.inf).all(axis=1)))
            raise AsrtoolError(f"NaN or infinite log-likelihoods at frame {frame}: check features and model")


def cheapest_epsilon(states: np.ndarray, arcs: np.ndarray) -> np.ndarray:
    """float32 [S]: the cheapest epsilon arc that leaves each state, inf where there is none."""
    cheapest = np.full(len(states), np.inf, np.float32)
    some = np.flatnonzero(states["end"] > states["epsilon"])
    if len(some):
        epsilon = np.flatnonzero(arcs["pdf"] < 0)  # in the order of their states, so that each state's are a run
        begin = np.concatenate([[0], np.cumsum(states["end"][some] - states["epsilon"][some], dtype=np.int64)[:-1]])
        cheapest[some] = np.minimum.reduceat(arcs["cost"][epsilon], begin)
    return cheapest


def pack_graph(graph: "CsrGraph", tid_to_pdf: np.ndarray) -> PackedGraph:
    """Packs a graph whose input labels are transition-ids; tid_to_pdf int32 [num_tids+1] (index 0 unused).

    Raises:
        AsrtoolError: no start state, arcs that lead nowhere, labels beyond tid_to_pdf (another model's graph), costs that are NaN
            or -inf, an epsilon cycle, or 2^31 arcs or more.
    """
    num_states, num_arcs = len(graph.final_cost), len(graph.arc_ilabel)
    arc_begin = np.asarray(graph.arc_begin, dtype=np.int64)
    _check(graph, arc_begin, np.asarray(tid_to_pdf), num_states, num_arcs)
    ilabel = np.asarray(graph.arc_ilabel)
    source = np.repeat(np.arange(num_states, dtype=np.int32), np.diff(arc_begin))
    epsilon = ilabel == 0
    _refuse_epsilon_cycles(source[epsilon], graph.arc_nextstate[epsilon], num_states)
    order = np.argsort(2 * source.astype(np.int64) + epsilon, kind="stable")
    arcs = np.empty(num_arcs, ARC)
    arcs["next"] = graph.arc_nextstate[order]
    arcs["cost"] = graph.arc_cost[order]
    packed_ilabel = np.ascontiguousarray(ilabel[order], dtype=np.int32)
    arcs["pdf"] = np.where(packed_ilabel > 0, np.asarray(tid_to_pdf, np.int32)[packed_ilabel], -1)
    states = np.empty(num_states, STATE)
    states["emitting"], states["end"] = arc_begin[:-1], arc_begin[1:]
    states["epsilon"] = arc_begin[1:] - np.bincount(source[epsilon], minlength=num_states)
    states["epsilon_cost"] = cheapest_epsilon(states, arcs)
    return PackedGraph(
        start=int(graph.start),
        states=states,
        arcs=arcs,
        ilabel=packed_ilabel,
        olabel=np.ascontiguousarray(graph.arc_olabel[order], dtype=np.int32),
        final_cost=np.array(graph.final_cost, dtype=np.float32),
        num_pdfs=int(arcs["pdf"].max(initial=-1)) + 1,
    )


def _check(graph: "CsrGraph", arc_begin: np.ndarray, tid_to_pdf: np.ndarray, num_states: int, num_arcs: int) -> None:
    if not 0 <= graph.start < num_states:
        raise AsrtoolError(f"the graph has no start state; {_REBUILD}")
    if num_arcs >= 2**31:
        raise AsrtoolError(f"the graph has {num_arcs} arcs, and 2^31 - 1 is the most; prune the language model")
    arrays = (graph.arc_olabel, graph.arc_nextstate, graph.arc_cost)
    if len(arc_begin) != num_states + 1 or any(len(array) != num_arcs for array in arrays):
        raise AsrtoolError(f"the graph's arrays differ in length; {_REBUILD}")
    if arc_begin[0] != 0 or arc_begin[-1] != num_arcs or (np.diff(arc_begin) < 0).any():
        raise AsrtoolError(f"the graph's states do not account for its arcs; {_REBUILD}")
    if num_arcs and not 0 <= graph.arc_nextstate.min() <= graph.arc_nextstate.max() < num_states:
        raise AsrtoolError(f"the graph has arcs to states that do not exist; {_REBUILD}")
    if num_arcs and (graph.arc_ilabel.max() >= len(tid_to_pdf) or graph.arc_ilabel.min() < 0):
        raise AsrtoolError(
            f"the graph has transition-id {graph.arc_ilabel.max()} and the model only {len(tid_to_pdf) - 1}: "
            f"the graph belongs to another model; {_REBUILD}"
        )
    if len(tid_to_pdf) > 1 and tid_to_pdf[1:].min() < 0:
        raise AsrtoolError("the model has transition-ids without a pdf; make it again")
    if num_arcs and graph.arc_olabel.min() < 0:
        raise AsrtoolError(f"the graph has words below 0; {_REBUILD}")
    for what, cost in (("arcs", graph.arc_cost), ("final states", graph.final_cost)):
        if not (cost > -np.inf).all():
            raise AsrtoolError(f"the graph has {what} with a NaN or minus infinite cost; {_REBUILD}")


def _refuse_epsilon_cycles(source: np.ndarray, target: np.ndarray, num_states: int) -> None:
    looped = source[source == target]
    if len(looped) == 0 and len(source):
        links = csr_array((np.ones(len(source), np.int8), (source, target)), shape=(num_states, num_states))
        components, label = connected_components(links, directed=True, connection="strong")
        if components < num_states:
            looped = np.flatnonzero(np.bincount(label)[label] > 1)
    if len(looped):
        raise AsrtoolError(f"the graph has a cycle of epsilon arcs through state {looped[0]}; remove it (fstrmepsilon)")
