"""Histories of phones as numbers: which there are, what each becomes without its first phone, where a phone leads."""

from dataclasses import dataclass

import numpy as np

from asrtool.errors import AsrtoolError


@dataclass
class Histories:
    """S histories of 0 to order - 1 phones, sorted by length, then by phones. Phone 0 is the beginning of an utterance.

    Attributes:
        order: of the n-grams.
        base: one more than the highest phone.
        length int64 [S].
        value int64 [S]: the phones as digits of this base, the latest last.
        parent int64 [S]: the history without the first phone, where n-grams of this length may be pruned; else -1.
    """

    order: int
    base: int
    length: np.ndarray
    value: np.ndarray
    parent: np.ndarray

    def find(self, length: np.ndarray | int, value: np.ndarray) -> np.ndarray:
        """int64 numbers of histories, -1 for those that there are not."""
        key = self._key(length, value)
        keys = self._key(self.length, self.value)
        place = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
        return np.where(keys[place] == key, place, -1)

    def _key(self, length: np.ndarray | int, value: np.ndarray) -> np.ndarray:
        return length * np.int64(self.base) ** (self.order - 1) + value

    def phones(self, state: int) -> tuple[int, ...]:
        value, length = int(self.value[state]), int(self.length[state])
        return tuple(value // self.base**place % self.base for place in range(length - 1, -1, -1))

    def prune_from_size(self, no_prune_order: int) -> int:
        """How many histories there are of the longest kind that is always kept (Kaldi's basic states)."""
        return int(np.count_nonzero(self.length == no_prune_order - 1))

    def longest_active(self, windows: np.ndarray, active: np.ndarray) -> np.ndarray:
        """int64 [M]: the longest ends of windows int64 [M, K] that are histories, and active bool [S]; -1: none."""
        found = np.full(len(windows), -1, np.int64)
        for size in range(min(windows.shape[1], self.order - 1), -1, -1):
            value = np.zeros(len(windows), np.int64)
            for column in range(windows.shape[1] - size, windows.shape[1]):
                value = value * self.base + windows[:, column]
            state = self.find(size, value)
            state[~active[state]] = -1
            found = np.where(found < 0, state, found)
        return found

    def following(self, state: np.ndarray, phone: np.ndarray, active: np.ndarray) -> np.ndarray:
        """int64 [M]: the active history after `phone` behind history `state`, int64 [M] each."""
        result = np.empty(len(state), np.int64)
        for size in np.unique(self.length[state]).tolist():
            rows = np.flatnonzero(self.length[state] == size)
            digits = [self.value[state[rows]] // self.base**place % self.base for place in range(size - 1, -1, -1)]
            result[rows] = self.longest_active(np.column_stack([*digits, phone[rows]]), active)
        return result

    def may_join(self, total: np.ndarray, row_state: np.ndarray, row_phone: np.ndarray) -> np.ndarray:
        """bool [S]: histories with counts, with a parent, that no longer history with counts needs.

        A longer one needs it as its parent, or because it is reached from it: then the first phone matters still. total int64
        [S], row_state and row_phone int64 [R]: which phones follow.
        """
        with_longer = self.with_longer(total)
        allowed = (self.parent >= 0) & (total > 0) & (with_longer == total)
        short = (self.length[row_state] < self.order - 1) & (row_phone > 0) & allowed[row_state]
        rows = np.flatnonzero(short)
        longer = self.find(self.length[row_state[rows]] + 1, self.value[row_state[rows]] * self.base + row_phone[rows])
        allowed[row_state[rows[(longer >= 0) & (with_longer[longer] > 0)]]] = False
        return allowed

    def with_longer(self, total: np.ndarray) -> np.ndarray:
        """int64 [S]: counts of each history and of all that would be joined to it."""
        result = total.copy()
        for size in range(self.order - 1, 0, -1):
            rows = np.flatnonzero((self.length == size) & (self.parent >= 0))
            np.add.at(result, self.parent[rows], result[rows])
        return result


def list_histories(sequences: list[np.ndarray], order: int, no_prune_order: int) -> tuple[Histories, np.ndarray, np.ndarray]:
    """The histories of utterances (int64 [K], phones from 1), and of each n-gram the history and the next phone, int64 [N].

    An utterance begins with the history (0) and ends with the phone 0; histories grow to order - 1 phones.
    """
    base = int(max(sequence.max() for sequence in sequences)) + 1
    if (order + 1) * float(base) ** order >= 2.0**63:
        raise AsrtoolError(f"phone language model: order {order} is too high for {base - 1} phones; take a lower one")
    marks = [part for sequence in sequences for part in (np.zeros(1, np.int64), sequence)]
    tokens = np.concatenate([*marks, np.zeros(1, np.int64)])
    next_phone = tokens[1:]  # the 0 that begins the next utterance ends this one
    begins = np.concatenate([[0], np.cumsum([len(sequence) + 1 for sequence in sequences])])
    age = np.arange(len(next_phone)) - np.repeat(begins[:-1], np.diff(begins))  # phones since the beginning
    length = np.minimum(age + 1, order - 1)
    value = np.zeros(len(next_phone), np.int64)
    for place in range(order - 2, -1, -1):
        rows = np.flatnonzero(length > place)
        value[rows] = value[rows] * base + tokens[rows - place]
    histories = _all_histories(length, value, order, no_prune_order, base)
    return histories, histories.find(length, value), next_phone


def _all_histories(length: np.ndarray, value: np.ndarray, order: int, no_prune_order: int, base: int) -> Histories:
    """Those that occur, and all that they may be joined to."""
    parts = [np.unique(np.column_stack([length, value]), axis=0)]
    while len(longer := parts[-1][parts[-1][:, 0] >= no_prune_order]):
        size = longer[:, 0] - 1
        parts.append(np.unique(np.column_stack([size, longer[:, 1] % np.int64(base) ** size]), axis=0))
    rows = np.unique(np.concatenate(parts), axis=0)
    histories = Histories(order, base, rows[:, 0], rows[:, 1], np.full(len(rows), -1, np.int64))
    joins = np.flatnonzero(histories.length >= no_prune_order)
    size = histories.length[joins] - 1
    histories.parent[joins] = histories.find(size, histories.value[joins] % np.int64(base) ** size)
    return histories
