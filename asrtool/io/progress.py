"""Progress of long work: a line that renews itself on a terminal, a plain line now and then in a log."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def duration(seconds: float) -> str:
    """ "45 s", "12 min 05 s", "3 h 20 min" or "2 d 05 h"."""
    seconds = round(seconds)
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 7200:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    if seconds < 48 * 3600:
        return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
    return f"{seconds // 86400} d {seconds % 86400 // 3600:02d} h"


def size(num_bytes: float) -> str:
    """Bytes in powers of ten: "540 MB", "1.2 GB"."""
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= scale:
            return f"{num_bytes / scale:.1f} {unit}" if num_bytes < 10 * scale else f"{num_bytes / scale:.0f} {unit}"
    return f"{num_bytes:.0f} bytes"


class Meter:
    """Reports to standard error how much of `total` is done and how long the rest takes.

    Args:
        total: what there is to do; None where that is not known.
        what: the work's name, before the colon.
        log_every_s: seconds between the lines in a log.
        start: what an earlier run has done; it does not count in the rate.
        unit: how an amount is written (`str`: a count; `size`: bytes, with the rate).
    """

    def __init__(
        self, total: float | None, what: str, log_every_s: float = 20.0, start: float = 0, unit: Callable[[float], str] = str
    ) -> None:
        self.total, self.what, self.first, self.unit = total, what, start, unit
        self.terminal = sys.stderr.isatty()
        self.every_s = 0.2 if self.terminal else log_every_s
        self.started = self.reported = time.monotonic()

    def show(self, done: float) -> None:
        """`done` of the whole are done; prints when it is time to."""
        now = time.monotonic()
        if now - self.reported < self.every_s:
            return
        self.reported = now
        rate = (done - self.first) / max(now - self.started, 1e-9)
        line = f"{self.what}: {self.unit(done)}"
        if self.total is not None:
            line += f" of {self.unit(self.total)} ({done / max(self.total, 1e-9):.0%})"
        if self.unit is size:
            line += f", {size(rate)}/s"
        if self.total is not None and rate > 0:
            line += f", {duration(max(self.total - done, 0) / rate)} left"
        print(f"\r\x1b[K{line}" if self.terminal else line, end="" if self.terminal else "\n", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Takes the line off a terminal, before other output."""
        if self.terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started


def progress(items: Iterable[Item], total: int | None, what: str, log_every_s: float = 20.0, end: bool = True) -> Iterator[Item]:
    """Passes `items` on and reports to standard error how many of `total` are done and how long the rest takes.

    Args:
        total: None where it is not known.
        end: whether a line at the end tells how long all took; False for what is mostly quick.
    """
    meter = Meter(total, what, log_every_s)
    done = 0
    for item in items:
        yield item
        done += 1
        meter.show(done)
    meter.clear()
    if end:
        print(f"{what}: {done} done in {meter.seconds:.1f} s", file=sys.stderr, flush=True)
