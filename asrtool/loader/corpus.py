"""Features in memory: all of a worker's part where it fits a limit, else a shard at a time."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from asrtool.errors import AsrtoolError
from asrtool.loader.table import Features, UtteranceTable


@dataclass
class Corpus:
    """Utterances one after the other in flat tensors.

    Attributes:
        names: [U].
        begin_U1: int64 [U + 1], first frame of each utterance, and the end.
        features_ND: float32 or float16, normalised.
        pdf_N: int64.
    """

    names: list[str]
    begin_U1: Tensor
    features_ND: Tensor
    pdf_N: Tensor


class ShardedFeatures:
    """Reads a table's utterances in shards of at most `memory_limit_gib` of features.

    Shards are runs of the archive, so that reading is sequential. A single shard is read once and kept.

    Args:
        half: keep features as float16.
    """

    def __init__(self, features: Features, table: UtteranceTable, memory_limit_gib: float, half: bool = False) -> None:
        self.features = features
        self.table = table
        self.dim = features.dim
        self.dtype = torch.float16 if half else torch.float32
        self.mean_D = torch.zeros(self.dim)
        self.scale_D = torch.ones(self.dim)
        self._cached: tuple[int, Corpus] | None = None
        limit_frames = max(1, int(memory_limit_gib * 2**30 / (self.dim * (2 if half else 4))))
        self.shards = _runs(table.num_frames_U, limit_frames)

    def normalise(self, mean_D: Tensor, scale_D: Tensor) -> None:
        """Sets what `load` applies: (frame - mean) * scale."""
        self.mean_D, self.scale_D = mean_D, scale_D
        if self._cached is not None:
            _, corpus = self._cached
            corpus.features_ND = corpus.features_ND.sub_(mean_D).mul_(scale_D).to(self.dtype)

    def moments(self) -> Tensor:
        """Float64 [1 + 2 D]: frames, sum and sum of squares over the first shard; call it before `normalise`."""
        corpus = self.load(0, torch.float32)
        result = torch.zeros(1 + 2 * self.dim, dtype=torch.float64)
        result[0] = len(corpus.features_ND)
        for block in corpus.features_ND.split(65536):
            block = block.double()
            result[1:] += torch.cat((block.sum(0), block.square().sum(0)))
        return result

    def load(self, shard: int, dtype: torch.dtype | None = None) -> Corpus:
        """Shard number `shard`, normalised.

        Raises:
            AsrtoolError: features of another length or dimension than announced, or not finite; names the utterance.
        """
        if self._cached is not None and self._cached[0] == shard:
            return self._cached[1]
        self._cached = None  # frees the memory before it is needed again
        part = self.table.subset(self.shards[shard])
        begin = np.concatenate(([0], np.cumsum(part.num_frames_U)))
        features_ND = torch.empty(int(begin[-1]), self.dim, dtype=dtype or self.dtype)
        for index, name in enumerate(part.names):
            matrix = self.features(name)
            if matrix.shape != (part.num_frames_U[index], self.dim):
                raise AsrtoolError(
                    f"{name}: features of shape {matrix.shape}, expected ({part.num_frames_U[index]}, {self.dim}); "
                    "make utt2num_frames and the features again"
                )
            if not np.isfinite(matrix.sum()):
                raise AsrtoolError(f"{name}: features hold NaN or infinity; make the features again")
            features_ND[begin[index] : begin[index + 1]] = (torch.tensor(matrix) - self.mean_D) * self.scale_D
        corpus = Corpus(
            part.names,
            torch.from_numpy(begin),
            features_ND,
            torch.from_numpy(np.concatenate(part.pdfs).astype(np.int64)),
        )
        self._cached = (shard, corpus)
        return corpus


def normalisation(moments: Tensor, all_reduce_: Callable[[Tensor], None]) -> tuple[Tensor, Tensor]:
    """Mean and 1 / standard deviation, float32 [D] each, from the workers' `moments` summed up by `all_reduce_`."""
    all_reduce_(moments)
    count, (total, squares) = moments[0], moments[1:].view(2, -1)
    mean = total / count
    variance = (squares / count - mean.square()).clamp(min=1e-10)
    return mean.float(), variance.rsqrt().float()


def _runs(num_frames_U: np.ndarray, limit_frames: int) -> list[np.ndarray]:
    """Indices in runs of at most `limit_frames` frames (a longer utterance is a run of its own)."""
    runs, current, frames = [], [], 0
    for index, length in enumerate(num_frames_U):
        if current and frames + length > limit_frames:
            runs.append(np.array(current))
            current, frames = [], 0
        current.append(index)
        frames += int(length)
    runs.append(np.array(current))
    return runs
