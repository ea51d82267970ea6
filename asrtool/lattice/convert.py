"""Between the two kinds of lattices: state-level, an arc a frame, and compact, an arc a string of frames."""

from dataclasses import replace

import numpy as np

from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.kaldi_arcs import KaldiArcs, to_lattice_arrays
from asrtool.lattice.lattice import Lattice
from asrtool.lattice.strings import begins, gather_strings, string_positions


def to_compact(lattice: Lattice | CompactLattice) -> CompactLattice:
    """The same states and arcs with strings of one transition-id, or none; a compact lattice is given back as it is."""
    if isinstance(lattice, CompactLattice):
        return lattice
    emitting = lattice.arc_transition_id != 0
    is_final = lattice.final_cost < np.inf
    return CompactLattice(
        num_frames=lattice.num_frames,
        arc_start=lattice.arc_start,
        arc_end=lattice.arc_end,
        arc_word=lattice.arc_word,
        arc_graph_cost=lattice.arc_graph_cost,
        arc_acoustic_cost=lattice.arc_acoustic_cost,
        tid_begin=begins(emitting),
        transition_id=lattice.arc_transition_id[emitting],
        final_graph_cost=lattice.final_cost,
        final_acoustic_cost=np.where(is_final, np.float32(0), np.float32(np.inf)),
        final_tid_begin=np.zeros(lattice.num_states + 1, np.int64),
        final_transition_id=np.zeros(0, np.int32),
        reached_final=lattice.reached_final,
    )


def to_lattice(lattice: Lattice | CompactLattice) -> Lattice:
    """The same paths with a transition-id an arc; an arc's word and costs are on the first of the arcs that it becomes.

    A final weight with transition-ids or an acoustic cost becomes arcs to a final state of its own. A state-level lattice is
    given back as it is.

    Raises:
        ValueError: the paths are not all of num_frames frames, or the lattice is damaged.
    """
    if isinstance(lattice, Lattice):
        return lattice
    lattice = _with_bare_ends(lattice)
    lengths = np.diff(lattice.tid_begin)
    piece = begins(np.maximum(lengths, 1))
    is_first, is_last = np.zeros((2, int(piece[-1])), bool)
    is_first[piece[:-1]], is_last[piece[1:] - 1] = True, True
    new_state = lattice.num_states + np.cumsum(~is_last) - 1  # the state behind a piece that is not the last
    source = np.empty(len(is_first), np.int64)
    source[is_first] = lattice.arc_start
    source[~is_first] = new_state[~is_last]
    end = new_state.copy()
    end[is_last] = lattice.arc_end
    transition_id, word = np.zeros((2, len(is_first)), np.int32)
    graph, acoustic = np.zeros((2, len(is_first)), np.float32)
    word[is_first], graph[is_first], acoustic[is_first] = lattice.arc_word, lattice.arc_graph_cost, lattice.arc_acoustic_cost
    transition_id[string_positions(piece[:-1], lengths)] = lattice.transition_id
    order = np.argsort(source, kind="stable")
    inner = np.full(int(np.count_nonzero(~is_last)), np.inf, np.float32)
    arcs = KaldiArcs(
        start=0 if lattice.num_states else -1,
        source=source[order].astype(np.int32),
        end=end[order].astype(np.int32),
        word=word[order],
        graph=graph[order],
        acoustic=acoustic[order],
        final_graph=np.concatenate([lattice.final_graph_cost, inner]),
        final_acoustic=np.concatenate([lattice.final_acoustic_cost, inner]),
        transition_id=transition_id[order],
    )
    result = to_lattice_arrays(arcs)
    result.reached_final = lattice.reached_final
    return result


def _with_bare_ends(lattice: CompactLattice) -> CompactLattice:
    """The same paths, in no order: final weights with transition-ids or an acoustic cost are arcs to states of their own."""
    is_final = (lattice.final_graph_cost < np.inf) & (lattice.final_acoustic_cost < np.inf)
    bare = is_final & (lattice.final_acoustic_cost == 0) & (np.diff(lattice.final_tid_begin) == 0)
    (moved,) = np.nonzero(is_final & ~bare)
    begin, transition_id = gather_strings(lattice.final_tid_begin, lattice.final_transition_id, moved)
    final_graph = np.append(np.where(bare, lattice.final_graph_cost, np.float32(np.inf)), np.zeros(len(moved), np.float32))
    return replace(
        lattice,
        arc_start=np.append(lattice.arc_start, moved),
        arc_end=np.append(lattice.arc_end, lattice.num_states + np.arange(len(moved))),
        arc_word=np.append(lattice.arc_word, np.zeros(len(moved), np.int32)),
        arc_graph_cost=np.append(lattice.arc_graph_cost, lattice.final_graph_cost[moved]),
        arc_acoustic_cost=np.append(lattice.arc_acoustic_cost, lattice.final_acoustic_cost[moved]),
        tid_begin=np.append(lattice.tid_begin, lattice.tid_begin[-1] + begin[1:]),
        transition_id=np.append(lattice.transition_id[: lattice.tid_begin[-1]], transition_id),
        final_graph_cost=final_graph,
        final_acoustic_cost=np.where(final_graph < np.inf, np.float32(0), np.float32(np.inf)),
        final_tid_begin=np.zeros(len(final_graph) + 1, np.int64),
        final_transition_id=np.zeros(0, np.int32),
    )
