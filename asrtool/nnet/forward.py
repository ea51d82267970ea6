"""Scaled log-likelihoods of utterances: what the decoder sees of a network."""

from collections.abc import Iterable, Sequence
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


def log_posteriors_batch(bundle: ModelBundle, features: list[np.ndarray], names: list[str] | None = None) -> list[np.ndarray]:
    """The same without the prior: float32 [T, num_pdfs] of each utterance."""
    names = names or ["features"] * len(features)
    normalised = [bundle.normalise(matrix, name) for matrix, name in zip(features, names, strict=True)]
    return _log_posteriors(bundle, normalised, [0] * len(normalised))


def scaled_loglikes(bundle: ModelBundle, features: Sequence[Tensor], shifts: Sequence[int]) -> list[np.ndarray]:
    """`loglikes_batch` for windows that are moved back by some frames, as training's streams see them.

    The output for a window stands for the `stride` frames that it is the nearest to.

    Args:
        features: normalised frames (ModelBundle.normalise), [T, D].
        shifts: 0..stride-1 of each.
    """
    return [scores_TP - bundle.log_prior_P for scores_TP in _log_posteriors(bundle, features, shifts)]


@torch.inference_mode()
def _log_posteriors(bundle: ModelBundle, features: Sequence[Tensor], shifts: Sequence[int]) -> list[np.ndarray]:
    """Float32 [T, num_pdfs] of each utterance, in one forward pass."""
    options = bundle.input
    windows = [
        utterance_windows(matrix, options, shift) if len(matrix) else torch.zeros(0, bundle.model.input_dim)
        for matrix, shift in zip(features, shifts, strict=True)
    ]
    device = next(bundle.model.parameters()).device
    x_BTF = pad_sequence(windows, batch_first=True).to(device)
    if x_BTF.shape[1] == 0:
        return [np.zeros((0, bundle.model.num_pdfs), np.float32) for _ in features]
    logits, _ = bundle.model(x_BTF, bundle.model.initial_state(len(windows)))
    scores = torch.log_softmax(logits.float(), -1).cpu()
    results = []
    for row, (matrix, shift) in enumerate(zip(features, shifts)):
        at_frames = scores[row, options.label_delay :].repeat_interleave(options.stride, 0)
        results.append(at_frames[shift : shift + len(matrix)].contiguous().numpy())
    return results


def posterior_counts(bundle: ModelBundle, utterances: Iterable[np.ndarray], batch_size: int = 8) -> tuple[np.ndarray, int]:
    """The sum of the posteriors over the frames of utterances, float64 [P], and the number of frames."""
    total, num_frames = np.zeros(bundle.model.num_pdfs), 0
    utterances = iter(utterances)
    while batch := list(islice(utterances, batch_size)):
        for scores_TP in log_posteriors_batch(bundle, batch):
            total += np.exp(scores_TP).sum(0, dtype=np.float64)
            num_frames += len(scores_TP)
    return total, num_frames
