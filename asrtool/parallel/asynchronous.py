"""Workers that ask each other for parts of the model whenever they like, and meet from time to time (asgd, easgd)."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from asrtool.errors import AsrtoolError
from asrtool.parallel.global_model import GlobalModel, Piece
from asrtool.parallel.piece_server import PieceServer, Reply, Wish, header
from asrtool.parallel.protocol import Comm, SyncReport


@dataclass
class Account:
    """What a worker tells of its time since the last meeting.

    Attributes:
        frames: trained on, those of dropped work not counted.
        out_of_data: its data are used up.
        troubles: how often its parameters were not finite, so that it dropped its work.
        pushes: pieces that it has pushed.
        staleness, max_staleness: sum over those, and the largest.
        dropped: those that were too stale for the servers.
    """

    frames: int = 0
    out_of_data: bool = False
    troubles: int = 0
    pushes: int = 0
    staleness: int = 0
    max_staleness: int = 0
    dropped: int = 0


class AsynchronousAlgorithm(GlobalModel):
    """Each rank serves the pieces of the global model that it owns; a worker's steps wait for no other worker.

    Only meetings are collective. They take place when all workers together have trained on N * `sync_frames` frames, which the
    server of piece 0 counts, or with `barrier` when each has trained on its `sync_frames`: accounts are gathered, MA and EMA
    follow the global model, hooks run. Nobody pushes between a meeting's beginning and its end.

    The run goes on without a rank that is lost, unless it is rank 0: at the next collective rank alive[p % len(alive)] takes
    over its piece p, whole, with the values that it has itself; there MA and EMA begin again.

    A worker whose parameters are not finite drops its work since its last push, begins again at the global model and forgets its
    optimiser's state. All ranks stop when that happens under the policy "raise", or at more than `max_skipped_syncs` meetings in
    a row; "skip_block" is the same as "skip_worker". `warmup_frames`, `weighting` and `reset_local_momentum` have no effect.
    """

    def attach(self, model: nn.Module, optimizer: torch.optim.Optimizer, comm: Comm) -> None:
        super().attach(model, optimizer, comm)
        self.work = torch.zeros_like(self.buffer.flat)
        self.steps = 0
        self.server = PieceServer(self.pieces, self._answer, self.max_staleness(), self._frames_between_meetings)
        self._begin_period()
        comm.serve(self.server)

    def after_step(self, num_frames: int) -> None:
        self.comm.computed(num_frames)
        self.pending_frames += num_frames
        self.account.frames += num_frames
        self._unreported_frames += num_frames
        self._unpushed_frames += num_frames
        self.steps += 1
        self._work_on()
        by_own_frames = self.config.barrier or self.comm.size == 1
        if self.pending_frames >= self.config.sync_frames if by_own_frames else self._meeting_due:
            self._meet(out_of_data=False)

    def finish(self) -> None:
        while not self._meet(out_of_data=True).finished:
            pass

    # --- for subclasses

    keeps_buffers = False  # whether workers go on with their own buffers (running statistics) after a meeting

    def max_staleness(self) -> int | None:
        """The bound that the own server keeps."""
        return None

    def _answer(self, piece: Piece, values: Tensor, begin: int, end: int, push: bool, fetch: bool) -> None:
        """See `piece_server.Answer`; runs on the server's thread."""
        raise NotImplementedError

    def _work_on(self) -> None:
        """After the optimiser's step: exchanges with the servers, when it is time to."""

    def _settle(self) -> None:
        """Before a meeting: pushes what is not pushed yet, or drops it when it is not finite."""
        raise NotImplementedError

    def _form_global(self) -> None:
        """At a meeting, when nobody pushes: makes of the pieces what is evaluated."""

    def _return_to_work(self) -> None:
        """At a meeting, before the hooks: brings the worker to where it goes on."""

    def _ask(self, wish: Wish, flat: Tensor) -> list[bool]:
        """A request to the servers of all pieces of `flat`; tells for each piece whether it was answered."""
        numbers, self._unreported_frames = header(wish, self._unreported_frames), 0
        replies = self.comm.request(self.owners, numbers, flat, send=Wish.PUSH in wish, receive=Wish.FETCH in wish)
        known = [Reply(*reply[: len(Reply._fields)]) for reply in replies if reply is not None]
        self._meeting_due = self._meeting_due or any(reply.meeting_due for reply in known)
        if Wish.PUSH in wish:
            self._book(known)
            self._unpushed_frames = 0
        return [reply is not None for reply in replies]

    def _book(self, replies: Sequence[Reply]) -> None:
        account, staleness = self.account, [int(reply.staleness) for reply in replies]
        account.pushes += len(replies)
        account.staleness += sum(staleness)
        account.max_staleness = max([account.max_staleness, *staleness])
        account.dropped += sum(int(reply.dropped) for reply in replies)

    def _note_dropped_work(self) -> None:
        """The worker's parameters are not finite: its optimiser and buffers begin again too."""
        self.account.troubles += 1
        self.account.frames -= self._unpushed_frames
        self._unpushed_frames = 0
        self.optimizer.state.clear()  # its momentum is as non-finite as the parameters, or leads there
        self.buffers.write(self.global_buffers)

    def _take_own(self) -> None:
        """What a worker that is alone does instead of exchanging: its parameters are the global model."""
        self.buffer.pack()
        if self._is_healthy():
            self.pieces[0].values.copy_(self.buffer.flat)
        else:
            self.buffer.flat.copy_(self.pieces[0].values)
            self.buffer.unpack()
            self._note_dropped_work()

    def _local_state(self) -> dict[str, Any]:
        """Empty at a meeting. Elsewhere the states of the ranks fit together only if nobody pushes while they are made."""
        if not self.pending_frames:
            return {}
        return {
            "local_account": asdict(self.account),
            "local_frames": (self._unreported_frames, self._unpushed_frames, self.server.frames, self._meeting_due),
            "local_staleness": self.server.staleness_of(self.comm.size),
        }

    def _restart_server(self, state: dict[str, Any]) -> None:
        """All pieces are loaded: begins a new period, or goes on with that of `state`; before the next collective."""
        self._begin_period()
        self.account = Account(**state.get("local_account", {}))
        if "local_frames" in state:
            self._unreported_frames, self._unpushed_frames, self.server.frames, self._meeting_due = state["local_frames"]
        self.server.set_staleness(state.get("local_staleness", {}))

    # --- meetings

    def _begin_period(self) -> None:
        self.pending_frames = self._unreported_frames = self._unpushed_frames = 0
        self.account = Account()
        self._meeting_due = False
        self.server.frames = 0.0

    def _frames_between_meetings(self) -> float:
        return float(self.config.sync_frames * len(self.comm.alive))

    def _gather_accounts(self, out_of_data: bool) -> list[Account]:
        """In the order of ranks; a rank that is lost has done nothing and is out of data."""
        self.account.out_of_data = out_of_data
        row = torch.tensor(astuple(self.account), dtype=torch.float64, device=self.buffer.flat.device)
        rows = self.comm.all_gather(row).view(self.comm.size, -1).tolist()
        alive = set(self.comm.alive)
        return [Account(*map(int, numbers)) if rank in alive else Account(out_of_data=True) for rank, numbers in enumerate(rows)]

    def _meet(self, out_of_data: bool) -> SyncReport:
        self._settle()
        accounts = self._gather_accounts(out_of_data)
        self._take_over_lost()
        self._unreported_frames = 0  # those of `accounts` count
        frames = sum(account.frames for account in accounts)
        nonfinite = tuple(rank for rank, account in enumerate(accounts) if account.troubles)
        self._count_trouble(nonfinite, "its work since it last sent any is dropped")
        if frames:
            self._form_global()
            self._advance(frames, [float(account.frames > 0) for account in accounts], write_buffers=not self.keeps_buffers)
        self._return_to_work()
        report = SyncReport(
            index=self.num_syncs,
            total_frames=self.total_frames,
            block_frames=frames,
            num_active=sum(account.frames > 0 for account in accounts),
            nonfinite_ranks=nonfinite,
            skipped=bool(nonfinite) and not frames,
            finished=all(account.out_of_data for account in accounts),
            notes=self._notes(accounts),
        )
        self._begin_period()
        for hook in self.on_sync:
            hook(report)
        self.comm.barrier()  # whoever goes on changes what the others might still be reading
        return report

    def _notes(self, accounts: Sequence[Account]) -> dict[str, float]:
        notes = {}
        pushes = sum(account.pushes for account in accounts)
        if pushes:
            notes["staleness_mean"] = sum(account.staleness for account in accounts) / pushes
            notes["staleness_max"] = float(max(account.max_staleness for account in accounts))
            notes["dropped_pushes"] = sum(account.dropped for account in accounts) / self.comm.size
        if len(self.comm.alive) < self.comm.size:
            notes["lost_workers"] = float(self.comm.size - len(self.comm.alive))
        return notes

    # --- lost ranks

    def _take_over_lost(self) -> None:
        while any(owner not in self.comm.alive for owner in self.owners):
            alive = list(self.comm.alive)
            lost = [piece for piece, owner in enumerate(self.owners) if owner not in alive]
            for piece in lost:
                self.owners[piece], before = alive[piece % len(alive)], self.owners[piece]
                if self.comm.rank == 0:
                    what = f"rank {self.owners[piece]} takes over what lost rank {before} had of the model"
                    print(f"WARNING: {what}; MA and EMA begin again there", file=sys.stderr, flush=True)
                if self.owners[piece] == self.comm.rank:
                    self._adopt(piece)
            self.comm.barrier()  # nobody asks for a piece before its new owner has it

    def _adopt(self, piece: int) -> None:
        self.buffer.pack()
        if not bool(torch.isfinite(self._view(self.buffer.flat, piece).sum())):
            raise AsrtoolError(
                f"rank {self.comm.rank}: no usable copy of the part of the model that was lost with another worker"
            )
        self.pieces[piece] = self._new_piece(piece)
        self.pieces[piece].averages.count = self.buffer_averages.count
