"""Shuffled frames: minibatches of windows from anywhere in memory, for models without a state."""

from dataclasses import dataclass

import numpy as np

from asrtool.loader.batch import Batch
from asrtool.loader.windows import WindowMaker
from asrtool.nnet.input import InputOptions, num_windows


@dataclass
class FramePlan:
    """The windows of what is in memory in the order of training: utterance and number within it, int64 [K] each."""

    utterance_K: np.ndarray
    window_K: np.ndarray
    batch_size: int

    @property
    def num_batches(self) -> int:
        return -(-len(self.window_K) // self.batch_size)

    @property
    def num_positions(self) -> int:
        """Windows computed, padding included: there is none."""
        return len(self.window_K)

    def batch(self, maker: WindowMaker, index: int) -> Batch:
        """Minibatch number `index`: B windows, T = 1."""
        rows = slice(index * self.batch_size, (index + 1) * self.batch_size)
        utterance_B = self.utterance_K[rows]
        names = [maker.corpus.names[number] for number in utterance_B[:20].tolist()]
        reset_B = np.ones(len(utterance_B), np.bool_)
        return maker.batch(utterance_B[None], self.window_K[rows][None], reset_B, 0, names)


def plan_frames(
    num_frames_U: np.ndarray,
    options: InputOptions,
    shift_U: np.ndarray,
    batch_size: int,
    generator: np.random.Generator | None,
) -> FramePlan:
    """All windows of all utterances, shuffled by `generator` (None: in order), in minibatches of `batch_size`."""
    windows_U = num_windows(num_frames_U, options, shift_U)
    utterance = np.repeat(np.arange(len(windows_U)), windows_U)
    window = np.arange(len(utterance)) - np.repeat(np.cumsum(windows_U) - windows_U, windows_U)
    if generator is not None:
        order = generator.permutation(len(utterance))
        utterance, window = utterance[order], window[order]
    return FramePlan(utterance, window, batch_size)
