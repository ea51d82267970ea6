"""The optimiser of a worker: momentum SGD, Adam or AdamW, and the clipping of gradients before its step."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn


@dataclass
class OptimizerConfig:
    """Attributes:
    kind: "sgd" (with momentum), "adam", "adamw".
    momentum: of the worker's own steps (sgd; block momentum is a matter of `parallel`).
    nesterov: Nesterov's form of it (sgd).
    betas, eps: of adam and adamw.
    weight_decay: L2, added to the gradient (sgd, adam), or decoupled from it: weights shrink by rate x decay (adamw).
    decay_biases: decay biases and other vectors (peepholes, scales) too. Kaldi's nnet1 decays matrices alone.
    gradient: "mean" divides the sum of a minibatch's gradients by the size of a full minibatch (streams x chunk, or
        batch), so that a frame weighs the same in every minibatch, full or not; "sum" does not divide, as Kaldi's
        nnet1: a rate of 0.008 there on minibatches of 256 is 2.0 with "mean".
    max_gradient: each element of the gradient is clipped to [-max_gradient, max_gradient] first, as by the gradient
        clipping of Kaldi's nnet1 (of the "mean" or "sum"); 0 for none.
    max_gradient_norm: then gradients are scaled down to this L2 norm of all together; 0 for none.
    """

    kind: Literal["sgd", "adam", "adamw"] = "sgd"
    momentum: float = 0.9
    nesterov: bool = False
    betas: tuple[float, ...] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    decay_biases: bool = False
    gradient: Literal["mean", "sum"] = "mean"
    max_gradient: float = 0.0
    max_gradient_norm: float = 1.0

    def __post_init__(self) -> None:
        self.betas = tuple(self.betas)
        if not 0 <= self.momentum < 1 or self.weight_decay < 0:
            raise ValueError("optimizer: momentum must be in [0, 1), weight_decay >= 0")
        if self.max_gradient < 0 or self.max_gradient_norm < 0:
            raise ValueError("optimizer: max_gradient and max_gradient_norm must be >= 0")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas) or self.eps <= 0:
            raise ValueError("optimizer: betas must be two numbers in [0, 1), eps positive")


def make_optimizer(config: OptimizerConfig, model: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    """The optimiser in torch's fused form: one pass over the parameters."""
    groups = parameter_groups(config, model)
    if config.kind == "sgd":
        return torch.optim.SGD(groups, lr=learning_rate, momentum=config.momentum, nesterov=config.nesterov, fused=True)
    kind = torch.optim.Adam if config.kind == "adam" else torch.optim.AdamW
    return kind(groups, lr=learning_rate, betas=config.betas, eps=config.eps, fused=True)


def parameter_groups(config: OptimizerConfig, model: nn.Module) -> list[dict]:
    """Parameters that are decayed and those that are not; one group where there is no difference."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.dim() > 1]
    vectors = [parameter for parameter in trained if parameter.dim() <= 1]
    if config.decay_biases or config.weight_decay == 0 or not matrices or not vectors:
        decay = config.weight_decay if matrices or config.decay_biases else 0.0
        return [{"params": trained, "weight_decay": decay}]
    return [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}]


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate


@torch.no_grad()
def clip_gradients(config: OptimizerConfig, parameters: list[nn.Parameter]) -> Tensor:
    """Clips in place; returns the L2 norm of the gradient as it was, not finite when the gradient is not."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = clipped_norm = nn.utils.get_total_norm(gradients)
    if config.max_gradient > 0:
        for gradient in gradients:
            gradient.clamp_(-config.max_gradient, config.max_gradient)
        if config.max_gradient_norm > 0:
            clipped_norm = nn.utils.get_total_norm(gradients)
    if config.max_gradient_norm > 0:
        nn.utils.clip_grads_with_norm_(parameters, config.max_gradient_norm, clipped_norm)
    return norm
