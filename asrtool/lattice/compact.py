"""Word-level lattices as arrays: Kaldi's compact lattices, whose arcs carry a word and a string of transition-ids."""

from dataclasses import dataclass

import numpy as np


@dataclass
class CompactLattice:
    """The word sequences kept for an utterance of T frames, each with its best alignment; S states, A arcs.

    States are in topological order; state 0 is the start. Costs are negative natural logs; acoustic costs are not scaled. As in
    Kaldi, an arc's word need not lie where its transition-ids do: only a path's words and its whole string belong together.

    Attributes:
        num_frames: T; every path from the start to a final state has T transition-ids.
        arc_start, arc_end: int32 [A], sorted by arc_start; arc_start < arc_end.
        arc_word: int32 [A], 0 where there is none.
        arc_graph_cost, arc_acoustic_cost: float32 [A].
        tid_begin: int64 [A + 1]; arc a has the transition-ids transition_id[tid_begin[a]:tid_begin[a + 1]].
        transition_id: int32.
        final_graph_cost, final_acoustic_cost: float32 [S], inf where not final.
        final_tid_begin: int64 [S + 1], final_transition_id int32: the strings of final states.
        reached_final: whether the graph's final states were reached; if not, all last states are final at no cost.
    """

    num_frames: int
    arc_start: np.ndarray
    arc_end: np.ndarray
    arc_word: np.ndarray
    arc_graph_cost: np.ndarray
    arc_acoustic_cost: np.ndarray
    tid_begin: np.ndarray
    transition_id: np.ndarray
    final_graph_cost: np.ndarray
    final_acoustic_cost: np.ndarray
    final_tid_begin: np.ndarray
    final_transition_id: np.ndarray
    reached_final: bool = True

    @property
    def num_states(self) -> int:
        return len(self.final_graph_cost)

    @property
    def num_arcs(self) -> int:
        return len(self.arc_start)
