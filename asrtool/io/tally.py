"""Counts utterances done and failed, says which failed and why, and fails above a stated rate."""

import sys

from asrtool.errors import AsrtoolError


class Tally:
    """One for each run of a command.

    Args:
        what: what is counted, in the plural ("utterances").
        max_failed: the share of failures in [0, 1] above which `close` raises.
    """

    def __init__(self, what: str = "utterances", max_failed: float = 0.1) -> None:
        self.what = what
        self.max_failed = max_failed
        self.done = 0
        self.failures: list[tuple[str, str]] = []

    def ok(self) -> None:
        self.done += 1

    def failed(self, name: str, why: str) -> None:
        self.failures.append((name, why))
        print(f"WARNING: {name}: {why}", file=sys.stderr)

    def close(self) -> None:
        """Prints the counts; raises AsrtoolError if nothing was done or too much failed."""
        total = self.done + len(self.failures)
        print(f"{self.done} {self.what} done, {len(self.failures)} failed", file=sys.stderr)
        if total == 0:
            raise AsrtoolError(f"no {self.what} in the input")
        if self.done == 0 or len(self.failures) > self.max_failed * total:
            name, why = self.failures[0]
            raise AsrtoolError(
                f"{len(self.failures)} of {total} {self.what} failed (allowed: {self.max_failed:.0%}); the first: {name}: {why}"
            )
