"""What a rank answers to the workers of asgd and easgd: the bookkeeping of requests."""

from collections.abc import Callable, Mapping, Sequence
from enum import IntFlag
from typing import NamedTuple

from torch import Tensor

from asrtool.parallel.global_model import Piece
from asrtool.parallel.protocol import HEADER_SIZE


class Wish(IntFlag):
    """What a worker wants of a piece."""

    REPORT = 0
    PUSH = 1
    FETCH = 2


class Reply(NamedTuple):
    """The reply's header.

    Attributes:
        meeting_due: only of piece 0: all workers together have trained on enough frames.
        staleness: pushes that the piece has taken in since the asking worker's last fetch of it, from all workers.
        dropped: the push was too stale and is not taken in.
    """

    meeting_due: float
    staleness: float
    dropped: float


Answer = Callable[[Piece, Tensor, int, int, bool, bool], None]
"""answer(piece, values, begin, end, push, fetch): takes `values` in if `push`, and fills them, in place, with what the worker
gets back."""


class PieceServer:
    """Answers requests for the pieces that a rank owns, and counts them.

    Args:
        pieces: piece number -> piece; may change between requests.
        answer: the arithmetic of the algorithm.
        max_staleness: pushes that are staler are dropped; None: none.
        meeting_frames: frames of all workers together between two meetings.
    """

    def __init__(
        self, pieces: Mapping[int, Piece], answer: Answer, max_staleness: int | None, meeting_frames: Callable[[], float]
    ) -> None:
        self.pieces = pieces
        self.answer = answer
        self.max_staleness = max_staleness
        self.meeting_frames = meeting_frames
        self.frames = 0.0  # that workers have told of since the last meeting
        self._pushes: dict[int, int] = {}
        self._fetched_at: dict[tuple[int, int], int] = {}  # (piece, source) -> pushes at that time
        self._wishes: dict[tuple[int, int], Wish] = {}

    def open(self, source: int, piece: int, header: Sequence[float]) -> list[float]:
        wish = Wish(int(header[0]))
        if piece == 0 and header[1]:
            self.frames += header[1]
        pushes = self._pushes.get(piece, 0)
        staleness = pushes - self._fetched_at.get((piece, source), 0)
        dropped = Wish.PUSH in wish and self.max_staleness is not None and staleness > self.max_staleness
        if dropped:
            wish &= ~Wish.PUSH
        if Wish.PUSH in wish:
            pushes = self._pushes[piece] = pushes + 1
        if Wish.FETCH in wish:
            self._fetched_at[piece, source] = pushes
        self._wishes[piece, source] = wish
        return padded(Reply(float(self.frames >= self.meeting_frames()), float(staleness), float(dropped)))

    def update(self, source: int, piece: int, begin: int, end: int, values: Tensor) -> None:
        wish = self._wishes[piece, source]
        self.answer(self.pieces[piece], values, begin, end, Wish.PUSH in wish, Wish.FETCH in wish)

    def staleness_of(self, num_workers: int) -> dict[int, list[int]]:
        """Piece -> for every worker the pushes since its last fetch."""
        workers = range(num_workers)
        return {p: [self._pushes.get(p, 0) - self._fetched_at.get((p, worker), 0) for worker in workers] for p in self.pieces}

    def set_staleness(self, staleness: Mapping[int, Sequence[int]]) -> None:
        """The reverse."""
        self._pushes = {}
        self._fetched_at = {(piece, worker): -age for piece, ages in staleness.items() for worker, age in enumerate(ages)}


def header(wish: Wish, frames: int) -> list[float]:
    """A request's header: what is wanted, and how many frames the worker has trained on since the last one."""
    return padded((float(wish), float(frames)))


def padded(numbers: Sequence[float]) -> list[float]:
    return [*numbers, *[0.0] * (HEADER_SIZE - len(numbers))]
