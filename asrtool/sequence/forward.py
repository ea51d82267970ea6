"""The network over whole utterances: scaled log-likelihoods at 10 ms frames for any shift of the windows."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from asrtool.nnet.input import InputOptions, centre_frame, gather_windows, num_windows
from asrtool.nnet.model_file import ModelBundle


def shifted_windows(features_TD: Tensor, options: InputOptions, shift: int) -> Tensor:
    """All windows of an utterance of T >= 1 frames, and `label_delay` more at its end: [windows + label_delay, width * D].

    As training's streams see it: the windows are moved back by `shift` frames, and repeat the first and the last frame beyond
    the ends.
    """
    num_frames = len(features_TD)
    window = torch.arange(num_windows(num_frames, options, shift) + options.label_delay)
    first = torch.zeros_like(window)
    return gather_windows(features_TD, centre_frame(window, options, shift), first, first + num_frames - 1, options)


@torch.inference_mode()
def scaled_loglikes(bundle: ModelBundle, features: Sequence[Tensor], shifts: Sequence[int]) -> list[np.ndarray]:
    """Log posterior minus log prior, float32 [T, P] of each utterance, in one forward pass padded to the longest.

    The output for window k stands for the `stride` frames that the window is the nearest to, so that with shift 0 this is
    `nnet.forward.loglikes_batch`.

    Args:
        features: normalised frames (ModelBundle.normalise), [T, D] with T >= 1.
        shifts: 0..stride-1 of each.
    """
    options = bundle.input
    windows = [shifted_windows(matrix, options, shift) for matrix, shift in zip(features, shifts, strict=True)]
    device = next(bundle.model.parameters()).device
    x_BTF = pad_sequence(windows, batch_first=True).to(device)
    logits, _ = bundle.model(x_BTF, bundle.model.initial_state(len(windows)))
    prior_P = torch.from_numpy(bundle.log_prior_P).to(device)
    scores = torch.log_softmax(logits.float(), -1).sub_(prior_P).cpu()
    results = []
    for row, (matrix, shift) in enumerate(zip(features, shifts)):
        at_frames = scores[row, options.label_delay :].repeat_interleave(options.stride, 0)
        results.append(at_frames[shift : shift + len(matrix)].contiguous().numpy())
    return results
