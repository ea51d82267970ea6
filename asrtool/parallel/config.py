"""Settings of parallel training."""

import math
from dataclasses import dataclass, field
from typing import Literal


@dataclass
class ParallelConfig:
    """How N workers train one model.

    Frames are counted as the trainer counts them in `after_step`; the recipes count input frames of 10 ms.

    Attributes:
        algorithm: a name from `registry.ALGORITHMS`: single, model_averaging, bmuf, bsp.
        sync_frames: frames that each worker trains on between two synchronisations. About 120,000 / N is usual.
        block_momentum: eta of BMUF in [0, 1); null means 1 - 1/N, the rule of Chen and Huo (2016).
        block_lr: block learning rate, zeta of BMUF.
        nesterov: Nesterov block momentum: the workers start a block from the look-ahead point, while the global
            model, which is evaluated, averaged and saved, stays apart from it.
        weighting: the mean over the workers: "workers" is the plain mean over those that have data (the papers),
            "frames" weights each worker by the frames of its block.
        reset_local_momentum: zero the local optimiser's momentum when a sync moves the worker's parameters.
        warmup_frames: frames that rank 0 trains on alone before the blocks begin; the others wait.
        ma: keep the moving average of the global model, all syncs weighted equally.
        ema_alpha: keep an exponential moving average for each of these exponential updating rates.
        average_start_frames: frames of all workers together before MA and EMA begin.
        nonfinite: when a worker's parameters hold NaN or infinity: "skip_worker" leaves that worker out of the mean,
            "skip_block" drops the block of all workers and goes back to the last global model, "raise" stops.
        max_skipped_syncs: stop when more syncs than this in a row had a worker with non-finite parameters.
    """

    algorithm: str = "bmuf"
    sync_frames: int = 60_000
    block_momentum: float | None = None
    block_lr: float = 1.0
    nesterov: bool = False
    weighting: Literal["workers", "frames"] = "workers"
    reset_local_momentum: bool = True
    warmup_frames: int = 0
    ma: bool = True
    ema_alpha: list[float] = field(default_factory=lambda: [0.9])
    average_start_frames: int = 0
    nonfinite: Literal["skip_worker", "skip_block", "raise"] = "skip_worker"
    max_skipped_syncs: int = 3

    def __post_init__(self) -> None:
        if self.sync_frames < 1:
            raise ValueError(f"sync_frames must be at least 1, not {self.sync_frames}")
        if self.block_momentum is not None and not 0 <= self.block_momentum < 1:
            raise ValueError(f"block_momentum must be in [0, 1), not {self.block_momentum}")
        if not (math.isfinite(self.block_lr) and self.block_lr > 0):
            raise ValueError(f"block_lr must be above 0, not {self.block_lr}")
        for alpha in self.ema_alpha:
            if not 0 < alpha < 1:
                raise ValueError(f"ema_alpha must be in (0, 1), not {alpha}")
        if len(set(self.ema_alpha)) != len(self.ema_alpha):
            raise ValueError("ema_alpha names the same rate twice")
        for name in ("warmup_frames", "average_start_frames", "max_skipped_syncs"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")

    def momentum_for(self, num_workers: int) -> float:
        """Block momentum for N workers: the set one or 1 - 1/N."""
        return 1.0 - 1.0 / num_workers if self.block_momentum is None else self.block_momentum
