"""The clocks of virtual workers, and what their time was spent on."""

from collections.abc import Hashable, Sequence

import numpy as np

from asrtool.parallel.simulation.simulated_time import SimulatedTime


class VirtualClocks:
    """Clocks of N workers, all at 0 in the beginning; every change is deterministic.

    They stand still while a training is set up, until the first minibatch, and again from `stand_still` to the next minibatch or
    request: models are validated and saved off the clock, as in the records of real trainings.

    Attributes:
        now: [N], seconds.
        compute_s: [N], seconds of training.
        communication_s: [N], seconds in which a worker did nothing but communicate.
        waiting_s: [N], seconds of waiting for others to come to a collective. The three add up to `now`.
        num_frames: [N], frames trained on.
        bytes_sent: [N], while the clocks went.
    """

    def __init__(self, times: SimulatedTime, hosts: Sequence[int]) -> None:
        size = len(hosts)
        self.times = times
        self.hosts = list(hosts)
        self.now = [0.0] * size
        self.compute_s = [0.0] * size
        self.communication_s = [0.0] * size
        self.waiting_s = [0.0] * size
        self.num_frames = [0] * size
        self.bytes_sent = [0] * size
        self._standing = True
        self._rates = times.rates(size)
        self._noise = [np.random.default_rng([times.seed, rank, 1]) for rank in range(size)]
        self._exchange_free = [0.0] * size  # when the last exchange beside the computation is over: the same for all
        self._hidden = [0.0] * size  # seconds of communication that the next minibatch may hide
        self._busy_out: dict[Hashable, float] = {}
        self._busy_in: dict[Hashable, float] = {}
        self._busy_server: dict[Hashable, float] = {}

    def computed(self, rank: int, num_frames: int) -> None:
        """The worker has trained on `num_frames` more."""
        self._standing = False
        seconds = num_frames * self._rates[rank]
        if self.times.jitter:
            seconds *= float(np.exp(self.times.jitter * self._noise[rank].standard_normal()))
        self.num_frames[rank] += num_frames
        self.compute_s[rank] += seconds
        exposed = max(0.0, self._hidden[rank] - self.times.backward_share * seconds)
        self.communication_s[rank] += exposed
        self._hidden[rank] = 0.0
        self.now[rank] += seconds + exposed

    def sent(self, rank: int, num_bytes: int) -> None:
        """The worker has sent something to others."""
        if not self._standing:
            self.bytes_sent[rank] += num_bytes

    def meet(self, ranks: Sequence[int], cost_s: float) -> None:
        """A collective of `ranks` begins when the last of them comes, and takes `cost_s`."""
        cost_s = 0.0 if self._standing else cost_s
        latest = max(self.now[rank] for rank in ranks)
        for rank in ranks:
            self.waiting_s[rank] += latest - self.now[rank]
            self.communication_s[rank] += cost_s
            self.now[rank] = latest + cost_s

    def begin(self, rank: int, starts: Sequence[float], cost_s: float) -> float:
        """When an exchange beside the computation is over that the workers started at `starts`; it waits for the one before it.

        Every rank calls this for every such exchange, and gets the same answer.
        """
        self._exchange_free[rank] = max(*starts, self._exchange_free[rank]) + cost_s
        return self._exchange_free[rank]

    def wait(self, rank: int, done: float, cost_s: float, started: float) -> None:
        """The worker wants the result of an exchange that it started at `started` and that is over at `done`.

        Gradients are exchanged during the backward pass whose time is booked only by the following `computed`: if the clock has
        not moved since the start, what is left of the exchange is handed on to be hidden there.
        """
        left = max(0.0, done - self.now[rank])
        if self.now[rank] == started:
            self._hidden[rank] = max(self._hidden[rank], left)
            return
        own = min(left, cost_s)
        self.communication_s[rank] += own
        self.waiting_s[rank] += left - own
        self.now[rank] += left

    def stand_still(self) -> None:
        """What comes now up to the next minibatch is not part of the training."""
        self._standing = True

    def settle(self) -> None:
        """No minibatch follows that could hide an exchange."""
        for rank, hidden in enumerate(self._hidden):
            self.communication_s[rank] += hidden
            self.now[rank] += hidden
            self._hidden[rank] = 0.0

    def request(self, rank: int, owners: Sequence[int], piece_elements: int, out_bytes: int, back_bytes: int) -> None:
        """The worker asks each owner (of one piece each) and waits for all answers.

        Args:
            out_bytes, back_bytes: of each piece, on the way to its owner and back.
        """
        self._standing = False
        begin = end = self.now[rank]
        update_s = piece_elements * self.times.update_s_per_element
        for owner in owners:
            arrived = self._carry(rank, owner, begin, out_bytes)
            updated = self._occupy(self._busy_server, owner, arrived, update_s)
            end = max(end, self._carry(owner, rank, updated, back_bytes))
        self.communication_s[rank] += end - begin
        self.now[rank] = end

    def _carry(self, source: int, target: int, start: float, num_bytes: int) -> float:
        """When a message that is sent at `start` has arrived."""
        if source == target:
            return start
        within = self.hosts[source] == self.hosts[target]
        link = self.times.inner if within else self.times.link
        seconds = num_bytes / link.bytes_per_s
        out, into = (
            (("rank", source), ("rank", target)) if within else (("host", self.hosts[source]), ("host", self.hosts[target]))
        )
        sent = self._occupy(self._busy_out, out, start, seconds)
        return self._occupy(self._busy_in, into, sent - seconds + link.latency_s, seconds)  # from the first bit to the last

    def _occupy(self, busy: dict[Hashable, float], what: Hashable, start: float, seconds: float) -> float:
        """When something that takes `seconds` is over, if it begins at `start` or when `what` is free."""
        free = busy.get(what, 0.0) if self.times.queueing else 0.0
        busy[what] = max(start, free) + seconds
        return busy[what]
