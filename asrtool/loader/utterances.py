"""Batches of whole utterances of similar length, for recurrent models without truncated back-propagation.

Utterances are sorted by length and cut into batches whose padded size is at most a budget of frames. For training, lengths
count in steps of 3 % and utterances of one step come in a random order, so that batches differ from epoch to epoch; the
batches come in a random order too. Shorter utterances of a batch are padded by repeating the last frame, with targets
that are ignored; every batch starts from a reset state.
"""

from dataclasses import dataclass

import numpy as np

from asrtool.loader.batch import Batch
from asrtool.loader.windows import WindowMaker
from asrtool.nnet.input import InputOptions, num_windows

LENGTH_STEP = 1.03


@dataclass
class UtterancePlan:
    """Attributes:
    utterance_U: utterances, batch after batch.
    begin_K1: where each batch begins in `utterance_U`, and the end.
    length_K: windows of each batch's longest utterance, label delay included.
    """

    utterance_U: np.ndarray
    begin_K1: np.ndarray
    length_K: np.ndarray

    @property
    def num_batches(self) -> int:
        return len(self.length_K)

    @property
    def num_positions(self) -> int:
        """Windows computed, padding included."""
        return int((np.diff(self.begin_K1) * self.length_K).sum())

    def columns(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """The utterances of minibatch number `index`, longest first, and that all of them begin with it."""
        utterance_B = self.utterance_U[self.begin_K1[index] : self.begin_K1[index + 1]]
        return utterance_B, np.ones(len(utterance_B), np.bool_)

    def batch(self, maker: WindowMaker, index: int) -> Batch:
        """Minibatch number `index`."""
        utterance_B, begins_B = self.columns(index)
        shape = (int(self.length_K[index]), len(utterance_B))
        return maker.batch(
            np.broadcast_to(utterance_B, shape),
            np.broadcast_to(np.arange(shape[0])[:, None], shape),
            begins_B,
            maker.options.label_delay,
            [maker.corpus.names[number] for number in utterance_B.tolist()],
        )


def plan_utterances(
    num_frames_U: np.ndarray,
    options: InputOptions,
    shift_U: np.ndarray,
    budget_windows: int,
    generator: np.random.Generator | None,
) -> UtterancePlan:
    """Cuts utterances into batches of at most `budget_windows` windows with padding; a longer utterance is a batch of its own.

    Args:
        generator: None: exact lengths, longest batch first.
    """
    length_U = num_windows(num_frames_U, options, shift_U) + options.label_delay
    if generator is None:
        order = np.argsort(-length_U, kind="stable")
    else:
        random = generator.permutation(len(length_U))
        step_U = np.floor(np.log(length_U) / np.log(LENGTH_STEP)).astype(np.int64)
        order = random[np.argsort(-step_U[random], kind="stable")]
    begins, longest, lengths = [0], 0, []
    for place, length in enumerate(length_U[order].tolist()):
        if place > begins[-1] and max(longest, length) * (place + 1 - begins[-1]) > budget_windows:
            begins.append(place)
            lengths.append(longest)
            longest = 0
        longest = max(longest, length)
    begins.append(len(order))
    lengths.append(longest)
    begin_K1, length_K = np.array(begins, np.int64), np.array(lengths, np.int64)
    if generator is None:
        return UtterancePlan(order, begin_K1, length_K)
    batches = generator.permutation(len(length_K))
    sizes = np.diff(begin_K1)
    members = [order[begin_K1[batch] : begin_K1[batch + 1]] for batch in batches]
    return UtterancePlan(np.concatenate(members), np.concatenate(([0], np.cumsum(sizes[batches]))), length_K[batches])
