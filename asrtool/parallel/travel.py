"""How parameters travel at a synchronisation: as they are, or as differences in bfloat16."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from asrtool.parallel.exchange.summation import ranges, update_elements
from asrtool.parallel.protocol import Comm


class Travel(Protocol):
    """What is exchanged in place of the flat buffer, and how it becomes parameters again.

    Attributes:
        values: the tensor to exchange.
        start: the point from which all workers start, [size * shard], equal on all to the bit; not during an exchange.
    """

    values: Tensor
    start: Tensor

    def pack(self, flat: Tensor) -> None:
        """The worker's parameters -> `values`."""

    def enter(self, begin: int, end: int, mean: Tensor) -> None:
        """On the owner, in place: elements [begin, end) of the shard of the mean of `values` -> of the workers' parameters."""

    def leave(self, begin: int, end: int, start: Tensor) -> None:
        """On the owner, in place: that range of the workers' next starting point -> what goes back to them."""

    def land(self) -> None:
        """After the exchange, once: `values` -> `start`."""

    def restart(self, flat: Tensor) -> None:
        """All workers are at `flat`, equal on all: the first block starts, or a block starts again."""

    def own_start(self) -> Tensor | None:
        """The own shard of `start`, where the global model does not tell it: it is to be saved."""


class InPlace:
    """The parameters themselves, in `flat`, and the result comes where they were."""

    def __init__(self, flat: Tensor) -> None:
        self.values = self.start = flat

    def pack(self, flat: Tensor) -> None:
        if flat is not self.values:
            self.values.copy_(flat)

    def enter(self, begin: int, end: int, mean: Tensor) -> None:
        pass

    def leave(self, begin: int, end: int, start: Tensor) -> None:
        pass

    def land(self) -> None:
        pass

    def restart(self, flat: Tensor) -> None:
        self.pack(flat)

    def own_start(self) -> None:
        return None


class Differences:
    """Half the bytes: differences to the point where the block started, which all workers know, travel in bfloat16.

    S(t) is the point from which the workers start block t + 1: S(0) = V(0), equal on all to the bit. rn rounds to bfloat16, whose
    8 bits make |rn(d) - d| <= u |d| with u = 2^-8. In block t worker i comes to theta_i(t), and

        d_i(t) = rn(theta_i(t) - S(t-1))                  to the owners of the shards
        theta(t) = V(t-1) + mean of d_i(t)                in float32, from which the algorithm makes W(t) and V(t)
        r(t) = rn(V(t) - S(t-1))                          back to the workers
        S(t) = S(t-1) + r(t)                              in float32, the same sum on every worker

    W, V, block momentum and averages stay float32 on their owners. What the algorithm learns from a block is
    G(t) = theta(t) - V(t-1) = mean of d_i(t), whatever the workers' start was rounded to, so that to rounding in float32:

        |G(t) - mean(theta_i(t) - S(t-1))| <= u mean|theta_i(t) - S(t-1)|        of that block alone, in each element
        |S(t) - V(t)| <= u |V(t) - S(t-1)|

    The second does not grow with t: r(t) is taken against what the workers really have, so the error of one way back is part of
    the next difference (error feedback); with all |V(t) - V(t-1)| <= c it stays below u c / (1 - u). The first is not fed
    back, since that would need another buffer on each worker: over T syncs these errors add up to at most u times the path that
    the workers went, and like sqrt(T) as roundings of either sign do. u is the error of a gradient in bfloat16, of a whole block.

    S is saved with the workers' state. Another number of workers starts from V instead.

    Memory: a flat buffer for S, and half a one for what travels.

    Args:
        flat: the flat buffer of parameters, [size * shard].
        own: the own shard in it.
        start_of: elements [begin, end) of the own shard of V(t-1).
    """

    def __init__(self, comm: Comm, flat: Tensor, own: slice, start_of: Callable[[int, int], Tensor]) -> None:
        self.values = comm.allocate(flat.numel(), torch.bfloat16, flat.device)
        self._own = own
        self._start_of = start_of
        self.start = flat.clone()

    def pack(self, flat: Tensor) -> None:
        for begin, end in ranges(0, flat.numel(), update_elements(flat.device)):
            self.values[begin:end].copy_(flat[begin:end] - self.start[begin:end])

    def enter(self, begin: int, end: int, mean: Tensor) -> None:
        mean.add_(self._start_of(begin, end))

    def leave(self, begin: int, end: int, start: Tensor) -> None:
        start.sub_(self.start[self._own][begin:end])

    def land(self) -> None:
        self.start.add_(self.values)

    def restart(self, flat: Tensor) -> None:
        self.start.copy_(flat)

    def own_start(self) -> Tensor:
        return self.start[self._own]
