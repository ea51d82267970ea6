"""Blockwise model-update filtering (Chen and Huo, ICASSP 2016; 1703.01024, section 2.1) and model averaging."""

from typing import Any

import torch
from torch import Tensor, nn

from asrtool.errors import AsrtoolError
from asrtool.parallel.block_adam import AdamMoments
from asrtool.parallel.config import ParallelConfig
from asrtool.parallel.overlap import OverlappedBlocks
from asrtool.parallel.protocol import Comm
from asrtool.parallel.range_updates import block_momentum_
from asrtool.parallel.votes import Decision


class Bmuf(OverlappedBlocks):
    """A stochastic gradient step with momentum on the global model for each block.

    With theta the mean of the workers, W the global model, V the point that the workers started the block from, block
    momentum eta and block learning rate zeta:

        G(t) = theta(t) - V(t-1)
        D(t) = eta * D(t-1) + zeta * G(t)
        W(t) = W(t-1) + D(t)
        V(t) = W(t)                  classical block momentum
        V(t) = W(t) + eta * D(t)     Nesterov block momentum

    Only V is sent to the workers; W is what is evaluated, averaged and saved. V follows torch.optim.SGD on the gradient -G. While
    rank 0 warms up alone, W is its model and D stays zero.

    `block_adam` carries the moments of Adam over the blocks: BMUF-Adam, see block_adam.py. `overlap` exchanges while the workers
    train on, see overlap.py; `exchange_dtype: bfloat16` halves the bytes, see travel.py. Memory beside what these say: P/N for
    the block momentum.
    """

    name = "bmuf"

    def attach(self, model: nn.Module, optimizer: torch.optim.Optimizer, comm: Comm) -> None:
        self.momentum = self.config.momentum_for(comm.size)
        self.block_lr = self.config.block_lr
        self.nesterov = self.config.nesterov and self.momentum > 0
        # eta 0 and zeta 1: W = theta, without the rounding of W + (theta - W), and no momentum to keep
        self.plain = self.momentum == 0 and self.block_lr == 1
        self.moves_workers = not self.plain
        super().attach(model, optimizer, comm)
        self.moments = AdamMoments(optimizer, self.buffer, comm, self.shard.extra) if self.config.block_adam else None
        if self.moments is not None and self.config.overlap:
            raise AsrtoolError(
                "block_adam and overlap do not go together: the moments would be one block behind; leave one of them out"
            )

    def before_step(self) -> None:
        if self.moments is not None:
            self.moments.begin_step()

    def _extra_shards(self) -> tuple[str, ...]:
        return (("momentum",) if self.momentum else ()) + (AdamMoments.SHARDS if self.config.block_adam else ())

    def _update(self, begin: int, end: int, mean: Tensor) -> None:
        weights = self.shard.values[begin:end]
        if self.plain or self.warming_up:
            weights.copy_(mean)
            return
        if self.momentum:
            momentum = self.shard.extra["momentum"][begin:end]
            block_momentum_(mean, weights, momentum, self.momentum, self.block_lr, self.nesterov)
        else:
            mean.copy_(weights.add_(mean.sub_(weights).mul_(self.block_lr)))

    def _look_ahead(self, begin: int, end: int, scratch: Tensor) -> Tensor:
        """V = W + eta * D for a range, in `scratch`; with classical momentum W itself."""
        weights = self.shard.values[begin:end]
        if not self.nesterov:
            return weights
        torch.mul(self.shard.extra["momentum"][begin:end], self.momentum, out=scratch)
        return scratch.add_(weights)

    def _move(self, decision: Decision) -> None:
        super()._move(decision)
        if self.moments is not None and self.warming_up:
            self.moments.move(decision, eta=0.0, zeta=1.0, nesterov=False)
            self.moments.rho = 0.0  # as D is zero
        elif self.moments is not None:
            self.moments.move(decision, self.momentum, self.block_lr, self.nesterov)

    def _restart_workers(self, start: Tensor | None) -> None:
        super()._restart_workers(start)
        if self.moments is not None:
            self.moments.restart()

    def _treat_optimizer(self, decision: Decision) -> None:
        if self.moments is None:  # they tell all workers what theirs are, also one that was left out
            super()._treat_optimizer(decision)

    def _starting_point(self, begin: int, end: int, scratch: Tensor) -> Tensor:
        return self._look_ahead(begin, end, scratch)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | (self.moments.state_dict() if self.moments is not None else {})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.moments is not None:
            self.moments.load_counts(state)
        super().load_state_dict(state)
        if self.moments is not None and state["world_size"] == self.comm.size:
            self.moments.began = state["local_adam_began"]


class ModelAveraging(Bmuf):
    """The global model is the mean of the workers' (McDonald et al. 2010): BMUF with block momentum 0 and learning rate 1.

    With `weighting: frames` each worker counts by the frames of its block: what kaldi-aslp calls BSP. The algorithm named `bsp`
    here averages gradients at every step.
    """

    name = "model_averaging"

    def __init__(self, config: ParallelConfig) -> None:
        super().__init__(config)
        self.config.block_momentum, self.config.block_lr, self.config.nesterov = 0.0, 1.0, False
        self.config.block_adam = False
