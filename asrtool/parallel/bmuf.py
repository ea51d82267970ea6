"""Blockwise model-update filtering (Chen and Huo, ICASSP 2016; 1703.01024, section 2.1) and model averaging."""

import torch
from torch import Tensor

from asrtool.parallel.block import BlockAlgorithm
from asrtool.parallel.config import ParallelConfig


class Bmuf(BlockAlgorithm):
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
    """

    name = "bmuf"

    def _reset_state(self) -> None:
        self.momentum = self.config.momentum_for(self.comm.size)
        self.block_lr = self.config.block_lr
        self.nesterov = self.config.nesterov and self.momentum > 0
        # eta 0 and zeta 1: W = theta, without the rounding of W + (theta - W), and no momentum to keep
        self.plain = self.momentum == 0 and self.block_lr == 1
        self.moves_workers = not self.plain
        self.momentum_shard = self.global_shard.new_zeros(0 if self.momentum == 0 else self.global_shard.shape)

    def _update(self, begin: int, end: int, mean: Tensor) -> None:
        weights = self.global_shard[begin:end]
        if self.plain or self.warming_up:
            weights.copy_(mean)
            return
        scratch = self._scratch[: end - begin]
        step = mean.sub_(self._look_ahead(begin, end, scratch))
        if self.block_lr != 1:
            step.mul_(self.block_lr)
        if self.momentum:
            step = self.momentum_shard[begin:end].mul_(self.momentum).add_(step)
        weights.add_(step)
        mean.copy_(self._look_ahead(begin, end, scratch))

    def _look_ahead(self, begin: int, end: int, scratch: Tensor) -> Tensor:
        """V = W + eta * D for a range, in `scratch`; with classical momentum W itself."""
        weights = self.global_shard[begin:end]
        if not self.nesterov:
            return weights
        torch.mul(self.momentum_shard[begin:end], self.momentum, out=scratch)
        return scratch.add_(weights)

    def _starting_point(self) -> Tensor:
        return self._look_ahead(0, self.global_shard.numel(), torch.empty_like(self.global_shard))

    def _shards(self) -> dict[str, Tensor]:
        shards = super()._shards()
        return {**shards, "momentum": self.momentum_shard} if self.momentum else shards


class ModelAveraging(Bmuf):
    """The global model is the mean of the workers' (McDonald et al. 2010): BMUF with block momentum 0 and learning rate 1."""

    name = "model_averaging"

    def __init__(self, config: ParallelConfig) -> None:
        super().__init__(config)
        self.config.block_momentum, self.config.block_lr, self.config.nesterov = 0.0, 1.0, False
