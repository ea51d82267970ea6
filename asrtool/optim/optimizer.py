"""The optimiser of a worker."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn


@dataclass
class OptimizerConfig:
    """Momentum SGD.

    Attributes:
        momentum: of the worker's own steps (block momentum is a matter of `parallel`).
        nesterov: Nesterov's form of it.
        weight_decay: L2.
        gradient: "mean" divides the sum of a minibatch's gradients by the size of a full minibatch (streams x chunk, or
            batch), so that a frame weighs the same in every minibatch, full or not; "sum" does not divide, as Kaldi's
            nnet1: a rate of 0.008 there on minibatches of 256 is 2.0 with "mean".
        max_gradient_norm: gradients are scaled down to this L2 norm (of the "mean" or "sum"); 0 for no clipping.
    """

    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    gradient: Literal["mean", "sum"] = "mean"
    max_gradient_norm: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1 or self.weight_decay < 0 or self.max_gradient_norm < 0:
            raise ValueError("optimizer: momentum must be in [0, 1), weight_decay and max_gradient_norm >= 0")


def make_optimizer(config: OptimizerConfig, model: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    """SGD in torch's fused form: one pass over the parameters."""
    return torch.optim.SGD(
        model.parameters(),
        lr=learning_rate,
        momentum=config.momentum,
        nesterov=config.nesterov,
        weight_decay=config.weight_decay,
        fused=True,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
