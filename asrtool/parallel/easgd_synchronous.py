"""Synchronous EASGD: all workers exchange with the centre at the same time (Zhang et al. 2015, section 3)."""

import sys
from typing import Any

import torch
from torch import Tensor, nn

from asrtool.parallel.config import ParallelConfig
from asrtool.parallel.easgd import Easgd
from asrtool.parallel.protocol import Comm, Pending, SyncReport
from asrtool.parallel.votes import Decision, Vote, decide


class SynchronousEasgd(Easgd):
    """At every `elastic_steps`-th step of all workers, with the old x and c on the right everywhere:

        x_i = x_i - eta * g_i(x_i) - alpha * (x_i - c);   c = c + alpha * sum over i of (x_i - c)

    After a step at which that is due: a tiny all-gather of votes; the global model counts as new, with MA, EMA and hooks, when
    all workers together have trained on N * `sync_frames` frames; then the exchange begins. It goes on beside the next gradient's
    computation, which is at the same x_i, and is over at the optimiser's step.

    A worker out of data has weight 0 and stays where it is. One with parameters that are not finite has weight 0 and begins again
    at the centre ("skip_worker"), or all do ("skip_block").
    """

    def __init__(self, config: ParallelConfig) -> None:
        super().__init__(config)
        self._weights: list[float] = []  # 1 for those that take part in an exchange which is due; empty: none is
        self._exchange: Pending | None = None

    def attach(self, model: nn.Module, optimizer: torch.optim.Optimizer, comm: Comm) -> None:
        super().attach(model, optimizer, comm)
        if comm.rank == 0 and comm.size > 1 and comm.size * self.alpha > 1:
            what = f"{comm.size} workers times elastic_alpha {self.alpha:g} is above 1"
            print(f"WARNING: {what}: the centre overshoots the workers' mean, above 2 it diverges", file=sys.stderr, flush=True)
        flat = self.buffer.flat
        self.work = comm.allocate(flat.numel(), flat.dtype, flat.device)

    def before_step(self) -> None:
        self._end_exchange()

    def after_step(self, num_frames: int) -> None:
        self.comm.computed(num_frames)
        self.pending_frames += num_frames
        self.steps += 1
        self._note_rates()
        if self.steps % self.config.elastic_steps == 0:
            self._round(has_data=True)

    def finish(self) -> None:
        self._end_exchange()
        while not self._round(has_data=False):
            self._end_exchange()
        self.steps = 0  # workers with more data have taken more

    @torch.no_grad()
    def _round(self, has_data: bool) -> bool:
        """Votes, the global model when it is due, the beginning of the elastic step; True when nobody has data left."""
        self.buffer.pack()
        row = torch.tensor(
            [self.pending_frames, has_data, self._is_healthy()], dtype=torch.float64, device=self.buffer.flat.device
        )
        rows = self.comm.all_gather(row).view(self.comm.size, 3).tolist()
        frames, has, fine = ([row[column] for row in rows] for column in range(3))
        finished = not any(has)
        # who has run out of data is under no force, but must be finite all the same
        votes = [Vote(int(some or not good), not some, bool(good)) for some, good in zip(has, fine)]
        decision = decide(votes, self.config, warming_up=False)
        self._count_trouble(decision.nonfinite_ranks, f"{'all begin' if decision.skipped else 'it begins'} again at the centre")
        if decision.nonfinite_ranks:
            self._begin_again(decision)
        if not finished and self.comm.size > 1 and decision.num_active:
            self._weights = [float(weight > 0) for weight in decision.weights]
        if sum(frames) >= self.config.sync_frames * self.comm.size or finished:
            self._follow([int(count) for count in frames], decision, finished)
        if self._weights:
            self._begin_exchange()
        return finished

    def _begin_exchange(self) -> None:
        centre, scratch, count = self.pieces[self.comm.rank].values, self._scratch, sum(self._weights)

        def update(begin: int, end: int, total: Tensor) -> None:
            """The centre moves; the workers get what it was."""
            own, old = centre[begin:end], scratch[: end - begin]
            old.copy_(own)
            own.add_(total.sub_(old, alpha=count), alpha=self.alpha)
            total.copy_(old)

        self.work.copy_(self.buffer.flat)
        self._to_position(self.work)
        self._exchange = self.comm.start_exchange(self.work, self._weights, update)

    @torch.no_grad()
    def _end_exchange(self) -> None:
        """The elastic step of this worker, if one is due."""
        if not self._weights:
            return
        if self._exchange is None:  # read from a checkpoint made before the exchange
            self._begin_exchange()
        self._exchange.wait()
        if self._weights[self.comm.rank]:
            self.work.sub_(self.buffer.flat)  # c - y, from which c - x
            self._to_position(self.work, sign=-1.0)
            self.buffer.flat.add_(self.work, alpha=self.alpha)
            self.buffer.unpack()
        self._weights, self._exchange = [], None

    def _begin_again(self, decision: Decision) -> None:
        """Workers go back to the centre, or who is alone to the last global model."""
        centre = self._gather_pieces(lambda piece: piece.values)
        if decision.skipped or self.comm.rank in decision.nonfinite_ranks:
            self.buffer.flat.copy_(centre)
            self.buffer.unpack()
            self.buffers.write(self.global_buffers)
            self._forget_momentum()

    def _follow(self, frames: list[int], decision: Decision, finished: bool) -> None:
        if any(frames):
            if self.comm.size == 1:
                self.pieces[0].values.copy_(self.buffer.flat)
            if self._takes_mean:
                self._form_mean(self.work, [1.0] * self.comm.size)
            self._advance(sum(frames), [float(count > 0) for count in frames], write_buffers=False)
        self.pending_frames = 0
        report = SyncReport(
            index=self.num_syncs,
            total_frames=self.total_frames,
            block_frames=sum(frames),
            num_active=sum(count > 0 for count in frames),
            nonfinite_ranks=decision.nonfinite_ranks,
            skipped=decision.skipped,
            finished=finished,
        )
        for hook in self.on_sync:
            hook(report)

    def state_dict(self) -> dict[str, Any]:
        if self._exchange is not None:
            self._end_exchange()  # a gradient earlier than without saving
        return super().state_dict()

    def _local_state(self) -> dict[str, Any]:
        return {**super()._local_state(), "local_weights": self._weights}

    def _restart(self, state: dict[str, Any]) -> None:
        super()._restart(state)
        self._weights, self._exchange = list(state.get("local_weights", [])), None
