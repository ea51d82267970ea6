"""One minibatch: forward, loss, backward, clipping, update. A bad one leaves the model as it was."""

import math

import torch
from torch import Tensor

from asrtool.loader.batch import Batch
from asrtool.nnet.model import reset_state
from asrtool.optim.optimizer import clip_gradients, set_learning_rate
from asrtool.train.bad_loss import BadLossPolicy
from asrtool.train.clock import Clock
from asrtool.train.parts import Parts
from asrtool.train.position import Position


class MinibatchStep:
    """Trains a worker's model on one minibatch after the other; on a GPU without waiting for any result.

    A bad loss makes the gradient NaN. What is done then depends on the gradient after `before_step`: if the algorithm has
    exchanged gradients, it has left this worker's out, and the worker takes the common step; if not, it takes none.
    """

    def __init__(self, parts: Parts, position: Position, policy: BadLossPolicy, clock: Clock) -> None:
        self.parts = parts
        self.position = position
        self.policy = policy
        self.clock = clock
        self.device = parts.device
        self._parameters = [parameter for parameter in parts.model.parameters() if parameter.requires_grad]
        divisor = parts.train_loader.nominal_targets if parts.config.optimizer.gradient == "mean" else 1
        self._scale = torch.tensor(1.0 / divisor, device=self.device)
        self._bad_scale = torch.tensor(math.nan, device=self.device)

    def __call__(self, batch: Batch, learning_rate: float) -> None:
        parts, position, config = self.parts, self.position, self.parts.config
        set_learning_rate(parts.optimizer, learning_rate)
        state = reset_state(parts.model, position.streams, batch.reset_B.to(self.device, non_blocking=True))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=config.bf16):
            logits, state = parts.model(batch.x_BTF.to(self.device, non_blocking=True), state)
        loss, errors = parts.criterion(logits, batch)
        good = loss.detach() <= self.policy.highest_loss(batch)  # NaN compares as false
        parts.optimizer.zero_grad()
        (loss * torch.where(good, self._scale, self._bad_scale)).backward()
        self.clock.spent("step")
        parts.algorithm.before_step()
        self.clock.spent("sync")
        finite = torch.isfinite(clip_gradients(config.optimizer, self._parameters))
        self._update(finite)
        bad = ~(good & finite)
        position.streams = tuple(tensor.detach().masked_fill(bad, 0.0) for tensor in state)
        position.frames_in_epoch += batch.num_frames
        self.policy.take(batch, loss.detach(), errors, bad)

    def _update(self, finite: Tensor) -> None:
        """The optimiser's step, unless the gradient is not finite."""
        optimizer = self.parts.optimizer
        if self.policy.at_once or not optimizer.state:  # the fused step has no momentum to leave alone before its first
            if finite:
                optimizer.step()
            return
        optimizer.found_inf = (~finite).float()  # torch's fused optimisers do nothing where this is 1
        optimizer.step()
        del optimizer.found_inf
