"""Settings of parallel training."""

import math
from dataclasses import dataclass, field
from typing import Literal


@dataclass
class ParallelConfig:
    """How N workers train one model. A setting that an algorithm does not have is ignored by it.

    Frames are counted as the trainer counts them in `after_step`; the recipes count input frames of 10 ms. A step is a minibatch.

    Attributes:
        algorithm: a name from `registry.ALGORITHMS`: single, model_averaging, bmuf, bsp, asgd, easgd.
        sync_frames: frames that each worker trains on between two synchronisations. About 120,000 / N is usual. With
            bsp, asgd and easgd, whose workers exchange much more often, MA and EMA follow and checkpoints are made there.
        ma: keep the moving average of the global model, all syncs weighted equally.
        ema_alpha: keep an exponential moving average for each of these exponential updating rates.
        average_start_frames: frames of all workers together before MA and EMA begin.
        weighting: the mean over the workers: "workers" is the plain mean over those that have data (the papers),
            "frames" weights each worker by the frames of its block.
        reset_local_momentum: zero the local optimiser's momentum when a sync moves the worker's parameters.
        warmup_frames: frames that rank 0 trains on alone before the blocks begin; the others wait.
        overlap: exchange while computing. bmuf, model_averaging: the workers train on while the mean is formed, which moves them
            one block later. bsp: gradients are exchanged during the backward pass, bucket by bucket. Off with one worker.
        exchange_dtype: bmuf, model_averaging: "bfloat16" sends differences to the block's start in half the bytes. Off with one
            worker.
        block_momentum: bmuf: eta in [0, 1); null means 1 - 1/N, the rule of Chen and Huo (2016).
        block_lr: bmuf: block learning rate, zeta.
        nesterov: bmuf: Nesterov block momentum: the workers start a block from the look-ahead point, while the global
            model, which is evaluated, averaged and saved, stays apart from it.
        block_adam: bmuf: carry Adam's moments over the blocks (BMUF-Adam, Chen, Ding and Huo 2020); needs an Adam optimiser,
            and does not go with `overlap`.
        bucket_mb: bsp with overlap: megabytes of gradients that are exchanged together.
        push: asgd: what a worker sends to the parameter servers: "deltas", by how much its optimiser moved its parameters, or
            "gradients", the learning rate times its gradients, to which the servers apply `server_momentum`.
        push_steps, fetch_steps: asgd: steps between two pushes, and between two fetches (Sak 2014 and Downpour: n_push, n_fetch).
        server_momentum: asgd: momentum of the servers, in [0, 1), for "gradients".
        max_staleness: asgd: a push to a shard that has taken in more than so many pushes since the worker fetched it is dropped;
            null for no bound. Below N - 1 most of the pushes may be dropped.
        barrier: asgd, easgd: a worker that has trained on its `sync_frames` waits for the others to do so; if not, the workers
            meet when all together have trained on N * sync_frames, and the fast ones do not wait for the slow.
        elastic_alpha: easgd: moving rate alpha in (0, 1); null means 0.9 / N (Zhang et al. 2015: beta = 0.9).
        elastic_steps: easgd: communication period tau, steps.
        synchronous: easgd: all workers exchange with the centre at the same time, and wait for each other.
        evaluate: easgd: what is evaluated, averaged and saved: the centre variable, or the mean of the workers.
        nonfinite: when a worker's parameters hold NaN or infinity: "skip_worker" leaves that worker out of the mean,
            "skip_block" drops the block of all workers and goes back to the last global model, "raise" stops.
        max_skipped_syncs: stop when more syncs than this in a row had a worker with non-finite parameters.
        lost_after_s: seconds without a sign of life after which a worker counts as lost; one that has died is noticed at once.
    """

    algorithm: str = "bmuf"
    sync_frames: int = 60_000
    ma: bool = True
    ema_alpha: list[float] = field(default_factory=lambda: [0.9])
    average_start_frames: int = 0
    weighting: Literal["workers", "frames"] = "workers"
    reset_local_momentum: bool = True
    warmup_frames: int = 0
    overlap: bool = False
    exchange_dtype: Literal["float32", "bfloat16"] = "float32"
    block_momentum: float | None = None
    block_lr: float = 1.0
    nesterov: bool = False
    block_adam: bool = False
    bucket_mb: float = 4.0
    push: Literal["deltas", "gradients"] = "deltas"
    push_steps: int = 1
    fetch_steps: int = 1
    server_momentum: float = 0.0
    max_staleness: int | None = None
    barrier: bool = False
    elastic_alpha: float | None = None
    elastic_steps: int = 4
    synchronous: bool = False
    evaluate: Literal["centre", "mean"] = "centre"
    nonfinite: Literal["skip_worker", "skip_block", "raise"] = "skip_worker"
    max_skipped_syncs: int = 3
    lost_after_s: float = 30.0

    def __post_init__(self) -> None:
        for name in ("sync_frames", "push_steps", "fetch_steps", "elastic_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("block_momentum", "server_momentum"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise ValueError(f"{name} must be in [0, 1), not {value}")
        for name in ("block_lr", "bucket_mb", "lost_after_s"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")
        for name, rate in [("elastic_alpha", self.elastic_alpha or 0.5), *(("ema_alpha", alpha) for alpha in self.ema_alpha)]:
            if not 0 < rate < 1:
                raise ValueError(f"{name} must be in (0, 1), not {rate}")
        if len(set(self.ema_alpha)) != len(self.ema_alpha):
            raise ValueError("ema_alpha names the same rate twice")
        for name in ("warmup_frames", "average_start_frames", "max_skipped_syncs", "max_staleness"):
            if (getattr(self, name) or 0) < 0:
                raise ValueError(f"{name} must not be negative")

    def momentum_for(self, num_workers: int) -> float:
        """Block momentum for N workers: the set one or 1 - 1/N."""
        return 1.0 - 1.0 / num_workers if self.block_momentum is None else self.block_momentum

    def alpha_for(self, num_workers: int) -> float:
        """Elastic moving rate for N workers: the set one or 0.9 / N."""
        return 0.9 / num_workers if self.elastic_alpha is None else self.elastic_alpha
