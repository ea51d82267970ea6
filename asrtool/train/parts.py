"""What a trainer works with."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from asrtool.loader.loader import Loader
from asrtool.nnet.model import AcousticModel
from asrtool.optim.schedule import Schedule
from asrtool.parallel.protocol import Comm, ParallelAlgorithm
from asrtool.train.checkpoint import CheckpointStore
from asrtool.train.config import TrainConfig
from asrtool.train.data import TrainingData
from asrtool.train.metrics import MetricsLog
from asrtool.train.progress_line import ProgressLine


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
    train_loader: Loader = field(init=False)
    valid_loader: Loader = field(init=False)
    shared_among: list[int] = field(default_factory=list)

    def share_data(self) -> None:
        """Divides the data among the workers that are left, if that was not done yet."""
        alive = list(self.comm.alive)
        if alive != self.shared_among:
            self.train_loader, self.valid_loader = self.data.divide(alive.index(self.comm.rank), len(alive))
            self.shared_among = alive

    def announce(self, epoch: float, what: str, text: str) -> None:
        """Tells people and records of a decision; rank 0 does."""
        self.metrics.event(epoch, what, text)
        self.progress.message(f"epoch {epoch:g}: {text}")
