"""What a set of denominator lattices holds: how deep they are, for which utterances there is none, which lack their reference."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text
from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.density import depth_per_frame
from asrtool.lattice.lattice import Lattice
from asrtool.lattice.oracle import oracle

SUMMARY = "summary.json"
"""Written last: its presence says that the lattices are complete."""


@dataclass
class DenominatorSummary:
    """Figures of a set of denominator lattices.

    Attributes:
        num_utterances: of the data directory.
        num_lattices: that are fit for use.
        num_frames, num_arcs, crossing: of these; `crossing` counts, frame by frame, the arcs that cross it.
        without_lattice: utterances that have none.
        bad: utterance -> why its lattice is of no use.
        without_reference: utterance -> word errors of the path nearest to its reference, where there are any. The words are
            compared; a lattice may hold the words of the reference but not its alignment.
    """

    num_utterances: int = 0
    num_lattices: int = 0
    num_frames: int = 0
    num_arcs: int = 0
    crossing: int = 0
    without_lattice: list[str] = field(default_factory=list)
    bad: dict[str, str] = field(default_factory=dict)
    without_reference: dict[str, int] = field(default_factory=dict)

    @property
    def depth(self) -> float:
        """Arcs that cross a frame, on average, as Kaldi's lattice-depth."""
        return self.crossing / self.num_frames if self.num_frames else 0.0

    def lines(self) -> list[str]:
        """For people."""
        without = self.num_lattices - len(self.without_reference)
        share = 100 * without / max(self.num_lattices, 1)
        return [
            f"{self.num_utterances} utterances: {self.num_lattices} lattices of {self.num_frames} frames, "
            f"{len(self.without_lattice)} without a lattice, {len(self.bad)} bad",
            f"depth {self.depth:.1f} arcs a frame, {self.num_arcs} arcs",
            f"reference in the lattice: {without} of {self.num_lattices} ({share:.1f} %)",
        ]

    def write(self, directory: str | Path) -> None:
        """summary.json, and a list for each kind of utterance that training will have to do without or mend."""
        directory = Path(directory)
        lists = {
            "without_lattice": self.without_lattice,
            "bad_lattice": [f"{utterance} {why}" for utterance, why in self.bad.items()],
            "without_reference": [f"{utterance} {errors}" for utterance, errors in self.without_reference.items()],
        }
        for name, lines in lists.items():
            write_text(directory / name, "".join(f"{line}\n" for line in sorted(lines)))
        figures = {
            "utterances": self.num_utterances,
            "lattices": self.num_lattices,
            "frames": self.num_frames,
            "arcs": self.num_arcs,
            "depth": round(self.depth, 4),
            **{name: len(lines) for name, lines in lists.items()},
        }
        write_text(directory / SUMMARY, json.dumps(figures, indent=1) + "\n")


def summarise(
    lattices: Iterable[tuple[str, Lattice | CompactLattice]],
    references: Mapping[str, Sequence[int]],
    utterances: Iterable[str],
) -> DenominatorSummary:
    """Reads all lattices once.

    Args:
        lattices: (utterance, lattice); state-level for training, though compact ones are counted too.
        references: word ids of the transcripts; an utterance without one is not looked up.
        utterances: those that should have a lattice.

    Raises:
        AsrtoolError: from the reader, or a lattice of an utterance that is not among `utterances`, or two of one.
    """
    left, result = dict.fromkeys(utterances), DenominatorSummary()
    result.num_utterances = len(left)
    for utterance, lattice in lattices:
        if utterance not in left:
            raise AsrtoolError(
                f"{utterance}: its lattice is there twice, or the data directory does not have it; make them again"
            )
        del left[utterance]
        try:
            _count(result, utterance, lattice, references.get(utterance))
        except AsrtoolError as error:
            result.bad[utterance] = str(error)
    result.without_lattice = list(left)
    return result


def _count(
    result: DenominatorSummary, utterance: str, lattice: Lattice | CompactLattice, reference: Sequence[int] | None
) -> None:
    crossing = int(depth_per_frame(lattice).sum())
    nearest = oracle(lattice, [] if reference is None else reference)
    if nearest is None:
        raise AsrtoolError("no path reaches a final state")
    if reference is not None and nearest.errors:
        result.without_reference[utterance] = nearest.errors
    result.num_lattices += 1
    result.num_frames += lattice.num_frames
    result.num_arcs += lattice.num_arcs
    result.crossing += crossing
