"""Settings of network training: one YAML file, documented here; the resolved ones are kept as EXP/config.yaml."""

from dataclasses import dataclass, field
from typing import Any, Literal

from asrtool.errors import AsrtoolError
from asrtool.feat.pipeline import FeatureOptions
from asrtool.loader.loader import LoaderConfig
from asrtool.nnet.input import InputOptions
from asrtool.nnet.registry import check_settings
from asrtool.optim.optimizer import OptimizerConfig
from asrtool.optim.schedule import ScheduleConfig
from asrtool.parallel.config import ParallelConfig


@dataclass
class CheckpointConfig:
    """Attributes:
    every_syncs: save after this many synchronisations; 0 for none by count.
    every_minutes: save at the first synchronisation after this many minutes; 0 for none by time.
    keep: checkpoints that stay on disk, besides that of the epoch that newbob may go back to.

    The end of an epoch is always saved. A checkpoint within an epoch that cannot be written (disk full) is a warning: the last
    good one stays, and the next is tried when it is due; any other that fails ends the training.
    """

    every_syncs: int = 0
    every_minutes: float = 10.0
    keep: int = 2

    def __post_init__(self) -> None:
        if self.every_syncs < 0 or self.every_minutes < 0 or self.keep < 1:
            raise ValueError("checkpoint: every_syncs and every_minutes must be >= 0, keep >= 1")


@dataclass
class BadLossConfig:
    """Limits of the policies for bad minibatches; see TrainConfig.bad_loss.

    Attributes:
        max_in_row: skip: training stops when a worker skips more minibatches than this one after the other,
        max_share: or more than this share of an epoch's minibatches (and more than `max_in_row` of them).
        rollback_factor: rollback: the learning rate is multiplied by it each time.
        max_rollbacks: rollback: of the whole training; the next one stops it.
    """

    max_in_row: int = 20
    max_share: float = 0.02
    rollback_factor: float = 0.5
    max_rollbacks: int = 3

    def __post_init__(self) -> None:
        if self.max_in_row < 0 or not 0 <= self.max_share <= 1 or self.max_rollbacks < 0:
            raise ValueError("bad_loss_limits: max_in_row and max_rollbacks must be >= 0, max_share in [0, 1]")
        if not 0 < self.rollback_factor <= 1:
            raise ValueError("bad_loss_limits: rollback_factor must be in (0, 1]")


@dataclass
class TrainConfig:
    """Attributes:
    model: `kind` (a name from nnet/registry.py) and that model's sizes.
    features, input: what the model sees.
    num_epochs: passes over the training data.
    models_per_epoch: models (global, MA, EMA) saved an epoch, evenly spaced, the last at its end.
    keep_epoch: the final model of each kind is that of the epoch with its lowest validation FER ("best"), or of the last.
        Under newbob it is that of the last accepted epoch either way.
    valid_max_frames: validation uses whole utterances up to about this many frames, evenly spread; 0 for all.
    seed: of the first weights and of the shuffling.
    bf16: matrix products in bfloat16 (torch.autocast).
    max_loss: a minibatch is bad when its mean loss (nats a target) is above this or not finite, or its gradient not finite.
    bad_loss: what to do about a bad minibatch; it never moves the model. "stop": end with its utterances named. "skip": go on
        with the next one; the states of its streams start anew. "rollback": at the next synchronisation all workers go back
        to the last checkpoint and lower the learning rate (with checkpoints by the clock the outcome depends on the time).
    prior_floor: see nnet/log_prior.py.
    tensorboard: write EXP/tensorboard too.
    """

    model: dict[str, Any]
    input: InputOptions = field(default_factory=InputOptions)
    features: FeatureOptions = field(default_factory=FeatureOptions)
    loader: LoaderConfig = field(default_factory=LoaderConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    parallel: ParallelConfig = field(default_factory=ParallelConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    bad_loss_limits: BadLossConfig = field(default_factory=BadLossConfig)
    num_epochs: int = 4
    models_per_epoch: int = 4
    keep_epoch: Literal["best", "last"] = "best"
    valid_max_frames: int = 0
    seed: int = 1
    bf16: bool = False
    max_loss: float = 100.0
    bad_loss: Literal["stop", "skip", "rollback"] = "stop"
    prior_floor: float = 1e-10
    tensorboard: bool = False

    def __post_init__(self) -> None:
        try:
            check_settings(self.model)
        except AsrtoolError as error:
            raise ValueError(str(error)) from None  # load_config adds the file's name
        if self.num_epochs < 1 or self.models_per_epoch < 1 or self.valid_max_frames < 0 or self.max_loss <= 0:
            raise ValueError("num_epochs, models_per_epoch and max_loss must be positive, valid_max_frames >= 0")
