"""Loss and frame error rate of a network on held-out frames, with its phone confusions.

Frames are counted at the network's output rate, one a window, against the alignment at the window's middle frame; a frame is
an error when another pdf scores better than the alignment's. So the figures are those of validation in training.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from asrtool.errors import AsrtoolError
from asrtool.feat.pipeline import FeaturePipeline
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.alignment import read_alignments
from asrtool.io.progress import progress
from asrtool.nnet.input import centre_frame, num_windows, utterance_windows
from asrtool.nnet.model_file import ModelBundle
from asrtool.train.confusion import PdfPhones, PhoneClasses

BATCH_UTTERANCES = 64
BATCH_WINDOWS = 40000  # with padding; a longer utterance is a batch of its own
CHUNK_WINDOWS = 200  # of one forward pass; the state is carried on


@dataclass
class HeldOut:
    """Utterances to evaluate on.

    Attributes:
        names: in the order of the features.
        num_frames_U: int64 [U], 10 ms frames.
        transition_ids: int32 [T] of each.
        num_available: utterances that have features and an alignment.
        num_without_alignment: those of the data directory that have none.
    """

    names: list[str]
    num_frames_U: np.ndarray
    transition_ids: list[np.ndarray]
    num_available: int
    num_without_alignment: int


def read_held_out(pipeline: FeaturePipeline, model: TransitionModel, ali_dir: Path, max_frames: int) -> HeldOut:
    """Whole utterances, evenly spread over the pipeline's data directory, until there are `max_frames` frames (0: all).

    Raises:
        AsrtoolError: no utterance with an alignment; an alignment that is not of the features' length, or of another model.
    """
    alignments, data_dir = read_alignments(ali_dir), pipeline.data.path
    utterances = pipeline.utterances()
    names = [name for name in utterances if len(alignments.get(name, ()))]
    if not names:
        raise AsrtoolError(f"{data_dir}: none of its {len(utterances)} utterances has an alignment in {ali_dir}; align this data")
    lengths = np.array([pipeline.num_frames(name) for name in names], np.int64)
    for name, length in zip(names, lengths):
        if length != len(alignments[name]):
            raise AsrtoolError(
                f"{data_dir}: {name}: {length} frames of features but an alignment of {len(alignments[name])}; "
                "align the same features that the network is evaluated on"
            )
        if alignments[name].min() < 1 or alignments[name].max() > model.num_transition_ids:
            raise AsrtoolError(
                f"{ali_dir}: {name}: transition-id {int(alignments[name].max())} is not in {model.name} "
                f"(1..{model.num_transition_ids}); align with that model"
            )
    chosen = evenly_spread(lengths, max_frames)
    return HeldOut(
        names=[names[index] for index in chosen],
        num_frames_U=lengths[chosen],
        transition_ids=[alignments[names[index]] for index in chosen],
        num_available=len(names),
        num_without_alignment=sum(name not in alignments for name in utterances),
    )


def evenly_spread(num_frames_U: np.ndarray, max_frames: int) -> np.ndarray:
    """Indices of utterances from all over the list, one after the other until they hold `max_frames` frames (0: all).

    The order is that of van der Corput: first one, then the one in the middle, then those at the quarters, and so on. So a
    larger choice holds the smaller ones.
    """
    num_utterances = len(num_frames_U)
    if max_frames <= 0 or max_frames >= num_frames_U.sum():
        return np.arange(num_utterances)
    num_bits = (num_utterances - 1).bit_length()
    count = np.arange(2**num_bits)
    reversed_bits = sum(((count >> bit) & 1) << (num_bits - 1 - bit) for bit in range(num_bits))
    order = reversed_bits[reversed_bits < num_utterances] if num_bits else count
    enough = np.searchsorted(np.cumsum(num_frames_U[order]), max_frames) + 1
    return np.sort(order[:enough])


@dataclass
class Evaluation:
    """Sums over the targets of an evaluation.

    Attributes:
        confusion_CC: int64, rows the reference's phone class, columns the network's.
    """

    confusion_CC: np.ndarray
    utterances: int = 0
    frames: int = 0
    targets: int = 0
    loss: float = 0.0
    errors: int = 0

    def summary(self) -> dict[str, Any]:
        """Loss (nats a target), FER and accuracies as fractions."""
        targets = max(self.targets, 1)
        return {
            "utterances": self.utterances,
            "frames": self.frames,
            "targets": self.targets,
            "loss": self.loss / targets,
            "fer": self.errors / targets,
            "frame_accuracy": 1.0 - self.errors / targets,
            "phone_accuracy": float(np.trace(self.confusion_CC)) / targets,
        }


def evaluate_held_out(
    bundle: ModelBundle, pipeline: FeaturePipeline, held_out: HeldOut, model: TransitionModel, classes: PhoneClasses
) -> Evaluation:
    """Runs the network over the utterances, in batches of similar length, on the device that it is on.

    Raises:
        AsrtoolError: outputs that are not finite.
    """
    num_classes = len(classes.names)
    pdf_phones = PdfPhones(model, classes, held_out.transition_ids)
    result = Evaluation(np.zeros((num_classes, num_classes), np.int64))
    batches = _batches(num_windows(held_out.num_frames_U, bundle.input))
    for members in progress(batches, len(batches), "batches"):
        names = [held_out.names[index] for index in members]
        features = [bundle.normalise(pipeline(name), name) for name in names]
        tids_BT = _targets([held_out.transition_ids[index] for index in members], bundle)
        for logits_BTP, tids in _forward(bundle, features, tids_BT):
            tids_N = tids[tids > 0].numpy()
            pdf_N = _score(result, logits_BTP[(tids > 0).to(logits_BTP.device)].float(), model.tid_to_pdf[tids_N])
            reference_N = classes.class_of[model.tid_to_phone[tids_N]]
            pairs_N = reference_N * num_classes + pdf_phones(pdf_N, reference_N)
            result.confusion_CC += np.bincount(pairs_N, minlength=num_classes**2).reshape(num_classes, -1)
    if not math.isfinite(result.loss):
        raise AsrtoolError("the network's outputs are not finite on these data; check its training and the features")
    result.frames, result.utterances = int(held_out.num_frames_U.sum()), len(held_out.names)
    return result


def _score(result: Evaluation, logits_NP: Tensor, pdf_N: np.ndarray) -> np.ndarray:
    """Adds loss and errors against the alignment's pdfs; returns the network's pdfs (a tie is no error, as in training)."""
    log_posterior = torch.log_softmax(logits_NP, -1)
    target_N = torch.from_numpy(pdf_N.astype(np.int64)).to(logits_NP.device)
    score = log_posterior.gather(1, target_N.unsqueeze(1)).squeeze(1)
    best, best_pdf = log_posterior.max(-1)
    result.loss -= float(score.double().sum())
    result.errors += int((score < best).sum())
    result.targets += len(pdf_N)
    return torch.where(score < best, best_pdf, target_N).cpu().numpy()


def _batches(windows_U: np.ndarray) -> list[np.ndarray]:
    """Indices, the longest utterances first."""
    order, batches, begin = np.argsort(-windows_U, kind="stable"), [], 0
    while begin < len(order):
        count = min(BATCH_UTTERANCES, max(1, BATCH_WINDOWS // int(windows_U[order[begin]])))
        batches.append(order[begin : begin + count])
        begin += count
    return batches


def _targets(transition_ids: list[np.ndarray], bundle: ModelBundle) -> Tensor:
    """Transition-ids at the windows' middle frames, int64 [B, T]; 0 where no loss is taken: label delay, padding."""
    rows = []
    for tids in transition_ids:
        window = torch.arange(num_windows(len(tids), bundle.input))
        frame = centre_frame(window, bundle.input).clamp(max=len(tids) - 1)
        rows.append(torch.cat((torch.zeros(bundle.input.label_delay, dtype=torch.int64), torch.from_numpy(tids)[frame].long())))
    return pad_sequence(rows, batch_first=True)


@torch.inference_mode()
def _forward(bundle: ModelBundle, features: list[Tensor], tids_BT: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits and transition-ids of a batch, a chunk of time at a time."""
    device = next(bundle.model.parameters()).device
    x_BTF = pad_sequence([utterance_windows(matrix, bundle.input) for matrix in features], batch_first=True)
    state = bundle.model.initial_state(len(features))
    for begin in range(0, x_BTF.shape[1], CHUNK_WINDOWS):
        part = slice(begin, begin + CHUNK_WINDOWS)
        logits, state = bundle.model(x_BTF[:, part].to(device), state)
        yield logits, tids_BT[:, part]
