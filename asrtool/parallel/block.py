"""Training in blocks: what model averaging, BMUF and their kin share, all but the update of the global model."""

import dataclasses
import sys
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from asrtool.errors import AsrtoolError
from asrtool.parallel import state as states
from asrtool.parallel.averaging import Averages, average_names
from asrtool.parallel.buffers import ModelBuffers, agreeing_mean
from asrtool.parallel.config import ParallelConfig
from asrtool.parallel.flat_buffer import FlatBuffer
from asrtool.parallel.protocol import Comm, SyncReport
from asrtool.parallel.summation import update_elements
from asrtool.parallel.votes import Decision, Vote, decide


class BlockAlgorithm:
    """Workers train on their own for a block of `sync_frames` each; then the mean of their parameters moves the global model.

    A sync is: a tiny all-gather of votes (frames, out of data?, finite?), from which every rank takes the same decision; a
    reduce-scatter of the parameters; on each rank the update of its shard of the global model and of the averages; an
    all-gather of the points from which the workers start the next block. Subclasses say in `_update` what a shard becomes.
    """

    name: ClassVar[str] = "block"
    moves_workers: bool = True  # whether a sync can give a lone worker other parameters than it had

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
        own = slice(comm.rank * self.buffer.shard_size, (comm.rank + 1) * self.buffer.shard_size)
        self._own = own
        self.global_shard = self.buffer.flat[own].clone()
        names = average_names(self.config.ma, self.config.ema_alpha)
        self.averages = Averages(names, self.global_shard)
        self.buffer_averages = Averages(names, buffers)
        self._scratch = self.global_shard.new_empty(update_elements(self.global_shard.device))
        self.warming_up = comm.size > 1 and self.config.warmup_frames > 0
        self._reset_state()

    def before_step(self) -> None:
        pass

    def after_step(self, num_frames: int) -> None:
        self.pending_frames += num_frames
        if self.warming_up and self.comm.rank != 0:
            while self.warming_up:  # wait for rank 0; what this rank did since attach is overwritten
                self._synchronise(out_of_data=False)
        elif self.pending_frames >= self.config.sync_frames:
            self._synchronise(out_of_data=False)

    def finish(self) -> None:
        while not self._synchronise(out_of_data=True).finished:
            pass

    def global_parameters(self) -> dict[str, Tensor]:
        return self.gather(self.name)

    def models(self) -> dict[str, dict[str, Tensor]]:
        return {name: self.gather(name) for name in self.model_names()}

    # --- beyond the protocol

    def model_names(self) -> list[str]:
        """The names that `gather` knows: the algorithm's own for the global model, then the averages."""
        return [self.name, *self.averages.shards]

    def gather(self, name: str) -> dict[str, Tensor]:
        """The whole of one model, as in `model.state_dict()`; every rank must call it."""
        shard = self.global_shard if name == self.name else self.averages.shards[name]
        buffers = self.global_buffers if name == self.name else self.buffer_averages.shards[name]
        return self.buffer.to_state_dict(self.comm.all_gather(shard), self.buffers.split(buffers))

    def state_dict(self) -> dict[str, Any]:
        result = {
            "format": states.FORMAT,
            "algorithm": self.name,
            "rank": self.comm.rank,
            "world_size": self.comm.size,
            "num_elements": self.buffer.num_elements,
            "layout": self.buffer.layout(),
            "shards": {name: shard.cpu().clone() for name, shard in self._shards().items()},
            "buffers": {name: vector.cpu().clone() for name, vector in self._replicated().items()},
            "counters": {name: getattr(self, name) for name in states.COUNTERS},
            "average_count": self.averages.count,
            "pending_frames": self.pending_frames,
        }
        if self.pending_frames:  # in the middle of a block the worker's own parameters are state too
            self.buffer.pack()
            result["local"] = self.buffer.flat.cpu().clone()
            result["local_buffers"] = self.buffers.read().cpu()
        return result

    def load_state_dict(self, state: dict[str, Any]) -> None:
        states.check(state, self.name, self.buffer.layout())
        same_ranks = state["world_size"] == self.comm.size
        if same_ranks and state["rank"] != self.comm.rank:
            raise AsrtoolError(f"rank {self.comm.rank}: this is the state of rank {state['rank']}; load each rank's own")
        own = state["shards"] if same_ranks else states.shards_of(state, self.comm.rank, self.comm.size)
        states.copy_known(own, self._shards())
        states.copy_known(state["buffers"], self._replicated())
        for name in states.COUNTERS:
            setattr(self, name, state["counters"][name])
        self.warming_up = self.warming_up and self.comm.size > 1
        self.averages.count = self.buffer_averages.count = state["average_count"]
        self._restart_workers()
        self.pending_frames = state["pending_frames"] if same_ranks else 0
        if same_ranks and "local" in state:
            self.buffer.flat.copy_(state["local"])
            self.buffer.unpack()
            self.buffers.write(state["local_buffers"])

    # --- for subclasses

    def _reset_state(self) -> None:
        """Makes the subclass's own shards at `attach`."""

    def _update(self, begin: int, end: int, mean: Tensor) -> None:
        """Moves elements [begin, end) of `global_shard`; `mean` of the workers becomes their next starting point, in place."""
        raise NotImplementedError

    def _starting_point(self) -> Tensor:
        """The own shard of the point from which the workers started the current block."""
        return self.global_shard

    def _shards(self) -> dict[str, Tensor]:
        """Everything that is sharded, by name, to be saved and loaded in place."""
        return {"global": self.global_shard, **self.averages.shards}

    def _replicated(self) -> dict[str, Tensor]:
        return {"global": self.global_buffers, **self.buffer_averages.shards}

    # --- the sync

    def _check_alike(self) -> None:
        """All ranks must train the same model by the same settings."""
        digest = states.fingerprint(self.buffer.layout(), self.config)
        digests = self.comm.all_gather(torch.tensor([digest], dtype=torch.int64, device=self.buffer.flat.device)).tolist()
        strange = [rank for rank, other in enumerate(digests) if other != digests[0]]
        if strange:
            raise AsrtoolError(f"rank {strange[0]} has another model or other parallel settings than rank 0; start all alike")

    def _vote(self, out_of_data: bool) -> Decision:
        self.buffer.pack()
        finite = self.buffer.is_finite() and not bool(torch.isnan(self.buffers.read()).any())
        vote = Vote(self.pending_frames, out_of_data, finite)
        row = torch.tensor(vote, dtype=torch.float64, device=self.buffer.flat.device)
        votes = self.comm.all_gather(row).view(self.comm.size, len(vote)).tolist()
        return decide([Vote(int(frames), bool(out), bool(finite)) for frames, out, finite in votes], self.config, self.warming_up)

    def _synchronise(self, out_of_data: bool) -> SyncReport:
        decision = self._vote(out_of_data)
        self._count_trouble(decision)
        moved = True
        if decision.skipped:
            self._restart_workers()
        elif decision.num_active:
            self._move(decision)
            moved = self.comm.size > 1 or (self.moves_workers and not self.warming_up)
        else:
            moved = False
        if decision.skipped or self.comm.rank in decision.nonfinite_ranks:
            self.optimizer.state.clear()  # its momentum is as non-finite as the parameters, or leads there
        elif moved and self.config.reset_local_momentum and not (self.warming_up and self.comm.rank == 0):
            self._reset_local_momentum()
        report = SyncReport(
            index=self.num_syncs,
            total_frames=self.total_frames,
            block_frames=decision.block_frames,
            num_active=decision.num_active,
            nonfinite_ranks=decision.nonfinite_ranks,
            skipped=decision.skipped,
            warming_up=self.warming_up,
            finished=decision.finished,
        )
        self.pending_frames = 0
        if self.warming_up and (self.total_frames >= self.config.warmup_frames or decision.rank0_out_of_data):
            self.warming_up = False
        for hook in self.on_sync:
            hook(report)
        return report

    def _move(self, decision: Decision) -> None:
        self.num_syncs += 1
        self.total_frames += decision.block_frames
        follow = not self.warming_up and self.total_frames >= self.config.average_start_frames
        if follow:
            self.averages.advance()
            self.buffer_averages.advance()

        def update(begin: int, end: int, total: Tensor) -> None:
            if decision.divisor != 1:
                total.div_(decision.divisor)
            self._update(begin, end, total)
            if follow:
                self.averages.follow(begin, end, self.global_shard[begin:end], self._scratch[: end - begin])

        with torch.no_grad():
            self.comm.exchange(self.buffer.flat, decision.weights, update)
            self.buffer.unpack()
            if self.buffers.num_elements:
                self._move_buffers(decision, follow)

    def _move_buffers(self, decision: Decision, follow: bool) -> None:
        rows = self.comm.all_gather(self.buffers.read()).view(self.comm.size, -1)
        self.global_buffers.copy_(agreeing_mean(rows, decision.weights))
        self.buffers.write(self.global_buffers)
        if follow:
            before = {name: average.clone() for name, average in self.buffer_averages.shards.items()}
            scratch = torch.empty_like(self.global_buffers)
            self.buffer_averages.follow(0, scratch.numel(), self.global_buffers, scratch)
            for name, average in self.buffer_averages.shards.items():
                average.copy_(torch.where(before[name] == self.global_buffers, self.global_buffers, average))

    @torch.no_grad()
    def _restart_workers(self) -> None:
        """Every worker goes (back) to the point where the current block started."""
        self.buffer.flat.copy_(self.comm.all_gather(self._starting_point()))
        self.buffer.unpack()
        self.buffers.write(self.global_buffers)

    def _count_trouble(self, decision: Decision) -> None:
        if not decision.nonfinite_ranks:
            self._troubled_syncs = 0
            return
        self._troubled_syncs += 1
        ranks = ", ".join(map(str, decision.nonfinite_ranks))
        what = f"sync {self.num_syncs + 1}: NaN or infinity in the parameters of rank {ranks}"
        if self.config.nonfinite == "raise" or self._troubled_syncs > self.config.max_skipped_syncs:
            raise AsrtoolError(f"{what}; lower the learning rate or clip gradients, then restart from the last checkpoint")
        if self.comm.rank == 0:
            print(f"WARNING: {what}; {'the block is dropped' if decision.skipped else 'left out of the mean'}", file=sys.stderr)

    def _reset_local_momentum(self) -> None:
        """Zeroes SGD's momentum and Adam's first moment: directions of a model that is no longer there."""
        for entry in self.optimizer.state.values():
            for name in ("momentum_buffer", "exp_avg"):
                if isinstance(entry.get(name), Tensor):
                    entry[name].zero_()
