"""Self-loops for a graph of transition-ids, in Kaldi's reordered form (AddSelfLoops, reorder=true)."""

import numpy as np

from asrtool.fst.csr import CsrGraph
from asrtool.hmm.transition_model import TransitionModel


def add_self_loops(graph: CsrGraph, model: TransitionModel, self_loop_scale: float = 0.1) -> CsrGraph:
    """The graph with a self-loop behind each transition.

    A state that is entered by transitions of several transition-states (or by those and epsilons) gets a state in front of it
    for each of them, joined to it by an epsilon arc. What leaves a state costs -log(1 - p of its loop), the loop -log p, both
    times `self_loop_scale`.
    """
    if graph.num_states == 0:
        return graph
    kind = np.where(graph.arc_ilabel > 0, model.tid_to_tuple[graph.arc_ilabel] + 1, 0)  # 0 for epsilon
    kind_of_state, mixed = _kinds(graph, kind)
    nextstate, new_target, new_kind = _split_states(graph, kind, mixed)
    kind_of_state = np.concatenate([np.where(mixed, 0, kind_of_state), new_kind])
    num_states = len(kind_of_state)
    has_kind = kind_of_state > 0
    leave = np.where(has_kind, -np.float32(self_loop_scale) * model.non_self_loop_log_probs[kind_of_state - 1], 0).astype(
        np.float32
    )
    loop_tid = np.where(has_kind, model.self_loop[kind_of_state - 1], 0)
    loops = np.flatnonzero(loop_tid)
    new_states = np.arange(graph.num_states, num_states)
    source = graph.arc_source
    none = np.zeros(len(new_states), dtype=np.int32)
    final = np.concatenate([graph.final_cost, np.full(len(new_states), np.inf, dtype=np.float32)]) + leave
    return CsrGraph.from_arcs(
        graph.start,
        np.concatenate([source, new_states, loops]),
        np.concatenate([graph.arc_ilabel, none, loop_tid[loops]]),
        np.concatenate([graph.arc_olabel, none, np.zeros(len(loops), dtype=np.int32)]),
        np.concatenate([nextstate, new_target, loops]),
        np.concatenate(
            [graph.arc_cost + leave[source], leave[new_states], -np.float32(self_loop_scale) * model.log_probs[loop_tid[loops]]]
        ),
        final,
    )


def _kinds(graph: CsrGraph, kind: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The kind of arcs that enter each state (0 for epsilons, the start, and nothing), and where they differ."""
    lowest = np.full(graph.num_states, np.iinfo(np.int32).max, dtype=np.int32)
    highest = np.full(graph.num_states, -1, dtype=np.int32)
    lowest[graph.start] = highest[graph.start] = 0
    np.minimum.at(lowest, graph.arc_nextstate, kind)
    np.maximum.at(highest, graph.arc_nextstate, kind)
    return np.maximum(highest, 0), (lowest != highest) & (highest >= 0)


def _split_states(graph: CsrGraph, kind: np.ndarray, mixed: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The arcs' next states, with new ones in front of mixed states; what each new state leads to, and its kind."""
    moved = np.flatnonzero((kind > 0) & mixed[graph.arc_nextstate])
    room = int(kind.max(initial=0)) + 1
    keys, which = np.unique(graph.arc_nextstate[moved].astype(np.int64) * room + kind[moved], return_inverse=True)
    nextstate = graph.arc_nextstate.copy()
    nextstate[moved] = graph.num_states + which
    return nextstate, keys // room, keys % room
