"""Learning rates over the training: constant, exponential, newbob; each after a linear warm-up."""

import math
from dataclasses import dataclass
from typing import Any, Literal


@dataclass
class ScheduleConfig:
    """Attributes:
    kind: "constant"; "exponential" from `learning_rate` to `final_learning_rate` over the whole training (Sak 2014);
        "newbob" with rejection, as Kaldi's steps/nnet/train_scheduler.sh: see `Schedule.after_epoch`.
    learning_rate: at the start; see OptimizerConfig.gradient for what it multiplies.
    final_learning_rate: at the end (exponential).
    warmup_epochs: epochs (a fraction, usually) over which the rate rises from zero.
    halving_factor, start_halving, end_halving: newbob's; relative gains in validation loss, 0.01 is 1 %.
    keep_lr_epochs: newbob accepts these first epochs whatever they bring, and keeps the rate.
    min_epochs: newbob accepts these first epochs, and does not stop before they are done.
    """

    kind: Literal["constant", "exponential", "newbob"] = "constant"
    learning_rate: float = 0.1
    final_learning_rate: float = 0.01
    warmup_epochs: float = 0.0
    halving_factor: float = 0.5
    start_halving: float = 0.01
    end_halving: float = 0.001
    keep_lr_epochs: int = 0
    min_epochs: int = 0

    def __post_init__(self) -> None:
        if self.learning_rate <= 0 or self.final_learning_rate <= 0:
            raise ValueError("schedule: learning rates must be positive")
        if self.warmup_epochs < 0 or not 0 < self.halving_factor < 1:
            raise ValueError("schedule: warmup_epochs must be >= 0 and halving_factor in (0, 1)")
        if self.keep_lr_epochs < 0 or self.min_epochs < 0:
            raise ValueError("schedule: keep_lr_epochs and min_epochs must be >= 0")

    @property
    def rejects(self) -> bool:
        """Whether an epoch can be rejected."""
        return self.kind == "newbob"


@dataclass(frozen=True)
class Decision:
    """What is made of an epoch: whether its model is taken, and what happened as (what, text) for people and records."""

    accepted: bool = True
    events: tuple[tuple[str, str], ...] = ()


class Schedule:
    """The learning rate at every moment; what it has seen is part of checkpoints.

    Args:
        num_epochs: length of the training.
    Attributes:
        factor: what newbob's halvings and rollbacks have made of the rate.
        halving: newbob halves after every epoch by now.
        stopped: newbob has seen too small a gain: train no further.
        best_loss: validation loss of the accepted model (newbob).
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

    def begin(self, valid_loss: float) -> None:
        """Takes note of the untrained model's validation loss."""
        self.best_loss = valid_loss

    def lower(self, factor: float) -> None:
        """Multiplies the rate from now on."""
        self.factor *= factor

    def after_epoch(self, epoch: int, valid_loss: float) -> Decision:
        """Decides on epoch number `epoch` (from 1) by its validation loss.

        newbob: an epoch whose loss is not below the accepted one is rejected (gain 0). From the first gain below
        `start_halving` on, the rate is multiplied by `halving_factor` after every epoch; once that has begun, a gain below
        `end_halving` ends the training. All other kinds accept every epoch.
        """
        config, before = self.config, self.best_loss
        if not config.rejects:
            return Decision()
        events = []
        accepted = valid_loss < before or epoch <= max(config.keep_lr_epochs, config.min_epochs)
        if accepted:
            self.best_loss = valid_loss
        else:
            text = f"rejected: validation loss {valid_loss:.4f} is not below {before:.4f}; back to the accepted model"
            events.append(("rejected", text))
        gain = 1.0 if math.isinf(before) else (before - self.best_loss) / before
        if epoch <= config.keep_lr_epochs:
            return Decision(accepted, tuple(events))
        if self.halving and gain < config.end_halving:
            if epoch > config.min_epochs:
                self.stopped = True
                events.append(("stopped", f"finished: relative gain {gain:.5f} is below {config.end_halving:g}"))
            return Decision(accepted, tuple(events))
        self.halving = self.halving or gain < config.start_halving
        if self.halving:
            self.lower(config.halving_factor)
            events.append(("halved", f"learning rate times {config.halving_factor:g} after a relative gain of {gain:.4f}"))
        return Decision(accepted, tuple(events))

    def state_dict(self) -> dict[str, Any]:
        return {"factor": self.factor, "halving": self.halving, "stopped": self.stopped, "best_loss": self.best_loss}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.factor, self.halving = state["factor"], state["halving"]
        self.stopped, self.best_loss = state["stopped"], state["best_loss"]
