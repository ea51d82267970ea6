"""How far an alignment's boundaries lie from those of a reference."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.io.ctm import read_ctm
from asrtool.io.textgrid import read_textgrid
from asrtool.score.edit_distance import GAP, align

WITHIN_MS = (10, 20, 30, 50, 100)


class Stretch(NamedTuple):
    """A word or phone of a recording, seconds."""

    label: str
    start_s: float
    end_s: float


@dataclass
class Comparison:
    """
    Attributes:
        labels: of each boundary, what begins there ("" at the end of a stretch that nothing follows at once).
        errors_s: float64 [N], found minus reference.
        num_reference, num_matched: labels.
    """

    labels: list[str]
    errors_s: np.ndarray
    num_reference: int
    num_matched: int

    def summary(self) -> str:
        """A few lines."""
        size = np.abs(self.errors_s) * 1000
        shares = ", ".join(f"{np.mean(size <= limit):.1%} within {limit}" for limit in WITHIN_MS)
        return (
            f"boundaries {len(size)}: median {np.median(size):.1f} ms, mean {size.mean():.1f} ms, {shares} ms; "
            f"found {np.median(self.errors_s) * 1000:+.1f} ms late in the median\n"
            f"labels matched: {self.num_matched} of {self.num_reference}\n"
        )

    def by_label(self) -> str:
        """A line for each label that begins somewhere, the worst first: boundaries, median error, bias, share within 30 ms."""
        found: dict[str, list[float]] = {}
        for label, error in zip(self.labels, self.errors_s.tolist(), strict=True):
            found.setdefault(label or "(end)", []).append(error * 1000)
        rows = []
        for label, errors in found.items():
            size = np.abs(errors)
            rows.append((np.mean(size <= 30), f"{label}\t{len(size)}\t{np.median(size):.1f}\t{np.median(errors):+.1f}"))
        lines = [f"{row}\t{share:.1%}" for share, row in sorted(rows)]
        return "\n".join(["label\tboundaries\tmedian_ms\tlate_ms\twithin_30_ms", *lines]) + "\n"


def compare(reference: dict[str, list[Stretch]], found: dict[str, list[Stretch]]) -> Comparison:
    """Over the recordings that both have; labels are matched in order, and those that differ left out.

    Compared are the start of each stretch, and its end where no other follows at once.

    Raises:
        AsrtoolError: no recording in common.
    """
    labels: list[str] = []
    errors: list[float] = []
    num_reference = num_matched = 0
    for name in sorted(set(reference) & set(found)):
        wanted, got = reference[name], found[name]
        num_reference += len(wanted)
        for one, other in _matched(wanted, got):
            num_matched += 1
            labels.append(wanted[one].label)
            errors.append(got[other].start_s - wanted[one].start_s)
            if one + 1 == len(wanted) or wanted[one + 1].start_s - wanted[one].end_s > 0.03:
                labels.append("")
                errors.append(got[other].end_s - wanted[one].end_s)
    if not errors:
        raise AsrtoolError("the two have no recording with the same labels in common: are they of the same corpus and tier?")
    return Comparison(labels, np.array(errors), num_reference, num_matched)


def _matched(wanted: list[Stretch], got: list[Stretch]) -> list[tuple[int, int]]:
    """Numbers of the stretches that are the same."""
    if [one.label for one in wanted] == [one.label for one in got]:
        return [(index, index) for index in range(len(wanted))]
    pairs, first, second = [], 0, 0
    for one, other in align([stretch.label for stretch in wanted], [stretch.label for stretch in got]):
        if one == other:
            pairs.append((first, second))
        first += one != GAP
        second += other != GAP
    return pairs


def read_stretches(path: str | Path, tier: str = "phones", ignored: tuple[str, ...] = ()) -> dict[str, list[Stretch]]:
    """Recording -> its words or phones in the order of time, from a CTM file, a TextGrid, or a folder of TextGrids.

    Args:
        tier: of TextGrids; "SPEAKER - TIER" counts too.
        ignored: labels that are no phones, as those of silence.

    Raises:
        AsrtoolError: no such file, or damaged.
    """
    path = Path(path)
    found: dict[str, list[Stretch]] = {}
    if path.is_dir() or path.suffix.lower() == ".textgrid":
        files = sorted(path.rglob("*.TextGrid")) if path.is_dir() else [path]
        for file in files:
            name = file.relative_to(path).with_suffix("").as_posix() if path.is_dir() else file.stem
            found[name] = [
                Stretch(one.label.strip(), one.start_s, one.end_s)
                for held in read_textgrid(file).tiers
                if not held.has_points and held.name.strip().lower().rpartition(" - ")[2] == tier
                for one in held.labelled
            ]
    else:
        for word in read_ctm(path):
            found.setdefault(word.recording, []).append(Stretch(word.word, word.start_s, word.start_s + word.duration_s))
    for name, stretches in found.items():
        found[name] = sorted((one for one in stretches if one.label not in ignored), key=lambda one: one.start_s)
    return found
