"""Learning rates over the training: constant, exponential, newbob; each after a linear warm-up."""

import math
from dataclasses import dataclass
from typing import Any, Literal


@dataclass
class ScheduleConfig:
    """Attributes:
    kind: "constant"; "exponential" from `learning_rate` to `final_learning_rate` over the whole training (Sak 2014);
        "newbob" (Kaldi's nnet1): once an epoch brings less than `start_halving` relative gain in validation loss, the rate
        is multiplied by `halving_factor` after every epoch, and training stops when the gain falls below `end_halving`.
    learning_rate: at the start; see OptimizerConfig.gradient for what it multiplies.
    final_learning_rate: at the end (exponential).
    warmup_epochs: epochs (a fraction, usually) over which the rate rises from zero.
    """

    kind: Literal["constant", "exponential", "newbob"] = "constant"
    learning_rate: float = 0.1
    final_learning_rate: float = 0.01
    warmup_epochs: float = 0.0
    halving_factor: float = 0.5
    start_halving: float = 0.01
    end_halving: float = 0.001

    def __post_init__(self) -> None:
        if self.learning_rate <= 0 or self.final_learning_rate <= 0:
            raise ValueError("schedule: learning rates must be positive")
        if self.warmup_epochs < 0 or not 0 < self.halving_factor < 1:
            raise ValueError("schedule: warmup_epochs must be >= 0 and halving_factor in (0, 1)")


class Schedule:
    """The learning rate at every moment; what it has seen is part of checkpoints.

    Args:
        num_epochs: length of the training.
    Attributes:
        stopped: newbob has seen too small a gain: train no further.
    """

    def __init__(self, config: ScheduleConfig, num_epochs: int) -> None:
        self.config = config
        self.num_epochs = num_epochs
        self.factor = 1.0
        self.halving = False
        self.stopped = False
        self.best_loss = math.inf

    def learning_rate(self, epochs: float) -> float:
        """The rate after `epochs` epochs (a fraction within an epoch)."""
        config = self.config
        rate = config.learning_rate * self.factor
        if config.kind == "exponential":
            rate *= (config.final_learning_rate / config.learning_rate) ** min(1.0, epochs / self.num_epochs)
        if epochs < config.warmup_epochs:
            rate *= epochs / config.warmup_epochs
        return rate

    def after_epoch(self, valid_loss: float) -> None:
        """Takes note of the validation loss of an epoch (newbob)."""
        if self.config.kind != "newbob":
            return
        gain = 1.0 if math.isinf(self.best_loss) else (self.best_loss - valid_loss) / abs(self.best_loss)
        self.best_loss = min(self.best_loss, valid_loss)
        if self.halving and gain < self.config.end_halving:
            self.stopped = True
        self.halving = self.halving or gain < self.config.start_halving
        if self.halving:
            self.factor *= self.config.halving_factor

    def state_dict(self) -> dict[str, Any]:
        return {"factor": self.factor, "halving": self.halving, "stopped": self.stopped, "best_loss": self.best_loss}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.factor, self.halving = state["factor"], state["halving"]
        self.stopped, self.best_loss = state["stopped"], state["best_loss"]
