"""Transition-ids from phones with their lengths: each phone's frames in equal shares to its HMM states."""

from dataclasses import dataclass

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.gmm.tree_stats import phone_windows
from asrtool.hmm.topology import NO_PDF, HmmState
from asrtool.hmm.transition_model import TransitionModel
from asrtool.hmm.warp_alignment import warp_lengths
from asrtool.tree.context_dependency import ContextDependency


@dataclass(frozen=True)
class StatePath:
    """A way through a phone's HMM.

    states int [K]; index int [K]: which transition of each state leads on; loops bool [K]: may the state be stayed in;
    classes int [K, 2]: pdf classes, forward and self-loop.
    """

    states: np.ndarray
    index: np.ndarray
    loops: np.ndarray
    classes: np.ndarray


class StateFiller:
    """Makes alignments (transition-ids, in Kaldi's reordered form) of phone sequences with lengths in frames.

    Args:
        tree: of the model.

    Raises:
        AsrtoolError: states that emit nothing within a phone.
    """

    def __init__(self, transition_model: TransitionModel, tree: ContextDependency) -> None:
        self.model, self.tree = transition_model, tree
        self._tuple_number = {tuple(row): number for number, row in enumerate(transition_model.tuples.tolist())}
        self._paths = {phone: paths_of(transition_model.topology.states(phone)) for phone in transition_model.phones}

    def min_frames(self, phones: np.ndarray) -> np.ndarray:
        """int64 [K]: frames that each of K phones needs at least."""
        return np.array([len(self._paths[phone][-1].states) for phone in phones.tolist()], np.int64)

    def fit_frames(self, phones: np.ndarray, ends: np.ndarray, num_frames: int) -> np.ndarray:
        """int64 [K]: frames of each of K phones, at least as many as its states.

        Borders go to the nearest frame; phones that are too short for their states take frames from both sides alike.

        Args:
            ends: float [K], where each phone ends, in frames, ascending; the first begins at 0, the last ends at num_frames.

        Raises:
            AsrtoolError: fewer frames than states.
        """
        ends = np.append(np.clip(ends[:-1], 0, num_frames), num_frames)
        needed = self.min_frames(phones)
        # a phone's states as pieces of equal length: each gets a frame, and borders move only where they must
        pieces = warp_lengths(np.repeat(np.diff(ends, prepend=0) / needed, needed), num_frames)
        return np.add.reduceat(pieces, np.cumsum(needed) - needed)

    def __call__(self, phones: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Int32 [sum of lengths] for phones [K] with lengths [K].

        Raises:
            AsrtoolError: a phone without a model, one that is too short, or a context that the tree or the model lacks.
        """
        unknown = [phone for phone in phones.tolist() if phone not in self._paths]
        if unknown:
            raise AsrtoolError(f"phone {unknown[0]} has no HMM in the model")
        paths = [self._path(phone, length) for phone, length in zip(phones.tolist(), lengths.tolist())]
        sizes = np.array([len(path.states) for path in paths])
        frames = np.concatenate([_shares(path, length) for path, length in zip(paths, lengths.tolist())])
        windows = np.repeat(phone_windows(phones, self.tree.context_width, self.tree.central_position), sizes, axis=0)
        states, index, classes = (
            np.concatenate([getattr(path, name) for path in paths]) for name in ("states", "index", "classes")
        )
        events = [np.concatenate([windows, classes[:, which, None]], axis=1) for which in (0, 1)]
        pdfs = [self.tree.compute_many(one.astype(np.int32)) for one in events]
        rows = np.stack([np.repeat(phones, sizes), states, *pdfs], axis=1).tolist()
        try:
            tuples = np.array([self._tuple_number[tuple(row)] for row in rows])
        except KeyError as error:
            raise AsrtoolError(f"the model has no transition-state {error.args[0]}: tree and model do not fit") from None
        alignment = np.repeat(self.model.self_loop[tuples], frames)
        alignment[np.cumsum(frames) - frames] = self.model.first_tid[tuples] + index
        return alignment.astype(np.int32)

    def _path(self, phone: int, length: int) -> StatePath:
        """The longest of the phone's ways that the frames suffice for."""
        for path in self._paths[phone]:
            if len(path.states) <= length and (path.loops.any() or len(path.states) == length):
                return path
        raise AsrtoolError(f"phone {phone} has {length} frames, its HMM needs {len(self._paths[phone][-1].states)} at least")


def _shares(path: StatePath, length: int) -> np.ndarray:
    """int64 [K]: frames of each state, as equal as can be; one for a state without a self-loop."""
    frames = np.ones(len(path.states), np.int64)
    spare, places = length - len(frames), np.flatnonzero(path.loops)
    if len(places):
        frames[places] += np.diff(np.arange(len(places) + 1) * spare // len(places))
    return frames


def paths_of(entry: tuple[HmmState, ...]) -> list[StatePath]:
    """Ways from the first state to the final one, longest first: through all states in order where that can be, and the
    shortest (Kaldi's silence has five states, some of which can be passed over)."""
    if any(state.forward_pdf_class == NO_PDF for state in entry[:-1]):
        raise AsrtoolError("the topology has states that emit nothing: phones with times cannot be imported to it")
    final = len(entry) - 1
    previous = {0: -1}
    queue = [0]
    for state in queue:
        for destination, _ in entry[state].transitions:
            if destination not in previous:
                previous[destination] = state
                queue.append(destination)
    shortest, state = [], previous[final]
    while state >= 0:
        shortest.insert(0, state)
        state = previous[state]
    ways = [list(range(final)), shortest]
    goes_on = all(any(to == state + 1 for to, _ in entry[state].transitions) for state in range(final))
    return [_state_path(entry, way) for way in ways[0 if goes_on and len(shortest) < final else 1 :]]


def _state_path(entry: tuple[HmmState, ...], way: list[int]) -> StatePath:
    nexts = [*way[1:], len(entry) - 1]
    destinations = [[to for to, _ in entry[state].transitions] for state in way]
    return StatePath(
        np.array(way),
        np.array([found.index(to) for found, to in zip(destinations, nexts)]),
        np.array([state in found for state, found in zip(way, destinations)]),
        np.array([(entry[state].forward_pdf_class, entry[state].self_loop_pdf_class) for state in way]),
    )
