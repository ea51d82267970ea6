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
    keep: checkpoints that stay on disk.
    """

    every_syncs: int = 0
    every_minutes: float = 10.0
    keep: int = 2

    def __post_init__(self) -> None:
        if self.every_syncs < 0 or self.every_minutes < 0 or self.keep < 1:
            raise ValueError("checkpoint: every_syncs and every_minutes must be >= 0, keep >= 1")


@dataclass
class TrainConfig:
    """Attributes:
    model: `kind` (a name from nnet/registry.py) and that model's sizes.
    features, input: what the model sees.
    num_epochs: passes over the training data.
    models_per_epoch: models (global, MA, EMA) saved an epoch, evenly spaced, the last at its end.
    keep_epoch: the final model of each kind is that of the epoch with its lowest validation FER ("best"), or of the last.
    valid_max_frames: validation uses whole utterances up to about this many frames, evenly spread; 0 for all.
    seed: of the first weights and of the shuffling.
    bf16: matrix products in bfloat16 (torch.autocast).
    max_loss: training stops when a minibatch's mean loss (nats a target) is above this, or not finite.
    prior_floor: see nnet/log_prior.py.
    """

    model: dict[str, Any]
    input: InputOptions = field(default_factory=InputOptions)
    features: FeatureOptions = field(default_factory=FeatureOptions)
    loader: LoaderConfig = field(default_factory=LoaderConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    parallel: ParallelConfig = field(default_factory=ParallelConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    num_epochs: int = 4
    models_per_epoch: int = 4
    keep_epoch: Literal["best", "last"] = "best"
    valid_max_frames: int = 0
    seed: int = 1
    bf16: bool = False
    max_loss: float = 100.0
    prior_floor: float = 1e-10

    def __post_init__(self) -> None:
        try:
            check_settings(self.model)
        except AsrtoolError as error:
            raise ValueError(str(error)) from None  # load_config adds the file's name
        if self.num_epochs < 1 or self.models_per_epoch < 1 or self.valid_max_frames < 0 or self.max_loss <= 0:
            raise ValueError("num_epochs, models_per_epoch and max_loss must be positive, valid_max_frames >= 0")
