"""Blocks whose synchronisation goes on while the workers train on the next block."""

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from asrtool.parallel.block import BlockAlgorithm
from asrtool.parallel.protocol import Comm, Pending, SyncReport
from asrtool.parallel.travel import InPlace, Travel
from asrtool.parallel.votes import Decision


class OverlappedBlocks(BlockAlgorithm):
    """With `overlap`, the exchange of block t runs while the workers train on block t + 1.

    At the end of block t worker i has theta_i(t). It keeps a snapshot s_i(t) = theta_i(t), starts the exchange of the snapshots
    and trains on from there. At the end of block t + 1 it has learned u_i(t+1), and the result V(t) of the exchange is there:

        s_i(t+1) = theta_i(t+1) = V(t) + u_i(t+1),    u_i(t+1) = (what it has now) - s_i(t)

    So the mean of the snapshots, less V(t), is the mean of what the workers have learned in block t + 1 alone: W, V and block
    momentum follow the very equations of the algorithm without overlap, and V(t) is the look-ahead of W(t) as there. What
    differs is where u_i(t+1) was learned: not from V(t) but one block behind, from s_i(t) = V(t-1) + u_i(t). That is the price.
    With Nesterov momentum and block learning rate 1 these starting points are W(t), but with the worker's own u_i(t) for the
    workers' mean; with classical momentum they are that without eta D(t-1).

    At the end of block t + 1 hooks see W(t): what is evaluated, averaged and saved is one block behind too. In `finish` the last
    exchange is waited for, so that then all workers are at the last V. The means of a model's buffers (small) do not lag.
    A worker with non-finite parameters goes back to V(t), without weight in the exchange of its block. While rank 0 warms up
    alone, and with a single worker, nothing overlaps.

    Saved with a worker's state: its parameters, the snapshot, and how far the exchange is, so that a restart with the same number
    of workers takes the same steps. With another number, workers start from the last V, and the block under way is lost.

    Memory: two flat buffers, for the snapshot and for the exchange (with bfloat16 differences two and a half in all).
    """

    def attach(self, model: nn.Module, optimizer: torch.optim.Optimizer, comm: Comm) -> None:
        self.overlapping = self.sends_blocks and self.config.overlap and comm.size > 1
        super().attach(model, optimizer, comm)
        self._due: Decision | None = None  # agreed on, while hooks run before its exchange
        self._flying: Decision | None = None
        self._pending: Pending | None = None  # None also when it has landed
        self._snapshot = self.buffer.flat.clone() if self.overlapping else None

    def _make_travel(self) -> Travel:
        travel = super()._make_travel()
        if not self.overlapping or not isinstance(travel, InPlace):
            return travel
        values = self.comm.allocate(self.buffer.flat.numel(), self.buffer.flat.dtype, self.buffer.flat.device)
        values.copy_(self.buffer.flat)
        return InPlace(values)

    def _has_own_parameters(self) -> bool:
        return super()._has_own_parameters() or self.overlapping

    def _synchronise(self, out_of_data: bool) -> SyncReport:
        if not self.overlapping or self.warming_up:
            return super()._synchronise(out_of_data)
        last = self._take_result()
        decision = self._vote(out_of_data)
        self._drop_bad(decision)
        if decision.num_active:
            self._average_buffers(decision)  # before hooks, which save the model
        nothing_left = not decision.num_active and not decision.skipped
        report = self._report(last or decision, decision.finished and nothing_left)
        self._due, self.pending_frames = decision, 0
        if last is not None or report.finished:
            for hook in self.on_sync:
                hook(report)
        self._begin_exchange(decision)
        return report

    @torch.no_grad()
    def _take_result(self) -> Decision | None:
        """The block before is over: the worker moves to its result, and keeps what it has learned since."""
        last, self._flying = self._flying, None
        if last is not None and last.num_active:
            self._land()
            self.buffer.pack()
            self.buffer.flat.sub_(self._snapshot).add_(self.travel.start)  # exactly the start where nothing was learned
            self.buffer.unpack()
            self._treat_optimizer(dataclasses.replace(last, nonfinite_ranks=()))  # those were treated at once
        return last

    def _land(self) -> None:
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.wait()
            with torch.no_grad():
                self.travel.land()

    @torch.no_grad()
    def _drop_bad(self, decision: Decision) -> None:
        """A worker whose block goes into no exchange returns to where all of them stand."""
        if decision.skipped or self.comm.rank in decision.nonfinite_ranks:
            self.buffer.flat.copy_(self.travel.start)
            self.buffer.unpack()
            self.buffers.write(self.global_buffers)
            self.optimizer.state.clear()

    @torch.no_grad()
    def _begin_exchange(self, decision: Decision) -> None:
        self._due = None
        if decision.num_active:
            update, follow = self._begin_move(decision)
            self._snapshot.copy_(self.buffer.flat)
            self.travel.pack(self._snapshot)
            self._pending = self.comm.start_exchange(self.travel.values, decision.weights, update)
            self._take_buffers(follow)
        self._flying = decision if decision.num_active or decision.skipped else None

    def gather(self, name: str) -> dict[str, Tensor]:
        self._land()
        return super().gather(name)

    def state_dict(self) -> dict[str, Any]:
        if not self.overlapping:
            return super().state_dict()
        self._land()
        decision = self._due or self._flying
        under_way = {
            "decision": None if decision is None else dataclasses.asdict(decision),
            "snapshot": None if self._flying is None else self._snapshot.cpu().clone(),  # None too before the exchange
        }
        return {**super().state_dict(), "local_exchange": under_way}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.overlapping:
            self._land()
            self._due = self._flying = None
        super().load_state_dict(state)
        under_way = state.get("local_exchange")
        if not self.overlapping or state["world_size"] != self.comm.size or not under_way or under_way["decision"] is None:
            return
        decision = Decision(**under_way["decision"])
        if under_way["snapshot"] is None:
            self._begin_exchange(decision)
        else:
            self._flying = decision
            self._snapshot.copy_(under_way["snapshot"])
