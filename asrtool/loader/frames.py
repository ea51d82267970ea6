"""Shuffled frames: minibatches of windows from anywhere in memory, for models without a state."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from asrtool.loader.batch import Batch
from asrtool.loader.corpus import Corpus
from asrtool.nnet.input import InputOptions, centre_frame, covered_frames, gather_windows, num_windows


@dataclass
class FramePlan:
    """The windows of a shard in the order of training: utterance and number within it, int64 [K] each."""

    utterance_K: Tensor
    window_K: Tensor


def plan_frames(
    num_frames_U: np.ndarray, options: InputOptions, shift_U: np.ndarray, generator: np.random.Generator | None
) -> FramePlan:
    """All windows of all utterances, shuffled by `generator` (None: in order)."""
    windows_U = num_windows(num_frames_U, options, shift_U)
    utterance = np.repeat(np.arange(len(windows_U)), windows_U)
    window = np.arange(len(utterance)) - np.repeat(np.cumsum(windows_U) - windows_U, windows_U)
    if generator is not None:
        order = generator.permutation(len(utterance))
        utterance, window = utterance[order], window[order]
    return FramePlan(torch.from_numpy(utterance), torch.from_numpy(window))


def frame_batch(corpus: Corpus, plan: FramePlan, index: int, batch_size: int, shift_U: Tensor, options: InputOptions) -> Batch:
    """Minibatch number `index` of a plan: B windows, T = 1."""
    rows = slice(index * batch_size, (index + 1) * batch_size)
    utterance, window = plan.utterance_K[rows], plan.window_K[rows]
    begin, end, shift = corpus.begin_U1[utterance], corpus.begin_U1[utterance + 1], shift_U[utterance]
    centre = begin + centre_frame(window, options, shift)
    x_BF = gather_windows(corpus.features_ND, centre, begin, end - 1, options)
    target_B = corpus.pdf_N[torch.minimum(torch.maximum(centre, begin), end - 1)]
    return Batch(
        x_BTF=x_BF.float().unsqueeze(1),
        target_BT=target_B.unsqueeze(1),
        reset_B=torch.ones(len(window), dtype=torch.bool),
        num_frames=int(covered_frames(window, end - begin, options, shift).sum()),
        num_targets=len(window),
        utterances=[corpus.names[index] for index in utterance[:20].tolist()],
    )
