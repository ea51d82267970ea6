"""What the trainer knows of a parallel algorithm, and what an algorithm knows of the wires."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class SyncReport:
    """What a synchronisation did; the same on every rank.

    Attributes:
        index: number of global models so far, from 1 over the whole training; a skipped block makes none.
        total_frames: frames of all workers in the global model, from the start of the training.
        block_frames: frames of all workers in this block alone.
        num_active: workers whose block went into the global model.
        nonfinite_ranks: ranks left out because their parameters held NaN or infinity.
        skipped: the whole block was dropped.
        warming_up: the block was rank 0's alone.
        finished: every worker is out of data: the last sync of `finish`.
    """

    index: int
    total_frames: int
    block_frames: int
    num_active: int
    nonfinite_ranks: tuple[int, ...] = ()
    skipped: bool = False
    warming_up: bool = False
    finished: bool = False


@runtime_checkable
class ParallelAlgorithm(Protocol):
    """A training loop calls, for every mini-batch: backward, before_step, optimizer.step, after_step.

    `attach`, `after_step`, `finish`, `models`, `global_parameters` and `load_state_dict` may talk to the other ranks. The last
    three must be called by all ranks at the same point: after `attach`, after `finish`, or in an `on_sync` hook, which runs on
    every rank at each sync, also on those that wait in `finish`.
    """

    name: str
    on_sync: list[Callable[[SyncReport], None]]

    def attach(self, model: nn.Module, optimizer: torch.optim.Optimizer, comm: "Comm") -> None:
        """Every worker starts from rank 0's parameters. Move the model to its device before."""

    def before_step(self) -> None:
        """Between backward and the optimiser's step: gradient-level work."""

    def after_step(self, num_frames: int) -> None:
        """After the optimiser's step on `num_frames` frames: parameter-level work, when a block is due."""

    def finish(self) -> None:
        """Out of data, e.g. at the end of an epoch: answers the others with weight 0 until they are out of data too.

        Afterwards training may go on with `after_step`.
        """

    def global_parameters(self) -> dict[str, Tensor]:
        """The global model, names as in `model.state_dict()`; copies on the model's device."""

    def models(self) -> dict[str, dict[str, Tensor]]:
        """All models to evaluate and save: the global one under `name`, then the averages ("ma", "ema")."""

    def state_dict(self) -> dict[str, Any]:
        """All of this rank's state (shards and counters); needs no other rank."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from `state_dict` of the same rank, or from `state.merge_states` for another number of ranks."""


UpdateRange = Callable[[int, int, Tensor], None]
"""update(begin, end, sum): turns the sum over the workers for elements [begin, end) of the own shard, in place,
into the values that all workers get back."""


@runtime_checkable
class Comm(Protocol):
    """The exchange between `size` ranks. All methods are collective: every rank calls them in the same order.

    Flat tensors have `size` x shard elements; rank r owns elements [r * shard, (r + 1) * shard).
    Sums are taken in the order of ranks, so that they do not depend on how many shards there are (native collectives of
    NCCL excepted).

    Raises:
        AsrtoolError: from any method when another rank is lost.
    """

    rank: int
    size: int

    def allocate(self, num_elements: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Zeros for a flat buffer, placed where `exchange` is fastest."""

    def all_reduce_(self, tensor: Tensor) -> None:
        """Sum over the ranks, in place, equal on all ranks. For small or rare tensors."""

    def all_gather(self, tensor: Tensor) -> Tensor:
        """[n] on each rank -> [size * n] on all, in the order of ranks."""

    def reduce_scatter(self, flat: Tensor, weights: Sequence[float] | None = None) -> Tensor:
        """[size * shard] -> the own shard of the sum of weights[r] * flat of rank r; `flat` may be overwritten."""

    def exchange(self, flat: Tensor, weights: Sequence[float], update: UpdateRange) -> None:
        """reduce_scatter, `update` on ranges of the own shard, all_gather back into `flat`, pipelined where possible.

        `weights` are known to all ranks alike; a rank with weight 0 sends nothing and still receives the result.
        """

    def broadcast_(self, tensor: Tensor, source: int = 0) -> None:
        """Overwrites `tensor` by that of rank `source`."""

    def barrier(self) -> None:
        """Waits for all ranks."""

    def close(self) -> None:
        """Releases connections."""
