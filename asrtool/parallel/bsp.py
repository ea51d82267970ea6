"""Bulk-synchronous training: the mean gradient of all workers at every step (1703.05880 calls it BSP)."""

import io
from typing import Any

import torch
from torch import nn

from asrtool.parallel.bmuf import ModelAveraging
from asrtool.parallel.config import ParallelConfig
from asrtool.parallel.protocol import Comm, SyncReport
from asrtool.parallel.votes import Decision, Vote, decide


class Bsp(ModelAveraging):
    """Every mini-batch is one step on the mean of the workers' gradients, so that their models stay equal.

    `before_step` exchanges the gradients; a worker out of data answers with weight 0. Every `sync_frames` frames a worker, on
    the mean, the global model is taken from a worker that has data: there MA and EMA follow, and hooks run. At the end of the
    data all take over that worker's optimiser too. The local momentum is never reset, and there is no warm-up. A worker with
    non-finite gradients is left out of the step ("skip_worker"), or the step's gradient is zero for all ("skip_block").
    """

    name = "bsp"

    def __init__(self, config: ParallelConfig) -> None:
        super().__init__(config)
        self.config.warmup_frames, self.config.reset_local_momentum = 0, False

    def attach(self, model: nn.Module, optimizer: torch.optim.Optimizer, comm: Comm) -> None:
        super().attach(model, optimizer, comm)
        self._gradient = torch.zeros_like(self.buffer.flat)
        self._leader = 0  # a rank whose model has taken every step

    def before_step(self) -> None:
        self.buffer.pack_gradients(self._gradient)
        self._round(has_gradient=True)
        self.buffer.unpack_gradients(self._gradient)

    def after_step(self, num_frames: int) -> None:
        self.pending_frames += num_frames

    def finish(self) -> None:
        while not self._round(has_gradient=False):
            pass

    def _round(self, has_gradient: bool) -> bool:
        """One exchange of votes, of the global model when it is due, of gradients; True when nobody has data left."""
        finite = not has_gradient or bool(torch.isfinite(self._gradient.sum()))
        # frames are those of the steps behind, since the last sync; the gradient is ahead
        row = torch.tensor([self.pending_frames, has_gradient, finite], dtype=torch.float64, device=self.buffer.flat.device)
        rows = self.comm.all_gather(row).view(self.comm.size, 3).tolist()
        frames = int(sum(row[0] for row in rows))
        active = [bool(row[1]) for row in rows]
        if frames >= self.config.sync_frames * self.comm.size or not any(active):
            self._follow(frames, finished=not any(active))
        if not any(active):
            return True
        votes = [Vote(int(has), not has, bool(row[2])) for row, has in zip(rows, active)]
        decision = decide(votes, self.config, warming_up=False)
        self._count_trouble(decision)
        self._leader = active.index(True)
        if decision.num_active:
            self.comm.exchange(self._gradient, decision.weights, lambda begin, end, total: total.div_(decision.divisor))
        else:
            self._gradient.zero_()
        return False

    def _follow(self, frames: int, finished: bool) -> None:
        """The leader's model is the global one: to the bit, where a mean of equal models could round."""
        weights = [float(rank == self._leader) for rank in range(self.comm.size)]
        decision = Decision(weights, 1.0, frames, self.comm.size, (), False, finished, finished)
        if frames:
            self.buffer.pack()
            self._move(decision)
        if finished:
            self._share_optimizer()
        self.pending_frames = 0
        report = SyncReport(self.num_syncs, self.total_frames, frames, self.comm.size if frames else 0, finished=finished)
        for hook in self.on_sync:
            hook(report)

    def _share_optimizer(self) -> None:
        """Those that ran out of data early have missed steps: all take the leader's momentum."""
        if self.comm.size == 1:
            return
        file = io.BytesIO()
        if self.comm.rank == self._leader:
            torch.save(self.optimizer.state_dict(), file)
        device = self.buffer.flat.device
        num_bytes = torch.tensor([file.tell()], dtype=torch.int64, device=device)
        self.comm.broadcast_(num_bytes, self._leader)
        content = torch.zeros(int(num_bytes), dtype=torch.uint8, device=device)
        if self.comm.rank == self._leader:
            content.copy_(torch.frombuffer(file.getbuffer(), dtype=torch.uint8))
        self.comm.broadcast_(content, self._leader)
        if self.comm.rank != self._leader:
            state = torch.load(io.BytesIO(content.cpu().numpy().tobytes()), map_location=device, weights_only=True)
            self.optimizer.load_state_dict(state)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "leader": self._leader}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._leader = state["leader"] if state["world_size"] == self.comm.size else 0
