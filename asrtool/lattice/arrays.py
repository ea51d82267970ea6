"""What the algorithms on lattices share: one view of both kinds of lattice, weighed costs, and cutting states and arcs out."""

from dataclasses import replace
from typing import TypeVar

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.lattice import BestPath, Lattice
from asrtool.lattice.strings import gather_strings

AnyLattice = TypeVar("AnyLattice", Lattice, CompactLattice)


def topology(lattice: Lattice | CompactLattice) -> tuple[np.ndarray, np.ndarray]:
    """(arc_start, arc_end) as kernels take them: int32, contiguous, writeable.

    Raises:
        AsrtoolError: an arc that leads nowhere or back, or arcs that are not sorted by their start.
    """
    start, end = (np.require(states, np.int32, ["C", "W"]) for states in (lattice.arc_start, lattice.arc_end))
    if len(start) and not (start[0] >= 0 and (end < lattice.num_states).all() and (np.diff(start) >= 0).all()):
        raise AsrtoolError("bad lattice: arcs that are not sorted by their start state, or lead to states that it lacks")
    if not (start < end).all():
        raise AsrtoolError("bad lattice: an arc leads to an earlier state or its own (a cycle); sort its states first")
    return start, end


def final_costs(lattice: Lattice | CompactLattice) -> tuple[np.ndarray, np.ndarray]:
    """(graph, acoustic) costs float64 [S] of ending in a state; both inf where it is not final."""
    if isinstance(lattice, CompactLattice):
        graph, acoustic = lattice.final_graph_cost.astype(np.float64), lattice.final_acoustic_cost.astype(np.float64)
    else:
        graph, acoustic = lattice.final_cost.astype(np.float64), np.zeros(lattice.num_states)
    not_final = (graph == np.inf) | (acoustic == np.inf)
    graph[not_final] = acoustic[not_final] = np.inf
    return graph, acoustic


def weighed_costs(
    lattice: Lattice | CompactLattice, acoustic_scale: float = 1.0, lm_scale: float = 1.0, word_insertion_penalty: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """lm_scale * graph + acoustic_scale * acoustic cost + penalty * words, float64: (arc_cost [A], final_cost [S]).

    A final cost is inf where a state is not final, whatever the scales.

    Raises:
        AsrtoolError: a cost or a scale that is NaN or -inf.
    """
    if not np.isfinite([acoustic_scale, lm_scale, word_insertion_penalty]).all():
        raise AsrtoolError(f"scales of costs must be finite: {acoustic_scale}, {lm_scale}, {word_insertion_penalty}")
    graph, acoustic = lattice.arc_graph_cost.astype(np.float64), lattice.arc_acoustic_cost.astype(np.float64)
    final_graph, final_acoustic = final_costs(lattice)
    for costs in (graph, acoustic, final_graph, final_acoustic):
        if not (costs > -np.inf).all():
            raise AsrtoolError("bad lattice: a cost is NaN or -inf; make the lattice again")
    impossible, not_final = ~np.isfinite(graph + acoustic), final_graph == np.inf  # a scale of 0 must not revive them
    graph[impossible], acoustic[impossible], final_graph[not_final], final_acoustic[not_final] = 0.0, 0.0, 0.0, 0.0
    arc_cost = lm_scale * graph + acoustic_scale * acoustic
    if word_insertion_penalty:
        arc_cost[lattice.arc_word != 0] += word_insertion_penalty
    arc_cost[impossible] = np.inf
    final_cost = lm_scale * final_graph + acoustic_scale * final_acoustic
    final_cost[not_final] = np.inf
    return arc_cost, final_cost


def arc_frames(lattice: Lattice | CompactLattice) -> np.ndarray:
    """int64 [A]: transition-ids, that is frames, of every arc."""
    if isinstance(lattice, CompactLattice):
        return np.diff(lattice.tid_begin)
    return (lattice.arc_transition_id != 0).astype(np.int64)


def state_frames(lattice: Lattice | CompactLattice) -> np.ndarray:
    """int32 [S]: the frames before a state; -1 where no path from the start leads.

    Raises:
        AsrtoolError: paths of different lengths to one state, or a whole path that has not num_frames frames.
    """
    from asrtool.lattice.connect_kernels import frames_before_states

    start, end = topology(lattice)
    compact = isinstance(lattice, CompactLattice)
    final_frames = np.diff(lattice.final_tid_begin) if compact else np.zeros(lattice.num_states, np.int64)
    frames, bad = frames_before_states(start, end, arc_frames(lattice), lattice.num_states)
    is_final = (final_costs(lattice)[0] < np.inf) & (frames >= 0)
    if bad or (frames[is_final] + final_frames[is_final] != lattice.num_frames).any():
        raise AsrtoolError(f"bad lattice: its paths do not all have {lattice.num_frames} transition-ids; make it again")
    return frames


def select(lattice: AnyLattice, keep_state: np.ndarray, keep_arc: np.ndarray) -> AnyLattice:
    """The lattice of the states and arcs that are kept (bool [S], [A]), in the same order.

    An arc goes with its states. Without state 0 the lattice is empty: it has no states and no arcs.
    """
    if not (lattice.num_states and keep_state[0]):
        keep_state = np.zeros(lattice.num_states, bool)
    keep_arc = keep_arc & keep_state[lattice.arc_start] & keep_state[lattice.arc_end]
    new_number = (np.cumsum(keep_state) - 1).astype(np.int32)
    changed = {
        "arc_start": new_number[lattice.arc_start[keep_arc]],
        "arc_end": new_number[lattice.arc_end[keep_arc]],
        "arc_word": lattice.arc_word[keep_arc],
        "arc_graph_cost": lattice.arc_graph_cost[keep_arc],
        "arc_acoustic_cost": lattice.arc_acoustic_cost[keep_arc],
    }
    if isinstance(lattice, CompactLattice):
        strings = gather_strings(lattice.tid_begin, lattice.transition_id, np.flatnonzero(keep_arc))
        changed["tid_begin"], changed["transition_id"] = strings
        strings = gather_strings(lattice.final_tid_begin, lattice.final_transition_id, np.flatnonzero(keep_state))
        changed["final_tid_begin"], changed["final_transition_id"] = strings
        changed["final_graph_cost"] = lattice.final_graph_cost[keep_state]
        changed["final_acoustic_cost"] = lattice.final_acoustic_cost[keep_state]
    else:
        changed["arc_transition_id"] = lattice.arc_transition_id[keep_arc]
        changed["state_frame"] = lattice.state_frame[keep_state]
        changed["final_cost"] = lattice.final_cost[keep_state]
    return replace(lattice, **changed)


def path_lattice(lattice: AnyLattice, arcs: np.ndarray) -> AnyLattice:
    """The lattice of one path: its arcs in order from the start to a final state."""
    keep_state, keep_arc = np.zeros(lattice.num_states, bool), np.zeros(lattice.num_arcs, bool)
    keep_arc[arcs] = True
    keep_state[:1] = True
    keep_state[lattice.arc_end[arcs]] = True
    result = select(lattice, keep_state, keep_arc)
    for costs in (
        (result.final_graph_cost, result.final_acoustic_cost) if isinstance(result, CompactLattice) else (result.final_cost,)
    ):
        costs[:-1] = np.inf  # states that the path passes
    return result


def path_of_arcs(lattice: Lattice | CompactLattice, arcs: np.ndarray) -> BestPath:
    """Words, transition-ids and unscaled costs, the final ones included, of a path's arcs in order."""
    last = int(lattice.arc_end[arcs[-1]]) if len(arcs) else 0
    final_graph, final_acoustic = final_costs(lattice)
    words = lattice.arc_word[arcs]
    if isinstance(lattice, CompactLattice):
        begin = lattice.final_tid_begin
        on_arcs = gather_strings(lattice.tid_begin, lattice.transition_id, arcs)[1]
        transition_ids = np.append(on_arcs, lattice.final_transition_id[begin[last] : begin[last + 1]])
    else:
        transition_ids = lattice.arc_transition_id[arcs]
        transition_ids = transition_ids[transition_ids != 0]
    return BestPath(
        words=words[words != 0],
        transition_ids=transition_ids,
        graph_cost=float(lattice.arc_graph_cost[arcs].sum(dtype=np.float64) + final_graph[last]),
        acoustic_cost=float(lattice.arc_acoustic_cost[arcs].sum(dtype=np.float64) + final_acoustic[last]),
    )
