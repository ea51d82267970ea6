"""Asynchronous EASGD: each worker exchanges with the centre when it likes (Zhang et al. 2015, algorithms 1 and 2)."""

from typing import Any

import torch
from torch import Tensor

from asrtool.parallel.asynchronous import AsynchronousAlgorithm
from asrtool.parallel.easgd import Easgd
from asrtool.parallel.global_model import Piece
from asrtool.parallel.piece_server import Wish


class AsynchronousEasgd(Easgd, AsynchronousAlgorithm):
    """When `elastic_steps` divides the number of steps that worker i has taken, it sends its x to the servers of the centre:

        server of a shard: d = alpha * (x - c);  c += d;  answers d
        worker:            x_i = x - d - eta * g_i(x)

    The staleness of this is the number of such requests, of all workers, since the worker's last one.
    """

    keeps_buffers = True

    def before_step(self) -> None:
        if self.comm.size > 1 and self.steps % self.config.elastic_steps == 0:
            self._pull()

    @torch.no_grad()
    def _answer(self, piece: Piece, values: Tensor, begin: int, end: int, push: bool, fetch: bool) -> None:
        centre = piece.values[begin:end]
        if push:
            centre.add_(values.sub_(centre.to(values.device)).mul_(self.alpha).to(centre.device))
        else:
            values.copy_(centre)

    @torch.no_grad()
    def _pull(self) -> None:
        """The elastic step of this worker and the centre."""
        self.buffer.pack()
        if not self._is_healthy():
            self._return_to_centre()
            return
        self.work.copy_(self.buffer.flat)
        self._to_position(self.work)
        answered = self._ask(Wish.PUSH | Wish.FETCH, self.work)
        for parameters, difference, known in zip(self.buffer.flat.chunk(len(answered)), self._chunks(answered), answered):
            if known:
                parameters.sub_(difference)
        self.buffer.unpack()

    def _return_to_centre(self) -> None:
        answered = self._ask(Wish.FETCH, self.work)
        for parameters, centre, known in zip(self.buffer.flat.chunk(len(answered)), self._chunks(answered), answered):
            if known:
                parameters.copy_(centre)
        self.buffer.unpack()
        self._note_dropped_work()
        self._forget_momentum()

    def _chunks(self, answered: list[bool]) -> tuple[Tensor, ...]:
        return self.work.chunk(len(answered))

    def _work_on(self) -> None:
        self._note_rates()

    @torch.no_grad()
    def _settle(self) -> None:
        if self.comm.size == 1:
            self._take_own()
            return
        self.buffer.pack()
        if not self._is_healthy():
            self._return_to_centre()

    def _form_global(self) -> None:
        while self._takes_mean:
            alive = set(self.comm.alive)
            self._form_mean(self.work, [float(rank in alive) for rank in range(self.comm.size)])
            self._take_over_lost()
            if alive == set(self.comm.alive):
                return

    def _local_state(self) -> dict[str, Any]:
        return {**AsynchronousAlgorithm._local_state(self), **Easgd._local_state(self)}

    def _restart(self, state: dict[str, Any]) -> None:
        self._restart_server(state)
        super()._restart(state)
