"""Utterances that give no outer gradient: counted by kind, each named once, and too many of them an error."""

import sys
from collections import Counter, deque

from asrtool.errors import AsrtoolError
from asrtool.sequence.options import SpeechOptions
from asrtool.sequence.outer_source import UtteranceOuter

KINDS = {
    "features": "its features are missing or unfit",
    "nan": "the network's outputs are not finite",
    "alignment": "its alignment is missing, or not of this model",
    "length": "its alignment is of another length than its features",
    "realign": "no path through its training graph was found",
    "search": "the search for its denominator lattice failed",
    "lattice": "its denominator lattice is missing, empty or damaged",
    "numerator": "its numerator is no path of the lattice",
    "criterion": "the criterion refused it",
}
_NAMES_A_LINE = 20
RECENT = 1000  # utterances over which the share of failures is taken: a network that goes bad late is noticed


class UtteranceError(AsrtoolError):
    """What is wrong with one utterance, and the kind of it, a key of KINDS."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind

    def __reduce__(self) -> tuple:  # crosses from process to process
        return UtteranceError, (self.kind, str(self))


class Failures:
    """Counts them.

    Args:
        options: `max_failed`: share of the last `RECENT` utterances above which `add` raises, once `min_counted` have been tried.
    """

    def __init__(self, options: SpeechOptions) -> None:
        self.max_failed, self.min_counted = options.max_failed, options.min_counted
        self._named: set[tuple[str, str]] = set()
        self._recent: deque[str] = deque(maxlen=max(RECENT, options.min_counted))
        self._done_about_missing = {"keep": "kept", "add": "added", "skip": "left out"}[options.missing_numerator]
        self._missing: list[str] = []

    def judge(self, result: UtteranceOuter) -> None:
        """Takes a result into account. A numerator that is missing is dealt with by policy and no failure, but is named too.

        Raises:
            AsrtoolError: there are too many failures.
        """
        if result.numerator_missing and (result.name, "numerator") not in self._named:
            self._named.add((result.name, "numerator"))
            self._missing.append(result.name)
            if len(self._missing) >= _NAMES_A_LINE:
                self.close()
        if result.outer is not None or result.reason == "numerator":
            self.ok()
        else:
            self.add(result.name, result.reason, result.message)

    def close(self) -> None:
        """Names the last missing numerators."""
        if self._missing:
            print(f"numerator is no path of the lattice, {self._done_about_missing}: {' '.join(self._missing)}", file=sys.stderr)
        self._missing.clear()

    def ok(self) -> None:
        """An utterance that did not fail."""
        self._recent.append("")

    def add(self, name: str, kind: str, message: str) -> None:
        """An utterance that failed.

        Raises:
            AsrtoolError: there are too many.
        """
        self._recent.append(kind)
        if (name, kind) not in self._named:
            self._named.add((name, kind))
            print(f"WARNING: {name}: left out: {KINDS[kind]}: {message}", file=sys.stderr)
        kinds = Counter(filter(None, self._recent))
        failed = kinds.total()
        if len(self._recent) >= max(self.min_counted, 1) and failed > self.max_failed * len(self._recent):
            most = ", ".join(f"{count} because {KINDS[kind]}" for kind, count in kinds.most_common())
            raise AsrtoolError(
                f"{failed} of the last {len(self._recent)} utterances gave no outer gradient (allowed: {self.max_failed:.0%}): "
                f"{most}; the last: {name}: {message}"
            )
