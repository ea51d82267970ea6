"""Scaled log-likelihoods of utterances: what the decoder sees of a network."""

from collections.abc import Iterable
from itertools import islice

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from asrtool.nnet.input import utterance_windows
from asrtool.nnet.model_file import ModelBundle


def loglikes(bundle: ModelBundle, features_TD: np.ndarray) -> np.ndarray:
    """Log posterior minus log prior of every pdf at every 10 ms frame: float32 [T, num_pdfs].

    Outputs of a model with stride s are repeated s times, a label delay is taken back, and there are exactly T rows.

    Raises:
        AsrtoolError: the features' dimension is not the model's.
    """
    return loglikes_batch(bundle, [features_TD])[0]


def loglikes_batch(bundle: ModelBundle, features: list[np.ndarray], names: list[str] | None = None) -> list[np.ndarray]:
    """`loglikes` of several utterances in one forward pass, padded at their ends to the longest; `names` for errors."""
    return [scores_TP - bundle.log_prior_P for scores_TP in log_posteriors_batch(bundle, features, names)]


@torch.inference_mode()
def log_posteriors_batch(bundle: ModelBundle, features: list[np.ndarray], names: list[str] | None = None) -> list[np.ndarray]:
    """The same without the prior: float32 [T, num_pdfs] of each utterance."""
    names = names or ["features"] * len(features)
    windows = [
        utterance_windows(bundle.normalise(matrix, name), bundle.input) if len(matrix) else torch.zeros(0, bundle.model.input_dim)
        for matrix, name in zip(features, names, strict=True)
    ]
    device = next(bundle.model.parameters()).device
    x_BTF = pad_sequence(windows, batch_first=True).to(device)
    if x_BTF.shape[1] == 0:
        return [np.zeros((0, bundle.model.num_pdfs), np.float32) for _ in features]
    logits, _ = bundle.model(x_BTF, bundle.model.initial_state(len(windows)))
    scores = torch.log_softmax(logits.float(), -1).cpu()
    return [_at_frame_rate(scores[b], len(matrix), bundle).numpy() for b, matrix in enumerate(features)]


def posterior_counts(bundle: ModelBundle, utterances: Iterable[np.ndarray], batch_size: int = 8) -> tuple[np.ndarray, int]:
    """The sum of the posteriors over the frames of utterances, float64 [P], and the number of frames."""
    total, num_frames = np.zeros(bundle.model.num_pdfs), 0
    utterances = iter(utterances)
    while batch := list(islice(utterances, batch_size)):
        for scores_TP in log_posteriors_batch(bundle, batch):
            total += np.exp(scores_TP).sum(0, dtype=np.float64)
            num_frames += len(scores_TP)
    return total, num_frames


def _at_frame_rate(scores_KP: Tensor, num_frames: int, bundle: ModelBundle) -> Tensor:
    delayed = scores_KP[bundle.input.label_delay :]
    return delayed.repeat_interleave(bundle.input.stride, 0)[:num_frames].contiguous()
