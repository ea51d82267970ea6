"""Statistics for tree building: a Gaussian's sums for each phone in context and pdf class (Kaldi's hmm/tree-accu.cc)."""

from collections.abc import Iterable, Sequence

import numpy as np
from scipy.sparse import csr_array

from asrtool.hmm.transition_model import TransitionModel


def phone_windows(phones: np.ndarray, width: int, position: int) -> np.ndarray:
    """int32 [K, width]: for each of K phones its window, 0 beyond the utterance's ends; the phone is at `position`."""
    padded = np.concatenate([np.zeros(position), phones, np.zeros(width - 1 - position)]).astype(np.int32)
    return np.lib.stride_tricks.sliding_window_view(padded, width)


def pdf_classes(transition_model: TransitionModel) -> np.ndarray:
    """int32 [num_transition_ids + 1]: the pdf class of each transition-id (for a self-loop, its own); entry 0 is -1."""
    forward, loop = np.array(
        [
            (state.forward_pdf_class, state.self_loop_pdf_class)
            for phone, index in transition_model.tuples[:, :2].tolist()
            for state in [transition_model.topology.states(phone)[index]]
        ]
    ).T
    tuples = transition_model.tid_to_tuple
    classes = np.where(transition_model.tid_is_self_loop, loop[tuples], forward[tuples]).astype(np.int32)
    classes[0] = -1
    return classes


class TreeStatistics:
    """Collects sums by event; an event is the phones of a window, then the pdf class.

    Args:
        context_independent: phones whose neighbours are not looked at; the neighbours stand as -1 in their events.
    """

    def __init__(
        self, transition_model: TransitionModel, context_independent: Sequence[int], width: int = 3, position: int = 1
    ) -> None:
        self.transition_model = transition_model
        self.classes = pdf_classes(transition_model)
        self.context_independent = np.asarray(context_independent)
        self.width, self.position = width, position
        self._keys: list[np.ndarray] = []
        self._sums: list[np.ndarray] = []

    def events(self, alignment: np.ndarray) -> np.ndarray:
        """int32 [T, width + 1] of one utterance's transition-ids, int32 [T]."""
        phones, lengths = self.transition_model.phone_segments(alignment)
        windows = phone_windows(phones, self.width, self.position).copy()
        independent = np.isin(phones, self.context_independent)
        windows[np.ix_(independent, np.arange(self.width) != self.position)] = -1
        return np.concatenate([np.repeat(windows, lengths, axis=0), self.classes[alignment][:, None]], axis=1)

    def add(self, features: np.ndarray, alignments: Iterable[np.ndarray]) -> None:
        """Adds the frames of some utterances: features float32 [N, D] of all, and alignments int32 [T] of each (sum N)."""
        events = np.concatenate([self.events(alignment) for alignment in alignments])
        keys, index = _unique_rows(events)
        sums = np.zeros((len(keys), 1 + 2 * features.shape[1]))
        for start in range(0, len(features), 1 << 17):
            block = features[start : start + (1 << 17)].astype(np.float64)
            extended = np.concatenate([np.ones((len(block), 1)), block, block**2], axis=1)
            rows = index[start : start + len(block)]
            sums += csr_array((np.ones(len(rows)), (rows, np.arange(len(rows)))), shape=(len(keys), len(rows))) @ extended
        self._keys.append(keys)
        self._sums.append(sums)
        if len(self._keys) > 8:
            self._merge()

    def _merge(self) -> None:
        keys, index = _unique_rows(np.concatenate(self._keys))
        sums = np.zeros((len(keys), self._sums[0].shape[1]))
        offset = 0
        for part in self._sums:
            sums[index[offset : offset + len(part)]] += part
            offset += len(part)
        self._keys, self._sums = [keys], [sums]

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """(events int32 [E, width + 1], each once and in ascending order; sums float64 [E, 1 + 2D]: count, x, x^2)."""
        self._merge()
        return self._keys[0], self._sums[0]


def _unique_rows(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(distinct rows in lexical order, for each row its number among them), by way of one integer a row."""
    span = rows.max(axis=0).astype(np.int64) + 2  # values start at -1
    code = np.zeros(len(rows), dtype=np.int64)
    for column in range(rows.shape[1]):
        code = code * span[column] + rows[:, column] + 1
    _, first, index = np.unique(code, return_index=True, return_inverse=True)
    return rows[first], index
