"""What the trainer knows of a parallel algorithm, and what an algorithm knows of the wires."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
        notes: figures of the algorithm's own since the last report, e.g. {"staleness_mean": 3.1, "staleness_max": 9.0}.
    """

    index: int
    total_frames: int
    block_frames: int
    num_active: int
    nonfinite_ranks: tuple[int, ...] = ()
    skipped: bool = False
    warming_up: bool = False
    finished: bool = False
    notes: Mapping[str, float] = field(default_factory=dict)


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


class Pending(Protocol):
    """An exchange under way."""

    def wait(self) -> None:
        """Returns when it is done.

        Raises:
            AsrtoolError: another rank is lost.
        """


class ShardServer(Protocol):
    """What a rank answers to requests for the parts of the model that it holds (asgd, easgd).

    Both methods are called from another thread than the training's, under a lock, so one at a time for each rank.
    """

    def open(self, source: int, piece: int, header: Sequence[float]) -> list[float]:
        """A request of rank `source` for piece `piece` begins; returns the reply's header. Both headers: HEADER_SIZE numbers."""

    def update(self, source: int, piece: int, begin: int, end: int, values: Tensor) -> None:
        """Elements [begin, end) of that piece, in order and in cache-sized ranges: `values` is what the rank sent (undefined if
        it sent nothing) and becomes, in place, what it gets back."""


HEADER_SIZE = 8
"""Numbers (float64) in the header of a request and of its reply."""


@runtime_checkable
class Comm(Protocol):
    """The exchange between `size` ranks. All methods are collective: every rank calls them in the same order.

    Flat tensors have `size` x shard elements; rank r owns elements [r * shard, (r + 1) * shard).
    Sums are taken in the order of ranks, so that they do not depend on how many shards there are (native collectives of
    NCCL excepted).

    Attributes:
        host: index of the host that each rank is on, from 0: where a host has several ranks, sums are taken within it first.
        alive: ranks that still take part. All, but with a comm whose algorithm can do without a lost rank: such a rank counts as
            zeros in sums and gathers. Changes only within a collective method, on all ranks at the same one.
        bytes_sent: payload that this rank has sent to others so far.

    Raises:
        AsrtoolError: from any method when another rank is lost that is needed.
    """

    rank: int
    size: int
    host: Sequence[int]
    alive: Sequence[int]
    bytes_sent: int

    def computed(self, num_frames: int) -> None:
        """The worker has trained on so many frames more: virtual workers' clocks go by it, real ones do nothing."""

    def allocate(self, num_elements: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Zeros for a flat buffer, placed where `exchange` is fastest."""

    def all_reduce_(self, tensor: Tensor) -> None:
        """Sum over the ranks, in place, equal on all ranks. For small or rare tensors."""

    def all_gather(self, tensor: Tensor) -> Tensor:
        """[n] on each rank -> [size * n] on all, in the order of ranks."""

    def reduce_scatter(self, flat: Tensor, weights: Sequence[float] | None = None) -> Tensor:
        """[size * shard] -> the own shard of the sum of weights[r] * flat of rank r; `flat` may be overwritten.

        The sum of bfloat16 is taken and returned in float32.
        """

    def exchange(self, flat: Tensor, weights: Sequence[float], update: UpdateRange) -> None:
        """reduce_scatter, `update` on ranges of the own shard, all_gather back into `flat`, pipelined where possible.

        `weights` are known to all ranks alike; a rank with weight 0 sends nothing and still receives the result. A bfloat16
        `flat` is summed and updated in float32 and rounded once on the way out.
        """

    def start_exchange(self, flat: Tensor, weights: Sequence[float], update: UpdateRange) -> Pending:
        """`exchange` beside the computation: neither `flat` nor what `update` touches may be used before the end of `wait`.

        Other methods may be called meanwhile; all ranks start their exchanges in the same order.
        """

    def serve(self, server: ShardServer) -> None:
        """Begins to answer the other ranks' requests by `server`; collective. Not every comm can: see `needs_servers`."""

    def request(
        self, owners: Sequence[int], header: Sequence[float], flat: Tensor, send: bool = True, receive: bool = True
    ) -> list[list[float] | None]:
        """Asks the servers of all pieces at once; not collective.

        Piece p of `flat` ([size * shard], piece p being elements [p * shard, (p + 1) * shard)) goes to rank `owners[p]` if
        `send`, and is replaced by the answer if `receive`. Returns the reply headers in the order of pieces, None where the owner
        is lost: that piece of `flat` is then as it was, or in part what the owner still sent.
        """

    def broadcast_(self, tensor: Tensor, source: int = 0) -> None:
        """Overwrites `tensor` by that of rank `source`."""

    def barrier(self) -> None:
        """Waits for all ranks."""

    def close(self) -> None:
        """Releases connections."""
