"""Asynchronous SGD with sharded parameter servers (Dean et al., NIPS 2012: Downpour SGD; Sak et al., INTERSPEECH 2014)."""

from typing import Any

import torch
from torch import Tensor, nn

from asrtool.parallel.asynchronous import AsynchronousAlgorithm
from asrtool.parallel.global_model import Piece
from asrtool.parallel.piece_server import Wish
from asrtool.parallel.protocol import Comm
from asrtool.parallel.pushes import Deltas, Gradients, Unpushed


class Asgd(AsynchronousAlgorithm):
    """Workers take steps of their own, push what they have learnt to the servers, and fetch what all have learnt.

    With W the global model in the servers, theta_i the parameters of worker i, eta the learning rate and mu the server momentum:

        worker, every step:              theta_i -= optimiser's step on the gradient g_i
        worker, every push_steps steps:  push u_i = theta_i - (theta_i after its last push or fetch)     "deltas"
                                              u_i = -sum of eta * g_i since its last push                "gradients"
        server of a shard, at a push:    W += u_i                                                        "deltas"
                                         V = mu * V + u_i;  W += V                                       "gradients"
        worker, every fetch_steps steps: theta_i = W + what it has not pushed yet

    A push and a fetch that are due at the same step are one request; the fetched W has the push in it. The staleness of a push
    to a shard is the number of pushes from all workers, its own too, that the shard has taken in since the worker fetched it.
    With `max_staleness`, a shard refuses staler ones; the worker then fetches at once, so that what was refused is forgotten. The
    shards decide each for itself. The figure "dropped_pushes" counts a push that a part of the shards refused as that part.

    The local momentum is never reset. One worker that pushes deltas trains as it would without a server, to the bit: with
    W = theta_i at every step there is nothing to exchange, and W + (theta - W) could round.
    """

    name = "asgd"

    def attach(self, model: nn.Module, optimizer: torch.optim.Optimizer, comm: Comm) -> None:
        super().attach(model, optimizer, comm)
        self.unpushed = self._make_unpushed()
        self.unpushed.restart()

    def max_staleness(self) -> int | None:
        return self.config.max_staleness

    def _make_unpushed(self) -> Unpushed:
        if self.config.push == "deltas":
            return Deltas(self.buffer, self.work)
        return Gradients(self.buffer, self.work, self.optimizer)

    def _extra_shards(self) -> tuple[str, ...]:
        return ("momentum",) if self.config.push == "gradients" and self.config.server_momentum else ()

    @property
    def _trains_alone(self) -> bool:
        return self.comm.size == 1 and self.config.push == "deltas"

    @torch.no_grad()
    def _answer(self, piece: Piece, values: Tensor, begin: int, end: int, push: bool, fetch: bool) -> None:
        weights = piece.values[begin:end]
        if push:
            step = values.to(weights.device)
            if "momentum" in piece.extra:
                step = piece.extra["momentum"][begin:end].mul_(self.config.server_momentum).add_(step)
            weights.add_(step)
        if fetch:
            values.copy_(weights)

    @torch.no_grad()
    def _work_on(self) -> None:
        if self._trains_alone:
            return
        self.unpushed.took_step()
        wish = Wish.PUSH if self.steps % self.config.push_steps == 0 else Wish.REPORT
        if self.steps % self.config.fetch_steps == 0:
            wish |= Wish.FETCH
        if wish:
            self._exchange(wish)

    def _exchange(self, wish: Wish) -> None:
        self.buffer.pack()
        if Wish.PUSH in wish and not (self._is_healthy() and self.unpushed.is_finite()):
            self.unpushed.drop(self._ask)
            self._note_dropped_work()
        else:
            dropped = self.account.dropped
            self.unpushed.exchange(wish, self._ask)
            if self.account.dropped > dropped and Wish.FETCH not in wish:
                self.unpushed.exchange(Wish.FETCH, self._ask)
        self.buffer.unpack()

    @torch.no_grad()
    def _settle(self) -> None:
        if self._trains_alone:
            self._take_own()
        elif self._unpushed_frames:
            self._exchange(Wish.PUSH)

    @torch.no_grad()
    def _return_to_work(self) -> None:
        self.steps = 0  # all have pushed and fetched
        if not self._trains_alone:
            self.unpushed.drop(self._ask)
            self.buffer.unpack()

    def _local_state(self) -> dict[str, Any]:
        if not self.pending_frames:  # at a meeting all have the servers' parameters
            return {}
        self.buffer.pack()
        own = {"local": self.buffer.flat, "local_work": self.work, "local_buffers": self.buffers.read()}
        own = {name: values.cpu().clone() for name, values in own.items()}
        return {**super()._local_state(), **own, "local_steps": self.steps}

    @torch.no_grad()
    def _restart(self, state: dict[str, Any]) -> None:
        self._restart_server(state)
        self.steps = state.get("local_steps", 0)
        self.buffer.flat.copy_(self._gather_pieces(lambda piece: piece.values))  # from here on all servers are ready
        self.unpushed.restart()
        if "local" in state:
            self.buffer.flat.copy_(state["local"])
            self.work.copy_(state["local_work"])
        self.buffer.unpack()
        self.buffers.write(state.get("local_buffers", self.global_buffers))
