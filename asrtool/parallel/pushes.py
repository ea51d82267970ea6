"""What a worker of asgd has not pushed yet: its parameters' displacement, or a sum of gradients."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from asrtool.parallel.flat_buffer import FlatBuffer
from asrtool.parallel.piece_server import Wish

Ask = Callable[[Wish, Tensor], list[bool]]
"""ask(wish, flat): a request to all servers; for each piece, whether it was answered."""


class Unpushed(Protocol):
    """Both kinds keep it in one flat tensor `work` beside the parameters `flat`, both [size * shard_size].

    A piece whose server does not answer keeps the worker's own values; what was pushed to it is lost.
    """

    work: Tensor

    def restart(self) -> None:
        """The parameters (packed) are those that the servers know."""

    def took_step(self) -> None:
        """After the optimiser's step; the gradients are still there."""

    def is_finite(self) -> bool:
        """Whether it may be pushed; the parameters' own finiteness is tested elsewhere."""

    def exchange(self, wish: Wish, ask: Ask) -> None:
        """Pushes it, fetches, or both at once. What is not pushed is there after a fetch: flat = fetched + unpushed."""

    def drop(self, ask: Ask) -> None:
        """Forgets it and goes to what the servers have."""


class Deltas:
    """By how much the parameters moved since `work`, the point that the last push or fetch left them at."""

    def __init__(self, buffer: FlatBuffer, work: Tensor) -> None:
        self.buffer, self.work = buffer, work

    def restart(self) -> None:
        self.work.copy_(self.buffer.flat)

    def took_step(self) -> None:
        pass

    def is_finite(self) -> bool:
        return True

    def exchange(self, wish: Wish, ask: Ask) -> None:
        flat, work = self.buffer.flat, self.work
        if Wish.PUSH not in wish:
            flat.sub_(work)
            ask(wish, work)  # where there is no answer `work` stays, and so do the parameters
            flat.add_(work)
            return
        torch.sub(flat, work, out=work)
        answered = ask(wish, work)
        self._arrive([known and Wish.FETCH in wish for known in answered])

    def drop(self, ask: Ask) -> None:
        self.buffer.flat.copy_(self.work)
        self._arrive(ask(Wish.FETCH, self.work))

    def _arrive(self, fetched: list[bool]) -> None:
        """Makes parameters and `work` equal: to `work` in the pieces that were fetched, to the parameters in the others."""
        size = len(fetched)
        for parameters, point, is_new in zip(self.buffer.flat.chunk(size), self.work.chunk(size), fetched):
            if is_new:
                parameters.copy_(point)
            else:
                point.copy_(parameters)


class Gradients:
    """`work` = minus the sum over the steps of learning rate times gradient: a step of plain SGD, without momentum.

    The gradient is the one that the optimiser got: clipped, but without weight decay. A minibatch whose gradient is not finite
    is left out, as the training loop left out its step.
    """

    def __init__(self, buffer: FlatBuffer, work: Tensor, optimizer: torch.optim.Optimizer) -> None:
        self.buffer, self.work, self.optimizer = buffer, work, optimizer

    def restart(self) -> None:
        self.work.zero_()

    def took_step(self) -> None:
        rates = {parameter: group["lr"] for group in self.optimizer.param_groups for parameter in group["params"]}
        sums = [parameter.grad.sum().float() for parameter in rates if parameter.grad is not None]
        if not sums:
            return
        bad = ~torch.isfinite(torch.stack(sums).sum())
        wait = bad.device.type == "cpu"  # not for a GPU's verdict
        if wait and bad:
            return
        for parameter, place in self.buffer.views(self.work):
            if parameter.grad is not None and parameter in rates:
                gradient = parameter.grad if wait else parameter.grad.masked_fill(bad, 0.0)
                place.sub_(gradient, alpha=rates[parameter])

    def is_finite(self) -> bool:
        return bool(torch.isfinite(self.work.sum()))

    def exchange(self, wish: Wish, ask: Ask) -> None:
        if Wish.PUSH in wish:
            answered = ask(wish, self.work)
            if Wish.FETCH in wish:
                self._each_piece(answered, lambda parameters, fetched: parameters.copy_(fetched))
            self.work.zero_()
        else:
            self._each_piece(ask(wish, self.buffer.flat), lambda parameters, unpushed: parameters.add_(unpushed))

    def drop(self, ask: Ask) -> None:
        self._each_piece(ask(Wish.FETCH, self.work), lambda parameters, fetched: parameters.copy_(fetched))
        self.work.zero_()

    def _each_piece(self, answered: list[bool], move: Callable[[Tensor, Tensor], object]) -> None:
        size = len(answered)
        for parameters, work, known in zip(self.buffer.flat.chunk(size), self.work.chunk(size), answered):
            if known:
                move(parameters, work)
