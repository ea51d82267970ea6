"""The global model in pieces, with its averages: what algorithms share whatever moves it."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from asrtool.errors import AsrtoolError
from asrtool.parallel import state as states
from asrtool.parallel.averaging import Averages, average_names
from asrtool.parallel.buffers import ModelBuffers, agreeing_mean, follow_replicated
from asrtool.parallel.config import ParallelConfig
from asrtool.parallel.exchange.summation import ranges, update_elements
from asrtool.parallel.flat_buffer import FlatBuffer
from asrtool.parallel.protocol import Comm, SyncReport


class Piece:
    """One of the equal pieces of the flat buffer, as its owner keeps it. All tensors are [shard_size].

    Attributes:
        values: of the global model.
        extra: what moves it, or another view of it: name -> tensor, zeros at first.
        averages: MA and EMAs.
    """

    def __init__(self, values: Tensor, extra: Sequence[str], averages: dict[str, float | None]) -> None:
        self.values = values.clone()
        self.extra = {name: torch.zeros_like(values) for name in extra}
        self.averages = Averages(averages, values)

    def shards(self) -> dict[str, Tensor]:
        """Everything, by the names that it is saved under."""
        return {"global": self.values, **self.extra, **self.averages.shards}


class GlobalModel:
    """Keeps the global model and its averages, and gathers, saves and loads them. Subclasses move it.

    The flat buffer has `size` pieces. Piece p is owned by rank p at first; `owners` says by whom now.
    """

    name: ClassVar[str] = "global"

    def __init__(self, config: ParallelConfig) -> None:
        self.config = dataclasses.replace(config)
        self.on_sync: list[Callable[[SyncReport], None]] = []
        self.num_syncs = 0
        self.total_frames = 0
        self.pending_frames = 0
        self.warming_up = False
        self._troubled_syncs = 0

    # --- the protocol

    def attach(self, model: nn.Module, optimizer: torch.optim.Optimizer, comm: Comm) -> None:
        self.model, self.optimizer, self.comm = model, optimizer, comm
        self.buffer = FlatBuffer(model, comm)
        self.buffers = ModelBuffers(model)
        self._check_alike()
        comm.broadcast_(self.buffer.flat)
        self.buffer.unpack()
        buffers = self.buffers.read()
        if buffers.numel():
            comm.broadcast_(buffers)
            self.buffers.write(buffers)
        self.global_buffers = buffers
        self.buffer_averages = Averages(self._average_names(), buffers)
        self._scratch = self.buffer.flat.new_empty(min(update_elements(self.buffer.flat.device), self.buffer.shard_size))
        self.owners = list(range(comm.size))
        self.pieces = {comm.rank: self._new_piece(comm.rank)}

    def before_step(self) -> None:
        pass

    def global_parameters(self) -> dict[str, Tensor]:
        return self.gather(self.name)

    def models(self) -> dict[str, dict[str, Tensor]]:
        return {name: self.gather(name) for name in self.model_names()}

    # --- beyond the protocol

    def model_names(self) -> list[str]:
        """The names that `gather` knows: the algorithm's own for the global model, then the averages."""
        return [self.name, *self.buffer_averages.shards]

    def gather(self, name: str) -> dict[str, Tensor]:
        """The whole of one model, as in `model.state_dict()`; every rank must call it."""
        if name == self.name:
            whole, buffers = self._gather_pieces(self._evaluated), self.global_buffers
        else:
            whole = self._gather_pieces(lambda piece: piece.averages.shards[name])
            buffers = self.buffer_averages.shards[name]
        return self.buffer.to_state_dict(whole, self.buffers.split(buffers))

    def state_dict(self) -> dict[str, Any]:
        pieces = sorted(self.pieces)
        shards = [self.pieces[piece].shards() for piece in pieces]
        result = {
            "format": states.FORMAT,
            "algorithm": self.name,
            "rank": self.comm.rank,
            "world_size": self.comm.size,
            "num_elements": self.buffer.num_elements,
            "layout": self.buffer.layout(),
            "pieces": pieces,
            "shards": {name: torch.cat([shard[name].cpu() for shard in shards]) for name in shards[0]},
            "buffers": {name: vector.cpu().clone() for name, vector in self._replicated().items()},
            "counters": {name: getattr(self, name) for name in states.COUNTERS},
            "average_count": self.buffer_averages.count,
            "pending_frames": self.pending_frames,
        }
        return {**result, **self._local_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        states.check(state, self.name, self.buffer.layout())
        size, rank, owned = self.comm.size, self.comm.rank, sorted(self.pieces)
        same_ranks = state["world_size"] == size
        if same_ranks and (state["rank"], states.pieces_of(state)) != (rank, owned):
            raise AsrtoolError(
                f"rank {rank}: this is the state of rank {state['rank']}, or of other workers; load each rank's own"
            )
        for index, piece in enumerate(owned):
            if same_ranks:
                saved = {name: shard.chunk(len(owned))[index] for name, shard in state["shards"].items()}
            else:
                saved = states.shards_of(state, piece, size)
            states.copy_known(saved, self.pieces[piece].shards())
            self.pieces[piece].averages.count = state["average_count"]
        states.copy_known(state["buffers"], self._replicated())
        for name in states.COUNTERS:
            setattr(self, name, state["counters"][name])
        self.buffer_averages.count = state["average_count"]
        self._restart(state if same_ranks else {})
        self.pending_frames = state["pending_frames"] if same_ranks else 0

    # --- for subclasses

    def _extra_shards(self) -> tuple[str, ...]:
        """What a piece has beside the global model and the averages."""
        return ()

    def _evaluated(self, piece: Piece) -> Tensor:
        """What of a piece is evaluated, averaged and saved."""
        return piece.values

    def _local_state(self) -> dict[str, Any]:
        """What a worker has for itself alone; keys begin with "local", and another number of workers does not get them."""
        return {}

    def _restart(self, state: dict[str, Any]) -> None:
        """All pieces are loaded: brings this worker to where it goes on, from its `_local_state` in `state`, if there is one."""
        raise NotImplementedError

    def _take_over_lost(self) -> None:
        """After a collective: gives the pieces of ranks that it was without to others. Here, no rank can be lost."""

    def _is_healthy(self) -> bool:
        """Whether the worker's parameters are finite (packed before) and its buffers not NaN."""
        return self.buffer.is_finite() and not bool(torch.isnan(self.buffers.read()).any())

    def _view(self, flat: Tensor, piece: int) -> Tensor:
        return flat[piece * self.buffer.shard_size : (piece + 1) * self.buffer.shard_size]

    def _new_piece(self, piece: int) -> Piece:
        """From this worker's own parameters; its averages begin there."""
        return Piece(self._view(self.buffer.flat, piece), self._extra_shards(), self._average_names())

    def _average_names(self) -> dict[str, float | None]:
        return average_names(self.config.ma, self.config.ema_alpha)

    def _replicated(self) -> dict[str, Tensor]:
        return {"global": self.global_buffers, **self.buffer_averages.shards}

    def _gather_pieces(self, part: Callable[[Piece], Tensor]) -> Tensor:
        """[size * shard_size] on all ranks; once more when a rank was lost meanwhile, whose piece another one has now."""
        comm = self.comm
        while True:
            owners = list(self.owners)
            whole = comm.all_gather(part(self.pieces[comm.rank]))
            for piece, owner in enumerate(owners):
                if owner != piece:
                    view = self._view(whole, piece).zero_()
                    if owner == comm.rank:
                        view.copy_(part(self.pieces[piece]))
                    comm.all_reduce_(view)
            self._take_over_lost()
            if owners == self.owners:
                return whole

    @torch.no_grad()
    def _advance(self, frames: int, weights: Sequence[float], write_buffers: bool) -> None:
        """Counts a new global model, lets the averages follow it, and takes the mean of the model's buffers.

        Args:
            frames: of all workers since the last one.
            weights: of the workers, for the buffers.
            write_buffers: the workers go on with the mean of the buffers.
        """
        self.num_syncs += 1
        self.total_frames += frames
        follow = self.total_frames >= self.config.average_start_frames
        if follow:
            for piece in self.pieces.values():
                piece.averages.advance()
                for begin, end in ranges(0, piece.values.numel(), self._scratch.numel()):
                    piece.averages.follow(begin, end, self._evaluated(piece)[begin:end])
            self.buffer_averages.advance()
        if self.buffers.num_elements:
            rows = self.comm.all_gather(self.buffers.read()).view(self.comm.size, -1)
            weights = [weight * (rank in self.comm.alive) for rank, weight in enumerate(weights)]
            if any(weights):
                self.global_buffers.copy_(agreeing_mean(rows, weights))
            if write_buffers:
                self.buffers.write(self.global_buffers)
            if follow:
                follow_replicated(self.buffer_averages, self.global_buffers)

    def _check_alike(self) -> None:
        """All ranks must train the same model by the same settings."""
        digest = states.fingerprint(self.buffer.layout(), self.config)
        digests = self.comm.all_gather(torch.tensor([digest], dtype=torch.int64, device=self.buffer.flat.device)).tolist()
        strange = [rank for rank, other in enumerate(digests) if other != digests[0]]
        if strange:
            raise AsrtoolError(f"rank {strange[0]} has another model or other parallel settings than rank 0; start all alike")

    def _count_trouble(self, nonfinite_ranks: Sequence[int], what_is_done: str) -> None:
        """Stops all ranks alike where the policy says so."""
        if not nonfinite_ranks:
            self._troubled_syncs = 0
            return
        self._troubled_syncs += 1
        ranks = ", ".join(map(str, nonfinite_ranks))
        what = f"sync {self.num_syncs + 1}: NaN or infinity in the parameters of rank {ranks}"
        if self.config.nonfinite == "raise" or self._troubled_syncs > self.config.max_skipped_syncs:
            raise AsrtoolError(f"{what}; lower the learning rate or clip gradients, then restart from the last checkpoint")
        if self.comm.rank == 0:
            print(f"WARNING: {what}; {what_is_done}", file=sys.stderr)
