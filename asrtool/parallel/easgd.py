"""Elastic averaging SGD (Zhang, Choromanska and LeCun, NIPS 2015): what its synchronous and asynchronous forms share."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from asrtool.parallel.config import ParallelConfig
from asrtool.parallel.global_model import GlobalModel, Piece
from asrtool.parallel.protocol import Comm


class Easgd(GlobalModel):
    """Each worker keeps a model x_i of its own; an elastic force holds it near the centre variable c, which all share.

    The paper's update rule, with eta the learning rate, g_i the gradient at x_i and alpha the moving rate:

        x_i(t+1) = x_i(t) - eta * g_i(t) - alpha * (x_i(t) - c(t))
        c(t+1)   = c(t) + alpha * sum over i of (x_i(t) - c(t))

    with the elastic terms at every `elastic_steps`-th step alone. They are applied in `before_step`, between the gradient and the
    optimiser's step, so that both are those of the same x_i.

    Momentum EASGD, EAMSGD, is EASGD with an SGD optimiser that has Nesterov momentum delta:

        v(t+1) = delta * v(t) - eta * g(x(t) + delta * v(t))
        x(t+1) = x(t) + v(t+1) - alpha * (x(t) - c(t))

    torch keeps the look-ahead point y = x + delta * v as the parameters, with v = -eta * momentum_buffer. So the elastic force is
    that on x = y + eta * delta * momentum_buffer, and moves y by as much as x. The local momentum is never reset.

    What is evaluated, averaged and saved is the centre variable, or with `evaluate` "mean" the mean of the workers' x_i at the
    last meeting. A worker that is alone is under no force, and trains by plain SGD; its model is the centre. (With the force on
    a single worker, c would be a moving average of x that slows it down.) Buffers stay each worker's own; the centre's are their
    mean.
    """

    name = "easgd"

    def __init__(self, config: ParallelConfig) -> None:
        super().__init__(config)
        self.steps = 0
        self._takes_mean = config.evaluate == "mean"

    def attach(self, model: nn.Module, optimizer: torch.optim.Optimizer, comm: Comm) -> None:
        self.alpha = self.config.alpha_for(comm.size)
        super().attach(model, optimizer, comm)
        self._note_rates()

    def _extra_shards(self) -> tuple[str, ...]:
        return ("mean",) if self._takes_mean else ()

    def _new_piece(self, piece: int) -> Piece:
        made = super()._new_piece(piece)
        for mean in made.extra.values():
            mean.copy_(made.values)
        return made

    def _evaluated(self, piece: Piece) -> Tensor:
        return piece.extra["mean"] if self._takes_mean else piece.values

    def _note_rates(self) -> None:
        """After the optimiser's step: the learning rates that its look-ahead point comes from, before they change."""
        self._rates = [group["lr"] for group in self.optimizer.param_groups]

    def _to_position(self, flat: Tensor, sign: float = 1.0) -> None:
        """Parameters y -> positions x, in place: adds sign * eta * delta * momentum_buffer, where momentum is Nesterov's."""
        scale = {}
        for group, rate in zip(self.optimizer.param_groups, self._rates):
            if group.get("nesterov"):
                scale.update(dict.fromkeys(group["params"], sign * rate * group["momentum"]))
        for parameter, place in self.buffer.views(flat) if scale else ():
            momentum = self.optimizer.state.get(parameter, {}).get("momentum_buffer")
            if momentum is not None and parameter in scale:
                place.add_(momentum, alpha=scale[parameter])

    def _form_mean(self, work: Tensor, weights: Sequence[float]) -> None:
        """The mean of the workers' positions, those with weight 0 left out, into the own pieces; `work` is overwritten."""
        work.copy_(self.buffer.flat)
        self._to_position(work)
        total = sum(weights)
        for piece, owner in enumerate(self.owners):
            if owner != piece:  # of a lost rank
                part = self._view(work, piece)
                if not weights[self.comm.rank]:
                    part.zero_()
                self.comm.all_reduce_(part)
                if owner == self.comm.rank:
                    torch.div(part, total, out=self.pieces[piece].extra["mean"])
        own = self.comm.reduce_scatter(work, weights)
        torch.div(own, total, out=self.pieces[self.comm.rank].extra["mean"])

    def _forget_momentum(self) -> None:
        """After parameters that were not finite: nothing of them may come back with the optimiser's next step."""
        self.optimizer.state.clear()
        self.optimizer.zero_grad()

    def _local_state(self) -> dict[str, Any]:
        self.buffer.pack()
        return {
            "local": self.buffer.flat.cpu().clone(),
            "local_buffers": self.buffers.read().cpu(),
            "local_steps": self.steps,
            "local_rates": self._rates,
        }

    @torch.no_grad()
    def _restart(self, state: dict[str, Any]) -> None:
        self.steps = state.get("local_steps", 0)
        self._rates = state.get("local_rates", self._rates)
        self.buffer.flat.copy_(self._gather_pieces(lambda piece: piece.values))  # from here on all servers are ready
        if "local" in state:
            self.buffer.flat.copy_(state["local"])
        self.buffer.unpack()
        self.buffers.write(state.get("local_buffers", self.global_buffers))
