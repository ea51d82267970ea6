"""Which utterances a speech module's processes work on next: in the trainer's order, not too far ahead of it.

No processes here, and no time: a book of what was asked for, handed out, done and taken.
"""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from asrtool.errors import AsrtoolError
from asrtool.sequence.options import SpeechOptions
from asrtool.sequence.outer_source import Request, UtteranceOuter

_SMOOTHING = 0.05  # weight of the newest step count in the running mean


@dataclass
class Job:
    """Places in the order that one process works on together."""

    ticket: int
    places: list[int]
    requests: list[Request]


class HandOut:
    """The book.

    Staleness is bounded at both ends. Ahead: utterance i is taken after i - taken more takes, at `steps_per_take` steps each, so
    no more are handed out than will come in time; that costs nothing but idle processes, which the limit asks for. At the end:
    what is too old all the same goes out once more, which costs its work. Handing out fewer first keeps the second rare.
    """

    def __init__(self, options: SpeechOptions) -> None:
        self.options = options
        self.steps_per_take = 0.0
        self._last_step = 0
        self._tickets = 0
        self.begin([])

    def begin(self, order: Sequence[Request]) -> None:
        """A new order; results of jobs that are still out will be dropped."""
        self.order = list(order)
        self.taken = 0  # places before it are done with
        self._next = 0
        self._again: deque[int] = deque()
        self._out: dict[int, Job] = {}
        self._ready: dict[int, UtteranceOuter] = {}
        self._deaths: Counter[int] = Counter()

    @property
    def ahead(self) -> int:
        """Utterances at most from the one that is taken next to the last one handed out."""
        options = self.options
        limit = options.queue
        if options.max_staleness:
            pace = self.steps_per_take or 1.0  # not known yet
            limit = min(limit, int((options.max_staleness - options.publish_every) / pace))
        return max(limit, 1)

    @property
    def num_ready(self) -> int:
        """Results that wait for the trainer."""
        return len(self._ready)

    @property
    def _batch(self) -> int:
        """Utterances of a job: fewer where otherwise some processes would have nothing to do."""
        return min(self.options.batch_utterances, max(1, self.ahead // max(self.options.num_processes, 1)))

    def next_job(self) -> Job | None:
        """Work for an idle process, if there is any: whole batches, but for the last and for utterances that go out again."""
        if self._again:
            return self._job([self._again.popleft()])
        end = min(len(self.order), self._next + self._batch)
        if self._next == end or end > self.taken + self.ahead:
            return None
        places = list(range(self._next, end))
        self._next = end
        return self._job(places)

    def _job(self, places: list[int]) -> Job:
        self._tickets += 1
        job = Job(self._tickets, places, [self.order[place] for place in places])
        self._out[job.ticket] = job
        return job

    def done(self, ticket: int, results: Sequence[UtteranceOuter]) -> None:
        """A process is through with a job."""
        if job := self._out.pop(ticket, None):  # else of an order that was dropped
            self._ready |= zip(job.places, results, strict=True)

    def died(self, ticket: int, how: str) -> None:
        """A process died over a job, whose utterances go out again, each by itself: so the one that kills is found.

        Raises:
            AsrtoolError: over one utterance for the last time allowed.
        """
        job = self._out.pop(ticket, None)
        if job is None:
            return
        self._deaths.update(job.places)
        self._again.extendleft(reversed(job.places))
        worst = [place for place in job.places if self._deaths[place] >= self.options.max_deaths]
        if worst:
            names = ", ".join(self.order[place][0] for place in worst)
            raise AsrtoolError(
                f"processes of the speech module died {self.options.max_deaths} times over {names} ({how}); "
                "is there too little memory? Else leave it out of the data, or narrow the search"
            )

    def expect(self, utterance: str) -> None:
        """ValueError unless `utterance` is the next to be taken."""
        expected = self.order[self.taken][0] if self.taken < len(self.order) else "nothing more"
        if utterance != expected:
            raise ValueError(f"{utterance} was taken, the order says {expected}")

    @property
    def is_ready(self) -> bool:
        """Whether the next result is there."""
        return self.taken in self._ready

    def is_stale(self, step: int) -> bool:
        """Whether the next result, which is there, is older than allowed."""
        return 0 < self.options.max_staleness < step - self._ready[self.taken].version

    def again(self) -> None:
        """The next result is thrown away and made again before anything else."""
        del self._ready[self.taken]
        self._again.appendleft(self.taken)

    def take(self, step: int) -> UtteranceOuter:
        """The next result, at the trainer's step `step`."""
        result = self._ready.pop(self.taken)
        if self.taken:
            steps = max(step - self._last_step, 0)
            self.steps_per_take += _SMOOTHING * (steps - self.steps_per_take) if self.steps_per_take else steps
        self._last_step = step
        self.taken += 1
        return result
