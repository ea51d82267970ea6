"""Bulk-synchronous training: the mean gradient of all workers at every step (1703.05880 calls it BSP)."""

import io
from typing import Any

import torch
from torch import Tensor, nn

from asrtool.parallel.bmuf import ModelAveraging
from asrtool.parallel.buckets import GradientBuckets
from asrtool.parallel.config import ParallelConfig
from asrtool.parallel.protocol import Comm, SyncReport, UpdateRange
from asrtool.parallel.votes import Decision, Vote, decide


class Bsp(ModelAveraging):
    """Every mini-batch is one step on the mean of the workers' gradients, so that their models stay equal.

    `before_step` exchanges the gradients; a worker out of data answers with weight 0. When the steps behind have taken
    `sync_frames` frames a worker, on the mean, the global model is taken after the next step from a worker that has data: there
    MA and EMA follow, and hooks run. At the end of the data all take over that worker's optimiser too. The local momentum is
    never reset, and there is no warm-up. A worker with non-finite gradients is left out of the step ("skip_worker"), or the
    step's gradient is zero for all ("skip_block").

    With `overlap` gradients are exchanged in buckets while the backward pass still makes others (buckets.py). The first bucket
    is preceded by the agreement on who has data; whether all gradients are finite is known, and agreed on, after the last one.
    If one is not, all gradients are exchanged once more under the weights that leave it out: results are those without overlap
    to the bit, and a bad minibatch costs a second exchange.

    The mean is over the workers that have data, each with the same weight: `weighting` does not apply. The
    gradient of a short minibatch is small already when it comes here, because the trainer divides the sum over its frames by the
    size of a full minibatch (`optimizer.gradient: mean`) or not at all ("sum"): every frame of all workers counts the same.

    This averages gradients. What kaldi-aslp calls BSP averages models, each weighted by its frames: `model_averaging` with
    `weighting: frames`.

    Memory: a flat buffer for the gradients (with `overlap`, the buckets together), and P/N for the global model and each average.
    """

    name = "bsp"
    sends_blocks = False

    def __init__(self, config: ParallelConfig) -> None:
        super().__init__(config)
        self.config.warmup_frames, self.config.reset_local_momentum, self.config.weighting = 0, False, "workers"

    def attach(self, model: nn.Module, optimizer: torch.optim.Optimizer, comm: Comm) -> None:
        super().attach(model, optimizer, comm)
        self._leader = 0  # a rank whose model has taken every step
        self._active = [True] * comm.size  # who has data, as agreed on last
        self._due = False  # the global model is to be taken after this step
        self._buckets: GradientBuckets | None = None
        if self.config.overlap and comm.size > 1:
            self._buckets = GradientBuckets(self.buffer, comm, self.config.bucket_mb * 1e6, self._agree)
        else:
            self._gradient = comm.allocate(self.buffer.flat.numel(), self.buffer.flat.dtype, self.buffer.flat.device)

    def before_step(self) -> None:
        self._round(has_gradient=True)

    def after_step(self, num_frames: int) -> None:
        self.comm.computed(num_frames)
        self.pending_frames += num_frames
        if self._due:
            self._follow(finished=False)

    def finish(self) -> None:
        while not self._round(has_gradient=False):
            pass

    def _round(self, has_gradient: bool) -> bool:
        """One step's exchange; True when nobody has data left."""
        if self._buckets is not None:
            self._buckets.finish(has_gradient)
        else:
            self._agree(has_gradient, not has_gradient or self.buffer.gradients_are_finite())
        if not any(self._active):
            self._follow(finished=True)
            return True
        self._leader = self._active.index(True)
        if self._buckets is not None:
            self._correct(has_gradient)
        else:
            self._exchange_at_once(has_gradient)
        if self._due and not has_gradient:
            self._follow(finished=False)
        return False

    def _agree(self, has_gradient: bool, finite: bool = True) -> tuple[list[float], UpdateRange]:
        """Who has data and finite gradients, and whether a global model is due; the weights and the update that follow."""
        row = torch.tensor([self.pending_frames, has_gradient, finite], dtype=torch.float64, device=self.buffer.flat.device)
        rows = self.comm.all_gather(row).view(self.comm.size, 3).tolist()
        self._active = [bool(has) for _, has, _ in rows]
        self._due = any(self._active) and sum(frames for frames, _, _ in rows) >= self.config.sync_frames * self.comm.size
        self._decision = self._decide([finite for _, _, finite in rows])
        return self._decision.weights, mean_by(self._decision)

    def _decide(self, finite: list[float]) -> Decision:
        votes = [Vote(int(has), not has, bool(flag)) for has, flag in zip(self._active, finite)]
        return decide(votes, self.config, warming_up=False)

    def _correct(self, has_gradient: bool) -> None:
        """After all buckets: exchanges them again if some worker's gradients were not finite."""
        finite = float(not has_gradient or self.buffer.gradients_are_finite())
        flags = self.comm.all_gather(torch.tensor([finite], device=self.buffer.flat.device))
        decision = self._decide(flags.tolist())
        self._note_trouble(decision)
        if decision.nonfinite_ranks:
            self._buckets.exchange_again(decision.weights, mean_by(decision))
        if has_gradient:
            self._buckets.unpack()

    def _exchange_at_once(self, has_gradient: bool) -> None:
        decision = self._decision
        self._note_trouble(decision)
        if has_gradient:
            self.buffer.pack_gradients(self._gradient)
        if decision.num_active:
            self.comm.exchange(self._gradient, decision.weights, mean_by(decision))
        else:
            self._gradient.zero_()
        if has_gradient:
            self.buffer.unpack_gradients(self._gradient)

    def _follow(self, finished: bool) -> None:
        """The leader's model is the global one: to the bit, where a mean of equal models could round."""
        own_frames = torch.tensor([self.pending_frames], dtype=torch.float64, device=self.buffer.flat.device)
        frames = int(self.comm.all_gather(own_frames).sum())
        weights = [float(rank == self._leader) for rank in range(self.comm.size)]
        decision = Decision(weights, 1.0, frames, self.comm.size, (), False, finished, finished)
        if frames:
            self.buffer.pack()
            self._move(decision)
        if finished:
            self._share_optimizer()
        self.pending_frames, self._due = 0, False
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


def mean_by(decision: Decision) -> UpdateRange:
    def update(begin: int, end: int, total: Tensor) -> None:
        total.div_(decision.divisor)

    return update
