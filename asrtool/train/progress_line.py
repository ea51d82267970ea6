"""What a training says on standard error: a line that renews itself, and messages."""

import sys
import time

from asrtool.train.metrics import Sums


class ProgressLine:
    """One line that renews itself on a terminal, a plain line now and then in a log; only on rank 0."""

    def __init__(self, active: bool, log_every_s: float = 20.0) -> None:
        self.active = active
        self.terminal = active and sys.stderr.isatty()
        self.every_s = 0.5 if self.terminal else log_every_s
        self.start = self.reported = time.monotonic()
        self.start_fraction: float | None = None

    def show(self, epoch: float, num_epochs: int, sums: Sums, frames_per_s: float, learning_rate: float) -> None:
        """`epoch` of `num_epochs` are done; prints when it is time to."""
        now = time.monotonic()
        if self.start_fraction is None or epoch < self.start_fraction:  # the first time, or after a rollback
            self.start, self.start_fraction = now, epoch
        if not self.active or now - self.reported < self.every_s:
            return
        self.reported = now
        done = epoch - self.start_fraction
        left = f"{(now - self.start) / done * (num_epochs - epoch):.0f} s left" if done > 0 else "time left not known yet"
        line = (
            f"epoch {epoch:.2f} of {num_epochs}: loss {sums.mean_loss:.3f}, FER {sums.fer:.1f} %, {frames_per_s:,.0f} frames/s "
            f"({frames_per_s / 100:.0f} hours/hour), learning rate {learning_rate:.3g}, {left}"
        )
        print(f"\r\x1b[K{line}" if self.terminal else line, end="" if self.terminal else "\n", file=sys.stderr, flush=True)

    def message(self, text: str) -> None:
        if self.active:
            print(f"\r\x1b[K{text}" if self.terminal else text, file=sys.stderr, flush=True)
