"""Figures on the speech module for the training's records."""

from collections import Counter

from asrtool.sequence.outer_source import UtteranceOuter

ALWAYS = (
    *("lattices", "outer_frames", "sequence_objective", "rejected_frames", "failed", "missing_numerator", "recomputed"),
    *("lost_processes", "wait_s", "forward_s", "search_s", "criterion_s"),
)
"""Sums that are given when they are 0 too."""


class SourceNotes:
    """What was taken since the last `collect`.

    `collect` gives sums, means ("..._mean") and maxima ("..._max"), as the records of a training join them:

        lattices: utterances that gave an outer gradient; outer_frames: their 10 ms frames; sequence_objective: the sum of their
            objectives; rejected_frames: see Outer.
        failed, failed_<kind>: utterances that gave none, and why (failures.KINDS).
        missing_numerator: utterances whose numerator is (or was, before it was added) no path of the lattice.
        lattice_staleness_mean, _max: steps from the parameters of a lattice to those that its gradient was taken for.
        depth_mean: arcs of a denominator lattice that cross a frame. silence_share_mean: share of the denominator's posterior
            on silence phones. Both by frames.
        queue_mean: results that were ready when the trainer came for the next.
        recomputed: results made again because they were older than max_staleness; lost_processes: processes that died.
        wait_s: seconds that the trainer waited. forward_s, search_s, criterion_s: CPU seconds of the speech module.
    """

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._sums: Counter[str] = Counter()
        self._staleness: list[int] = []
        self._ready: list[int] = []
        self._crossing = self._silence = 0.0

    def count(self, name: str, amount: float = 1) -> None:
        """Adds to one of the sums."""
        self._sums[name] += amount

    def taken(self, result: UtteranceOuter, staleness: int, num_ready: int = 0) -> None:
        """The trainer has taken a result; num_ready: how many there were."""
        sums = self._sums
        sums["forward_s"] += result.forward_s
        sums["search_s"] += result.search_s
        sums["criterion_s"] += result.criterion_s
        sums["missing_numerator"] += result.numerator_missing
        self._ready.append(num_ready)
        if result.outer is None:
            sums["failed"] += 1
            sums[f"failed_{result.reason}"] += 1
            return
        outer = result.outer
        sums["lattices"] += 1
        sums["outer_frames"] += outer.num_frames
        sums["sequence_objective"] += outer.objective
        sums["rejected_frames"] += outer.rejected_frames
        self._staleness.append(staleness)
        self._crossing += result.depth * outer.num_frames
        self._silence += outer.silence_share * outer.num_frames

    def collect(self) -> dict[str, float]:
        """The figures, which then begin anew."""
        figures = {name: float(self._sums[name]) for name in {**dict.fromkeys(ALWAYS), **self._sums}}
        if self._ready:
            figures["queue_mean"] = sum(self._ready) / len(self._ready)
        if self._staleness:
            figures["lattice_staleness_mean"] = sum(self._staleness) / len(self._staleness)
            figures["lattice_staleness_max"] = float(max(self._staleness))
        if frames := self._sums["outer_frames"]:
            figures["depth_mean"], figures["silence_share_mean"] = float(self._crossing / frames), float(self._silence / frames)
        self._reset()
        return figures
