"""Progress of long work: a bar on a terminal, a plain line now and then in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def progress(items: Iterable[Item], total: int, what: str, log_every_s: float = 20.0) -> Iterator[Item]:
    """Passes `items` on and reports to standard error how many of `total` are done and how long the rest takes."""
    terminal = sys.stderr.isatty()
    every_s = 0.2 if terminal else log_every_s
    start = reported = time.monotonic()
    done = 0
    for item in items:
        yield item
        done += 1
        now = time.monotonic()
        if now - reported >= every_s:
            reported = now
            left_s = (now - start) / done * (total - done)
            line = f"{what}: {done} of {total} ({done / max(total, 1):.0%}), {left_s:.0f} s left"
            print(f"\r\x1b[K{line}" if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True)
    if terminal:
        print("\r\x1b[K", end="", file=sys.stderr)
    print(f"{what}: {done} done in {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)
