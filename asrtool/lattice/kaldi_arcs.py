"""What Kaldi's lattice files hold, before it is checked and brought into the order that our lattices keep."""

from dataclasses import dataclass

import numpy as np

from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.lattice import Lattice
from asrtool.lattice.strings import gather_strings


@dataclass
class KaldiArcs:
    """Arcs sorted by the state that they leave, states in any order; S states, A arcs.

    start: the start state, -1 in an empty lattice. source, end, word int32 [A]; graph, acoustic float32 [A]; final_graph,
    final_acoustic float32 [S], inf where not final. State-level: transition_id int32 [A], 0 for none, and no strings.
    Compact: arc a has string[string_begin[a]:string_begin[a + 1]], state s final_string[final_begin[s]:final_begin[s + 1]].
    """

    start: int
    source: np.ndarray
    end: np.ndarray
    word: np.ndarray
    graph: np.ndarray
    acoustic: np.ndarray
    final_graph: np.ndarray
    final_acoustic: np.ndarray
    transition_id: np.ndarray | None = None
    string_begin: np.ndarray | None = None
    string: np.ndarray | None = None
    final_begin: np.ndarray | None = None
    final_string: np.ndarray | None = None

    @property
    def compact(self) -> bool:
        return self.string is not None


def to_lattice_arrays(arcs: KaldiArcs) -> Lattice | CompactLattice:
    """Checks the arcs and sorts the states; states that the start does not reach are left out.

    States that are in topological order, and for Lattice in the order of their frames, keep their order. A final weight with an
    acoustic part, which Lattice has no place for, becomes an arc without labels to a final state of its own.

    Raises:
        ValueError: an arc to a state that does not exist, a negative label, a cost that is not a number, a cycle, or paths of
            different lengths to a state or to the end.
    """
    _check(arcs)
    not_final = (arcs.final_graph == np.inf) | (arcs.final_acoustic == np.inf)
    arcs.final_graph[not_final] = arcs.final_acoustic[not_final] = np.inf
    if arcs.start < 0:
        return _empty(arcs.compact)
    if not arcs.compact and np.any((arcs.final_acoustic != 0) & (arcs.final_graph < np.inf)):
        arcs = _final_acoustics_on_arcs(arcs)
    arcs, frame = _sorted(arcs)
    num_frames = _num_frames(arcs, frame)
    return in_order(arcs, num_frames, frame)


def in_order(arcs: KaldiArcs, num_frames: int, state_frame: np.ndarray) -> Lattice | CompactLattice:
    """A lattice of these states as they are; state_frame is for a state-level one."""
    if not arcs.compact:
        return Lattice(
            num_frames=num_frames,
            state_frame=state_frame,
            arc_start=arcs.source,
            arc_end=arcs.end,
            arc_transition_id=arcs.transition_id,
            arc_word=arcs.word,
            arc_graph_cost=arcs.graph,
            arc_acoustic_cost=arcs.acoustic,
            final_cost=arcs.final_graph,
        )
    return CompactLattice(
        num_frames=num_frames,
        arc_start=arcs.source,
        arc_end=arcs.end,
        arc_word=arcs.word,
        arc_graph_cost=arcs.graph,
        arc_acoustic_cost=arcs.acoustic,
        tid_begin=arcs.string_begin,
        transition_id=arcs.string,
        final_graph_cost=arcs.final_graph,
        final_acoustic_cost=arcs.final_acoustic,
        final_tid_begin=arcs.final_begin,
        final_transition_id=arcs.final_string,
    )


def _check(arcs: KaldiArcs) -> None:
    num_states = len(arcs.final_graph)
    if not -1 <= arcs.start < num_states or (arcs.start < 0 and num_states):
        raise ValueError(f"the start state {arcs.start} does not exist")
    for states in (arcs.source, arcs.end):
        if len(states) and (states.min() < 0 or states.max() >= num_states):
            raise ValueError("an arc leads to a state that does not exist")
    labels = [arcs.word, arcs.string, arcs.final_string] if arcs.compact else [arcs.word, arcs.transition_id]
    if any(label.min(initial=0) < 0 for label in labels):
        raise ValueError("a word or transition-id is negative")
    if arcs.compact and any(string.min(initial=1) < 1 for string in (arcs.string, arcs.final_string)):
        raise ValueError("a string with the transition-id 0")
    for costs in (arcs.graph, arcs.acoustic, arcs.final_graph, arcs.final_acoustic):
        if not costs.min(initial=0) > -np.inf:  # NaN where there is one
            raise ValueError("a cost is not a number, or minus infinity")


def _empty(compact: bool) -> Lattice | CompactLattice:
    ints, floats, zero = np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros(1, np.int64)
    if compact:
        return CompactLattice(0, ints, ints, ints, floats, floats, zero, ints, floats, floats, zero, ints)
    return Lattice(0, ints, ints, ints, ints, ints, floats, floats, floats)


def _final_acoustics_on_arcs(arcs: KaldiArcs) -> KaldiArcs:
    old = len(arcs.final_graph)
    (moved,) = np.nonzero((arcs.final_acoustic != 0) & (arcs.final_graph < np.inf))
    new = np.arange(old, old + len(moved))
    source = np.concatenate([arcs.source, moved])
    order = np.argsort(source, kind="stable")

    def joined(values: np.ndarray, more: np.ndarray | int) -> np.ndarray:
        return np.concatenate([values, np.broadcast_to(more, len(moved))])[order].astype(values.dtype)

    final = np.append(arcs.final_graph, np.zeros(len(moved), np.float32))
    final[moved] = np.inf
    return KaldiArcs(
        start=arcs.start,
        source=source[order].astype(np.int32),
        end=joined(arcs.end, new),
        word=joined(arcs.word, 0),
        graph=joined(arcs.graph, arcs.final_graph[moved]),
        acoustic=joined(arcs.acoustic, arcs.final_acoustic[moved]),
        final_graph=final,
        final_acoustic=np.zeros(len(final), np.float32),
        transition_id=joined(arcs.transition_id, 0),
    )


def _sorted(arcs: KaldiArcs) -> tuple[KaldiArcs, np.ndarray]:
    """The arcs with states in order from state 0, and the frame of each state (int32)."""
    from asrtool.lattice.kaldi_kernels import CYCLE, place_states

    num_states = len(arcs.final_graph)
    taken = np.diff(arcs.string_begin) if arcs.compact else arcs.transition_id != 0
    arc_begin = np.concatenate([[0], np.cumsum(np.bincount(arcs.source, minlength=num_states))])
    problem, depth, frame, state = place_states(arc_begin, arcs.end, taken.astype(np.int32), arcs.start)
    if problem:
        cycle = f"state {state} is on a cycle: a lattice has none"
        uneven = f"paths of different numbers of transition-ids lead to state {state}"
        raise ValueError(cycle if problem == CYCLE else uneven)
    if arcs.start == 0 and depth.min() >= 0 and np.all(arcs.source < arcs.end) and (arcs.compact or np.all(np.diff(frame) >= 0)):
        return arcs, frame
    order = np.lexsort((depth, frame))
    order = order[depth[order] >= 0]
    number = np.full(num_states, -1, np.int32)
    number[order] = np.arange(len(order))
    by_source = np.argsort(number[arcs.source], kind="stable")
    by_source = by_source[number[arcs.source[by_source]] >= 0]
    strings = {}
    if arcs.compact:
        begin, string = gather_strings(arcs.string_begin, arcs.string, by_source)
        final_begin, final_string = gather_strings(arcs.final_begin, arcs.final_string, order)
        strings = {"string_begin": begin, "string": string, "final_begin": final_begin, "final_string": final_string}
    else:
        strings = {"transition_id": arcs.transition_id[by_source]}
    moved = KaldiArcs(
        start=0,
        source=number[arcs.source[by_source]],
        end=number[arcs.end[by_source]],
        word=arcs.word[by_source],
        graph=arcs.graph[by_source],
        acoustic=arcs.acoustic[by_source],
        final_graph=arcs.final_graph[order],
        final_acoustic=arcs.final_acoustic[order],
        **strings,
    )
    return moved, frame[order]


def _num_frames(arcs: KaldiArcs, frame: np.ndarray) -> int:
    (final,) = np.nonzero(arcs.final_graph < np.inf)
    ends = frame[final] + np.diff(arcs.final_begin)[final] if arcs.compact else frame[final]
    if not len(ends):
        return int(frame.max(initial=0))
    if ends.min() < ends.max():
        raise ValueError(f"paths of {ends.min()} and of {ends.max()} frames: not the lattice of one utterance")
    return int(ends[0])
