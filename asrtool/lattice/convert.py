"""Between the two kinds of lattices: state-level, an arc a frame, and compact, an arc a string of frames."""

import numpy as np

from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.kaldi_arcs import KaldiArcs, to_lattice_arrays
from asrtool.lattice.lattice import Lattice
from asrtool.lattice.strings import begins, string_positions


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
    is_final = (lattice.final_graph_cost < np.inf) & (lattice.final_acoustic_cost < np.inf)
    simple = is_final & (lattice.final_acoustic_cost == 0) & (np.diff(lattice.final_tid_begin) == 0)
    (moved,) = np.nonzero(is_final & ~simple)
    num_states = lattice.num_states
    source = np.concatenate([lattice.arc_start, moved])
    end = np.concatenate([lattice.arc_end, num_states + np.arange(len(moved))])
    lengths = np.concatenate([np.diff(lattice.tid_begin), np.diff(lattice.final_tid_begin)[moved]])
    word = np.concatenate([lattice.arc_word, np.zeros(len(moved), np.int32)])
    graph = np.concatenate([lattice.arc_graph_cost, lattice.final_graph_cost[moved]])
    acoustic = np.concatenate([lattice.arc_acoustic_cost, lattice.final_acoustic_cost[moved]])
    strings = (lattice.tid_begin[:-1], lattice.final_tid_begin[moved])

    num_pieces = np.maximum(lengths, 1)
    piece = begins(num_pieces)
    is_first, is_last = np.zeros((2, int(piece[-1])), bool)
    is_first[piece[:-1]], is_last[piece[1:] - 1] = True, True
    new_state = num_states + len(moved) + np.cumsum(~is_last) - 1  # the state behind a piece that is not the last
    piece_source = np.empty(len(is_first), np.int64)
    piece_source[is_first] = source
    piece_source[~is_first] = new_state[~is_last]
    piece_end = new_state.copy()
    piece_end[is_last] = end
    transition_id, piece_word = np.zeros((2, len(is_first)), np.int32)
    piece_graph, piece_acoustic = np.zeros((2, len(is_first)), np.float32)
    piece_word[is_first], piece_graph[is_first], piece_acoustic[is_first] = word, graph, acoustic
    taken = string_positions(piece[:-1], lengths)
    count = lattice.num_arcs
    transition_id[taken] = np.concatenate([
        lattice.transition_id[string_positions(strings[0], lengths[:count])],
        lattice.final_transition_id[string_positions(strings[1], lengths[count:])],
    ])  # fmt: skip
    order = np.argsort(piece_source, kind="stable")
    total = num_states + len(moved) + int(np.count_nonzero(~is_last))
    final = np.full(total, np.inf, np.float32)
    final[:num_states][simple] = lattice.final_graph_cost[simple]
    final[num_states : num_states + len(moved)] = 0
    arcs = KaldiArcs(
        start=0 if num_states else -1,
        source=piece_source[order].astype(np.int32),
        end=piece_end[order].astype(np.int32),
        word=piece_word[order],
        graph=piece_graph[order],
        acoustic=piece_acoustic[order],
        final_graph=final,
        final_acoustic=np.where(final < np.inf, np.float32(0), np.float32(np.inf)),
        transition_id=transition_id[order],
    )
    result = to_lattice_arrays(arcs)
    result.reached_final = lattice.reached_final
    return result
