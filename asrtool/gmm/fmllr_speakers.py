"""fMLLR of many speakers whose statistics come piece by piece, and the archives that keep their transforms."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.gmm.fmllr import SPEAKERS_AT_ONCE, FmllrEstimate, FmllrOptions, FmllrStatistics, compose, estimate, identity
from asrtool.io.kaldi_table import MatrixReader, MatrixWriter


class SpeakerEstimator:
    """Adds statistics up by speaker, and estimates the transforms of those who are complete, so that few are held at a time.

    Args:
        parts: the speakers of the parts that will be added, one for each part.
    """

    def __init__(self, parts: Iterable[str], options: FmllrOptions) -> None:
        self.options = options
        self._left = Counter(parts)
        self._sums: dict[str, FmllrStatistics] = {}
        self._complete: dict[str, FmllrStatistics] = {}
        self._estimates: dict[str, FmllrEstimate] = {}

    def add(self, speaker: str, statistics: FmllrStatistics) -> None:
        """Adds a part, which may be changed afterwards."""
        if speaker in self._sums:
            self._sums[speaker].add(statistics)
        else:
            self._sums[speaker] = statistics
        self._left[speaker] -= 1
        if self._left[speaker] == 0:
            self._complete[speaker] = self._sums.pop(speaker)
        if len(self._complete) == SPEAKERS_AT_ONCE:
            self._estimate()

    def _estimate(self) -> None:
        try:
            found = estimate(list(self._complete.values()), self.options)
        except AsrtoolError as error:
            raise AsrtoolError(f"speakers {' '.join(self._complete)}: {error}") from None
        self._estimates |= zip(self._complete, found, strict=True)
        self._complete = {}

    def finish(self) -> dict[str, FmllrEstimate]:
        """The estimates of all speakers, by name."""
        self._complete |= self._sums
        self._sums = {}
        if self._complete:
            self._estimate()
        return dict(sorted(self._estimates.items()))


def describe_estimates(estimates: Mapping[str, FmllrEstimate]) -> str:
    """A piece of a log line: how much the transforms gain, and which speakers have none."""
    unchanged = [f"{speaker} ({one.reason})" for speaker, one in estimates.items() if one.reason]
    count = sum(one.count for one in estimates.values())
    gain, log_det = (
        sum(values) / max(count, 1.0) for values in zip(*((one.gain, one.log_det * one.count) for one in estimates.values()))
    )
    text = f"fMLLR of {len(estimates)} speakers: {gain:.4f} a frame gained over {count:.0f} frames, log-determinant {log_det:.4f}"
    if unchanged:
        text += f"; {len(unchanged)} speakers without: {', '.join(unchanged[:5])}{', ...' if len(unchanged) > 5 else ''}"
    return text


def compose_estimates(estimates: Mapping[str, FmllrEstimate], first: Mapping[str, np.ndarray], dim: int) -> dict[str, np.ndarray]:
    """Speaker -> float32 [D, D + 1]: the transforms `first`, then those estimated on what they made."""
    none = identity(dim)
    composed = {speaker: compose(one.transform, first.get(speaker, none)) for speaker, one in estimates.items()}
    return {**first, **composed}


def write_transforms(directory: str | Path, transforms: Mapping[str, np.ndarray], name: str = "trans") -> None:
    """Writes <name>.1, Kaldi's archive of matrices [D, D + 1] by speaker; older <name>.N go."""
    directory = Path(directory)
    with MatrixWriter(directory / f"{name}.1") as writer:
        for speaker in sorted(transforms):
            writer.write(speaker, transforms[speaker])
    for path in transform_files(directory, name):
        if path.name != f"{name}.1":
            path.unlink()


def transform_files(directory: str | Path, name: str = "trans") -> list[Path]:
    """<name>.1 to <name>.N, by number."""
    found = (re.fullmatch(rf"{re.escape(name)}\.(\d+)", path.name) for path in Path(directory).glob(f"{name}.*"))
    return [Path(directory) / match[0] for match in sorted(filter(None, found), key=lambda match: int(match[1]))]


def read_transforms(directory: str | Path, name: str = "trans") -> dict[str, np.ndarray]:
    """Speaker -> float32 [D, D + 1], of all <name>.N of a directory, as Kaldi or `write_transforms` made them; empty where there
    are none.

    Raises:
        AsrtoolError: a damaged archive, a speaker that occurs twice, or a matrix that is no affine transform.
    """
    transforms: dict[str, np.ndarray] = {}
    for path in transform_files(directory, name):
        for speaker, matrix in MatrixReader(path).items():
            if speaker in transforms:
                raise AsrtoolError(f"{path}: speaker '{speaker}' occurs twice in {name}.*; remove what is left of an older run")
            if matrix.shape[1] not in (len(matrix), len(matrix) + 1) or not len(matrix):
                raise AsrtoolError(f"{path}: speaker '{speaker}': a transform of shape {matrix.shape}; make it again")
            transforms[speaker] = matrix
    return transforms
