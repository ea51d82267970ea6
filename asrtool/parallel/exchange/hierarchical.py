"""The exchange of a flat buffer on CPUs: through shared memory within a host, by messages between hosts.

Ranks that read each other's memory form a group: those of a host where shared memory works, else each rank alone. Each piece of
the buffer has its owner in one group; in every other group one rank, its carrier, adds up the group's values of the piece, sends
the sum to the owner, and takes the updated piece back for its group. One group alone needs no messages; groups of one rank
exchange directly, everyone with everyone. Between hosts of L ranks an L-th of the bytes travels that would travel directly.
"""

from collections import deque
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from asrtool.parallel.exchange.lane import Lane
from asrtool.parallel.exchange.summation import UPDATE_ELEMENTS, may_hold_sum, ranges, sum_dtype, weighted_sum_
from asrtool.parallel.exchange.traffic import carrier
from asrtool.parallel.protocol import UpdateRange

MESSAGE_ELEMENTS = 1024 * 1024  # of one message, 4 MiB of float32
MESSAGES_AHEAD = 4  # messages from each peer that may arrive before they are added up: bounds the staging memory


class Exchange:
    """One exchange on one rank: `run`.

    Args:
        flat: the own buffer.
        views: the buffer of every rank of the own host, the own one included; None (on all ranks) without shared memory.
        weights: of all ranks.
        update: None for the sum alone.
    """

    def __init__(
        self, lane: Lane, flat: Tensor, views: Mapping[int, Tensor] | None, weights: Sequence[float], update: UpdateRange | None
    ) -> None:
        self.lane, self.flat, self.update = lane, flat, update
        self.rank = lane.rank
        self.views = {self.rank: flat} if views is None else views
        self.shard = flat.numel() // lane.size
        self.dtype = sum_dtype(flat.dtype)
        if views is None:
            groups = [[rank] for rank in range(lane.size)]
        else:
            groups = [[r for r, other in enumerate(lane.hosts) if other == host] for host in sorted(set(lane.hosts))]
        self.members = next(group for group in groups if self.rank in group)
        self.others = [group for group in groups if group is not self.members]
        self.carried = [p for p in range(lane.size) if p not in self.members and carrier(p, self.members) == self.rank]
        self.partners = [carrier(self.rank, group) for group in self.others]  # for the own piece
        self.sums_travel = 1 < len(groups) < lane.size  # sums of groups, not the ranks' own values
        self._weigh(list(weights))

    def _weigh(self, weights: list[float]) -> None:
        """Which messages come and go, and the weights of what arrives."""
        self.weights = weights
        self.sends = any(weights[rank] != 0 for rank in self.members)
        self.senders = [p for p, group in zip(self.partners, self.others) if any(weights[rank] != 0 for rank in group)]
        self.arriving_weights = list(weights)
        if self.sums_travel:
            for group in self.others:
                for rank in group:
                    self.arriving_weights[rank] = float(rank in self.senders)
        # the own piece of the buffer is free to hold its sum: nobody else reads it now
        in_place = self.flat.dtype == self.dtype and self.update is not None
        self.in_place = in_place and may_hold_sum(self.rank, self.arriving_weights, self.lane.hosts)

    def run(self) -> Tensor | None:
        """The own shard of the sum when there is no update."""
        result = None if self.update is not None else torch.empty(self.shard, dtype=self.dtype)
        if len(self.members) > 1:
            self.lane.host_barrier()  # all have packed their parameters
        if self.others:
            self._by_messages(result)
        else:
            self._add_up(0, self.shard, {}, result)
        if len(self.members) > 1:
            self.lane.host_barrier()  # all pieces of the host are there
            if self.update is not None:
                self._fetch()
                self.lane.host_barrier()  # all have read: training may change the parameters again
        return result

    def _piece(self, owner: int, piece: int, begin: int, end: int) -> Tensor:
        return self.views[owner][piece * self.shard + begin : piece * self.shard + end]

    def _fetch(self) -> None:
        """The pieces that other ranks of the host own or have carried here."""
        for piece in range(self.lane.size):
            holder = piece if piece in self.members else carrier(piece, self.members)
            if holder != self.rank:
                self._piece(self.rank, piece, 0, self.shard).copy_(self._piece(holder, piece, 0, self.shard))

    def _add_up(self, begin: int, end: int, arrived: Mapping[int, Tensor], result: Tensor | None) -> None:
        """Sums elements [begin, end) of the own piece, then updates them, range by range while they are in the cache."""
        scratch = self.lane.stage("scratch", [UPDATE_ELEMENTS], self.dtype)
        unread = scratch[:0]
        for left, right in ranges(begin, end, UPDATE_ELEMENTS):
            parts = [unread] * self.lane.size
            for rank in self.members:
                parts[rank] = self._piece(rank, self.rank, left, right)
            for rank, values in arrived.items():
                parts[rank] = values[left - begin : right - begin]
            own = parts[self.rank]
            total = scratch[: right - left] if result is None else result[left:right]
            total = own if self.in_place else total
            weighted_sum_(parts, self.arriving_weights, total, self.lane.hosts)
            if self.update is not None:
                self.update(left, right, total)
                if total is not own:
                    own.copy_(total)

    def _by_messages(self, result: Tensor | None) -> None:
        """The own piece from the other groups and back to them, carried pieces to their owners and back.

        Messages of the way back are expected from the start: an owner sends one only after it has received this rank's part of
        it, so that it cannot overwrite what is still to be sent.
        """
        chunks = list(ranges(0, self.shard, MESSAGE_ELEMENTS))
        row_size = min(self.shard, MESSAGE_ELEMENTS)
        kind = self.dtype if self.sums_travel else self.flat.dtype
        staging = self.lane.stage("in", [MESSAGES_AHEAD, len(self.senders), row_size], kind)
        arriving, leaving, pending = deque(), deque(), []

        def expect(index: int) -> None:
            begin, end = chunks[index]
            rows = staging[index % MESSAGES_AHEAD, :, : end - begin]
            arriving.append([self.lane.receive(row, rank, 2 * index) for row, rank in zip(rows, self.senders)])

        def contribute(index: int) -> None:
            if not self.sends:
                return
            if self.sums_travel and len(leaving) == MESSAGES_AHEAD:
                self.lane.wait(leaving.popleft())  # its memory is used again
            messages = [(piece, self._contribution(piece, index, chunks[index], row_size)) for piece in self.carried]
            leaving.append([self.lane.send(values, piece, 2 * index) for piece, values in messages])

        for index in range(min(MESSAGES_AHEAD, len(chunks))):
            expect(index)
        if self.update is not None:
            for index, (begin, end) in enumerate(chunks):
                places = [(self._piece(self.rank, piece, begin, end), piece) for piece in self.carried]
                pending.append([self.lane.receive(place, piece, 2 * index + 1) for place, piece in places])
        for index in range(min(MESSAGES_AHEAD, len(chunks))):
            contribute(index)
        for index, (begin, end) in enumerate(chunks):
            self.lane.wait(arriving.popleft())
            rows = staging[index % MESSAGES_AHEAD, :, : end - begin]
            self._add_up(begin, end, dict(zip(self.senders, rows)), result)
            if index + MESSAGES_AHEAD < len(chunks):
                expect(index + MESSAGES_AHEAD)
            if self.update is not None:
                own = self._piece(self.rank, self.rank, begin, end)
                pending.append([self.lane.send(own, rank, 2 * index + 1) for rank in self.partners])
            if index + MESSAGES_AHEAD < len(chunks):
                contribute(index + MESSAGES_AHEAD)
        for works in [*leaving, *pending]:
            self.lane.wait(works)

    def _contribution(self, piece: int, index: int, chunk: tuple[int, int], row_size: int) -> Tensor:
        """What the owner of `piece` gets from this group for a chunk of it."""
        begin, end = chunk
        if not self.sums_travel:
            return self._piece(self.rank, piece, begin, end)
        rows = self.lane.stage("out", [MESSAGES_AHEAD, len(self.carried), row_size], self.dtype)
        total = rows[index % MESSAGES_AHEAD, self.carried.index(piece), : end - begin]
        weights = [self.weights[rank] for rank in self.members]
        for left, right in ranges(begin, end, UPDATE_ELEMENTS):
            parts = [self._piece(rank, piece, left, right) for rank in self.members]
            weighted_sum_(parts, weights, total[left - begin : right - begin])
        return total
