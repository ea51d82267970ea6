"""State-level lattices as arrays."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from asrtool.lattice.strings import gather_strings

if TYPE_CHECKING:
    from asrtool.lattice.compact import CompactLattice


@dataclass
class Lattice:
    """The paths that a decoder kept for an utterance of T frames; S states, A arcs.

    States are in topological order and sorted by frame; state 0 is the start. An arc with a transition-id takes a frame, an arc
    with 0 takes none. Costs are negative natural logs; acoustic costs are not scaled.

    Attributes:
        num_frames: T.
        state_frame: int32 [S], frames taken before the state (0..T).
        arc_start, arc_end: int32 [A], sorted by arc_start; arc_start < arc_end.
        arc_transition_id, arc_word: int32 [A], 0 where there is none.
        arc_graph_cost, arc_acoustic_cost: float32 [A].
        final_cost: float32 [S], inf where not final.
        reached_final: whether the graph's final states were reached; if not, all last states are final at no cost.
    """

    num_frames: int
    state_frame: np.ndarray
    arc_start: np.ndarray
    arc_end: np.ndarray
    arc_transition_id: np.ndarray
    arc_word: np.ndarray
    arc_graph_cost: np.ndarray
    arc_acoustic_cost: np.ndarray
    final_cost: np.ndarray
    reached_final: bool = True

    @property
    def num_states(self) -> int:
        return len(self.state_frame)

    @property
    def num_arcs(self) -> int:
        return len(self.arc_start)


@dataclass
class BestPath:
    """A path: word ids and transition-ids (int32), graph cost (its final cost included), acoustic cost (unscaled)."""

    words: np.ndarray
    transition_ids: np.ndarray
    graph_cost: float
    acoustic_cost: float


def best_path(
    lattice: "Lattice | CompactLattice", acoustic_scale: float = 1.0, lm_scale: float = 1.0, word_insertion_penalty: float = 0.0
) -> BestPath | None:
    """The path that minimises lm_scale * graph + acoustic_scale * acoustic cost + penalty * words; None without a final state.

    The costs that are returned are neither scaled nor penalised. As lattice-scale, lattice-add-penalty and
    lattice-best-path in Kaldi's scoring, where acoustic_scale is 1 / LM weight.
    """
    from asrtool.lattice.best_path_kernels import best_path_arcs

    compact = not isinstance(lattice, Lattice)
    graph, acoustic = lattice.arc_graph_cost.astype(np.float64), lattice.arc_acoustic_cost.astype(np.float64)
    if compact:
        final_graph, final_acoustic = (
            costs.astype(np.float64) for costs in (lattice.final_graph_cost, lattice.final_acoustic_cost)
        )
    else:
        final_graph, final_acoustic = lattice.final_cost.astype(np.float64), np.zeros(lattice.num_states)
    arc_cost = graph * lm_scale + acoustic * acoustic_scale
    if word_insertion_penalty:
        arc_cost[lattice.arc_word != 0] += word_insertion_penalty
    final_cost = np.full(lattice.num_states, np.inf)
    final = final_graph < np.inf
    final_cost[final] = final_graph[final] * lm_scale + final_acoustic[final] * acoustic_scale
    path, cost = best_path_arcs(lattice.arc_start, lattice.arc_end, arc_cost, final_cost)
    if not cost < np.inf:
        return None
    last_state = lattice.arc_end[path[-1]] if len(path) else 0
    words = lattice.arc_word[path]
    return BestPath(
        words=words[words != 0],
        transition_ids=_transition_ids(lattice, path, last_state),
        graph_cost=float(graph[path].sum() + final_graph[last_state]),
        acoustic_cost=float(acoustic[path].sum() + final_acoustic[last_state]),
    )


def _transition_ids(lattice: "Lattice | CompactLattice", path: np.ndarray, last_state: int) -> np.ndarray:
    if isinstance(lattice, Lattice):
        transition_ids = lattice.arc_transition_id[path]
        return transition_ids[transition_ids != 0]
    begin, final_begin = lattice.tid_begin, lattice.final_tid_begin
    _, on_arcs = gather_strings(begin, lattice.transition_id, path)
    return np.append(on_arcs, lattice.final_transition_id[final_begin[last_state] : final_begin[last_state + 1]])
