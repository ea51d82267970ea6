"""What a trainer works with."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from asrtool.criterion.cross_entropy import cross_entropy
from asrtool.loader.batch import Batch
from asrtool.loader.loader import Loader
from asrtool.nnet.model import AcousticModel
from asrtool.optim.schedule import Schedule
from asrtool.parallel.protocol import Comm, ParallelAlgorithm
from asrtool.train.checkpoint import CheckpointStore
from asrtool.train.config import TrainConfig
from asrtool.train.data import TrainingData
from asrtool.train.metrics import MetricsLog
from asrtool.train.progress_line import ProgressLine
from asrtool.train.validation import FrameValidation, Validation
from asrtool.train.worker_notes import WorkerNotes


class Criterion(Protocol):
    def __call__(self, logits_BTP: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """The summed loss (differentiable, once) and the number of frame errors, on the device of the logits."""


class Stateful(Protocol):
    """What changes in training besides the trainer's own state, and so belongs into checkpoints (plain containers, tensors)."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def frame_cross_entropy(logits_BTP: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Against the batch's targets."""
    return cross_entropy(logits_BTP, batch.target_BT.to(logits_BTP.device, non_blocking=True))


@dataclass
class Parts:
    """All on the model's device where they are tensors.

    Attributes:
        device: of the models.
        evaluation_model: a second model of the same kind, into which models are loaded for validation.
        train_loader, valid_loader: this worker's part of the data, from the first `share_data` on.
        shared_among: ranks that the data are divided among.
        train_frames: 10 ms frames of an epoch, all workers together.
        save_models: called as save_models(weights by model name, label, info) on every rank; label is "<epoch>.<part>".
        keep_models: called as keep_models(label by model name) at the end: those saved models are the final ones.
        criterion: the loss of a minibatch.
        validation: how models are measured, and what is made of it.
        worker_notes: figures of each worker's own for the "train" records, or None.
        stateful: by name, what goes into checkpoints too.
        wrap_loader: makes of a training loader what the trainer takes.
        closing: what has to be ended with the training.
    """

    config: TrainConfig
    device: torch.device
    model: AcousticModel
    evaluation_model: AcousticModel
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    algorithm: ParallelAlgorithm
    comm: Comm
    data: TrainingData
    train_frames: int
    checkpoints: CheckpointStore
    metrics: MetricsLog
    progress: ProgressLine
    save_models: Callable[[dict[str, dict[str, Tensor]], str, dict[str, Any]], None]
    keep_models: Callable[[dict[str, str]], None]
    criterion: Criterion = frame_cross_entropy
    validation: Validation = field(default_factory=FrameValidation)
    worker_notes: WorkerNotes | None = None
    stateful: dict[str, Stateful] = field(default_factory=dict)
    wrap_loader: Callable[[Loader], Any] = lambda loader: loader
    closing: ExitStack = field(default_factory=ExitStack)
    train_loader: Loader = field(init=False)
    valid_loader: Loader = field(init=False)
    shared_among: list[int] = field(default_factory=list)

    def share_data(self) -> None:
        """Divides the data among the workers that are left, if that was not done yet."""
        alive = list(self.comm.alive)
        if alive != self.shared_among:
            train_loader, self.valid_loader = self.data.divide(alive.index(self.comm.rank), len(alive))
            self.train_loader = self.wrap_loader(train_loader)
            self.shared_among = alive

    def announce(self, epoch: float, what: str, text: str) -> None:
        """Tells people and records of a decision; rank 0 does."""
        self.metrics.event(epoch, what, text)
        self.progress.message(f"epoch {epoch:g}: {text}")
