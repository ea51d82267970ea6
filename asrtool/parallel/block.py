"""Training in blocks: what model averaging, BMUF and their kin share, all but the update of the global model."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from asrtool.parallel.buffers import agreeing_mean, follow_replicated
from asrtool.parallel.global_model import GlobalModel
from asrtool.parallel.local_optimizer import reset_momentum
from asrtool.parallel.protocol import Comm, SyncReport, UpdateRange
from asrtool.parallel.travel import Differences, InPlace, Travel
from asrtool.parallel.votes import Decision, Vote, decide


class BlockAlgorithm(GlobalModel):
    """Workers train on their own for a block of `sync_frames` each; then the mean of their parameters moves the global model.

    A sync is: a tiny all-gather of votes (frames, out of data?, finite?), from which every rank takes the same decision; a
    reduce-scatter of the parameters; on each rank the update of its shard of the global model and of the averages; an
    all-gather of the points from which the workers start the next block. Subclasses say in `_update` what a shard becomes.

    Memory of a worker beside model, gradient and optimiser, with P parameters on N workers: one flat buffer (on the CPU the model
    lives in it), P/N for the global model and for each average, and what subclasses, travel.py and overlap.py say of theirs.
    """

    name = "block"
    moves_workers: bool = True  # whether a sync can give a lone worker other parameters than it had
    sends_blocks: ClassVar[bool] = True  # whether `exchange_dtype` and `overlap` are about the workers' parameters

    def attach(self, model: nn.Module, optimizer: torch.optim.Optimizer, comm: Comm) -> None:
        super().attach(model, optimizer, comm)
        self.shard = self.pieces[comm.rank]
        self.warming_up = comm.size > 1 and self.config.warmup_frames > 0
        self.travel = self._make_travel()

    def after_step(self, num_frames: int) -> None:
        self.comm.computed(num_frames)
        self.pending_frames += num_frames
        if self.warming_up and self.comm.rank != 0:
            while self.warming_up:  # wait for rank 0; what this rank did since attach is overwritten
                self._synchronise(out_of_data=False)
        elif self.pending_frames >= self.config.sync_frames:
            self._synchronise(out_of_data=False)

    def finish(self) -> None:
        while not self._synchronise(out_of_data=True).finished:
            pass

    # --- for subclasses

    def _update(self, begin: int, end: int, mean: Tensor) -> None:
        """Moves elements [begin, end) of the global shard; `mean` of the workers becomes their next starting point, in place."""
        raise NotImplementedError

    def _starting_point(self, begin: int, end: int, scratch: Tensor) -> Tensor:
        """Elements [begin, end) of the own shard of the workers' starting point; perhaps in `scratch`, of their shape."""
        return self.shard.values[begin:end]

    def _has_own_parameters(self) -> bool:
        """Whether this worker's parameters are state: not at a sync, where all workers have the same."""
        return self.pending_frames > 0

    def _make_travel(self) -> Travel:
        """How the parameters go to the other workers."""
        if self.sends_blocks and self.config.exchange_dtype == "bfloat16" and self.comm.size > 1:
            own = slice(self.comm.rank * self.buffer.shard_size, (self.comm.rank + 1) * self.buffer.shard_size)
            return Differences(self.comm, self.buffer.flat, own, self._range_of_start)
        return InPlace(self.buffer.flat)

    def _range_of_start(self, begin: int, end: int) -> Tensor:
        return self._starting_point(begin, end, self._scratch[: end - begin])

    # --- state

    def _local_state(self) -> dict[str, Any]:
        result: dict[str, Any] = {}
        if self._has_own_parameters():
            self.buffer.pack()
            result = {"local": self.buffer.flat.cpu().clone(), "local_buffers": self.buffers.read().cpu()}
        start = self.travel.own_start()
        return result if start is None else {**result, "local_start": start.cpu().clone()}

    @torch.no_grad()
    def _restart(self, state: dict[str, Any]) -> None:
        self.warming_up = self.warming_up and self.comm.size > 1
        self._restart_workers(state.get("local_start"))
        if "local" in state:
            self.buffer.flat.copy_(state["local"])
            self.buffer.unpack()
            self.buffers.write(state["local_buffers"])

    @torch.no_grad()
    def _restart_workers(self, start: Tensor | None) -> None:
        """Every worker goes (back) to the point where the block started: the own shard `start`, or what the global one says."""
        if start is None:
            start = self._starting_point(0, self.buffer.shard_size, torch.empty_like(self.shard.values))
        self.buffer.flat.copy_(self.comm.all_gather(start.to(self.buffer.flat.device)))
        self.travel.restart(self.buffer.flat)
        self.buffer.unpack()
        self.buffers.write(self.global_buffers)

    # --- the sync

    def _vote(self, out_of_data: bool) -> Decision:
        self.buffer.pack()
        vote = Vote(self.pending_frames, out_of_data, self._is_healthy())
        row = torch.tensor(vote, dtype=torch.float64, device=self.buffer.flat.device)
        votes = self.comm.all_gather(row).view(self.comm.size, len(vote)).tolist()
        decision = decide([Vote(int(f), bool(out), bool(good)) for f, out, good in votes], self.config, self.warming_up)
        self._note_trouble(decision)
        return decision

    def _note_trouble(self, decision: Decision) -> None:
        self._count_trouble(decision.nonfinite_ranks, "the block is dropped" if decision.skipped else "left out of the mean")

    def _synchronise(self, out_of_data: bool) -> SyncReport:
        decision = self._vote(out_of_data)
        if decision.skipped:
            self._restart_workers(self.travel.own_start())
        elif decision.num_active:
            self._move(decision)
        self._treat_optimizer(decision)
        report = self._report(decision, decision.finished)
        self.pending_frames = 0
        if self.warming_up and (self.total_frames >= self.config.warmup_frames or decision.rank0_out_of_data):
            self.warming_up = False
        for hook in self.on_sync:
            hook(report)
        return report

    def _report(self, decision: Decision, finished: bool) -> SyncReport:
        return SyncReport(
            index=self.num_syncs,
            total_frames=self.total_frames,
            block_frames=decision.block_frames,
            num_active=decision.num_active,
            nonfinite_ranks=decision.nonfinite_ranks,
            skipped=decision.skipped,
            warming_up=self.warming_up,
            finished=finished,
        )

    @torch.no_grad()
    def _move(self, decision: Decision) -> None:
        update, follow = self._begin_move(decision)
        self.travel.pack(self.buffer.flat)
        self.comm.exchange(self.travel.values, decision.weights, update)
        self.travel.land()
        self.buffer.flat.copy_(self.travel.start)
        self.buffer.unpack()
        self._average_buffers(decision)
        self._take_buffers(follow)

    def _begin_move(self, decision: Decision) -> tuple[UpdateRange, bool]:
        """Counts a new global model; the update that makes it, and whether averages follow."""
        self.num_syncs += 1
        self.total_frames += decision.block_frames
        follow = not self.warming_up and self.total_frames >= self.config.average_start_frames
        if follow:
            self.shard.averages.advance()
            self.buffer_averages.advance()

        @torch.no_grad()
        def update(begin: int, end: int, total: Tensor) -> None:
            if decision.divisor != 1:
                total.div_(decision.divisor)
            self.travel.enter(begin, end, total)
            self._update(begin, end, total)
            self.travel.leave(begin, end, total)
            if follow:
                self.shard.averages.follow(begin, end, self.shard.values[begin:end])

        return update, follow

    def _average_buffers(self, decision: Decision) -> None:
        """All workers' buffers become the mean of those that take part."""
        if self.buffers.num_elements:
            rows = self.comm.all_gather(self.buffers.read()).view(self.comm.size, -1)
            self.buffers.write(agreeing_mean(rows, decision.weights))

    def _take_buffers(self, follow: bool) -> None:
        """The workers' buffers, all alike, are those of the global model."""
        if self.buffers.num_elements:
            self.global_buffers.copy_(self.buffers.read())
            if follow:
                follow_replicated(self.buffer_averages, self.global_buffers)

    def _treat_optimizer(self, decision: Decision) -> None:
        """After a sync: what of the local optimiser's state is of no use any more."""
        moved = decision.num_active > 0 and (self.comm.size > 1 or (self.moves_workers and not self.warming_up))
        if decision.skipped or self.comm.rank in decision.nonfinite_ranks:
            self.optimizer.state.clear()  # its momentum is as non-finite as the parameters, or leads there
        elif moved and self.config.reset_local_momentum and not (self.warming_up and self.comm.rank == 0):
            reset_momentum(self.optimizer)
