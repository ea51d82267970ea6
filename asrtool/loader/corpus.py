"""Features in memory: all of a worker's part where it fits a limit, else a window of shards at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from asrtool.loader.config import SHARD_FRAMES, LoaderConfig
from asrtool.loader.shard_reader import ShardReader, read_utterance
from asrtool.loader.table import Features, UtteranceTable, split_table


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
    """Reads a table's utterances in shards: runs of the archive, so that reading is sequential.

    Where everything fits `memory_limit_gib` it is one shard, read once and kept. Otherwise half of the limit is for the
    `window_shards` shards that are trained on together, the other half for the next ones, which are read meanwhile. An utterance
    longer than a shard is a shard of its own. Targets and the plan of an epoch come on top, 24 bytes a frame in memory.

    Attributes:
        shards: indices into the table, one array a shard.
        window_shards: shards in memory together.

    Args:
        half: keep features as float16.
        shard_frames: frames in a shard; less where two shards do not fit the limit.
    """

    def __init__(
        self,
        features: Features,
        table: UtteranceTable,
        memory_limit_gib: float,
        half: bool = False,
        shard_frames: int = SHARD_FRAMES,
    ) -> None:
        self.features = features
        self.table = table
        self.dim = features.dim
        self.half = half
        self.dtype = torch.float16 if half else torch.float32
        self.mean_D = torch.zeros(self.dim)
        self.scale_D = torch.ones(self.dim)
        self._reader = ShardReader(features, table.names)
        self._cached: Corpus | None = None
        self.frame_bytes = self.dim * (2 if half else 4)
        limit_frames = max(1, int(memory_limit_gib * 2**30 / self.frame_bytes))
        self.window_shards = 1
        self.sample_frames = shard_frames
        if table.total_frames <= limit_frames:
            self.shards = [np.arange(len(table.names))]
        else:
            window_frames = max(1, limit_frames // 2)
            largest = min(shard_frames, window_frames)
            self.shards = _runs(table.num_frames_U, table.shard_U, largest)
            self.window_shards = max(1, window_frames // largest)

    @property
    def whole(self) -> bool:
        """Whether everything is kept in memory."""
        return len(self.shards) == 1

    def windows(self, order: Sequence[int]) -> list[list[int]]:
        """Shards in `order` in groups that are in memory together."""
        return [list(order[first : first + self.window_shards]) for first in range(0, len(order), self.window_shards)]

    def members(self, window: Sequence[int]) -> np.ndarray:
        """Indices into the table of the utterances of some shards."""
        return np.concatenate([self.shards[shard] for shard in window])

    def normalise(self, mean_D: Tensor, scale_D: Tensor) -> None:
        """Sets what `load` applies: (frame - mean) * scale."""
        self.mean_D, self.scale_D = mean_D, scale_D
        if self.half:
            self._cached = None  # read again: rounded once, after normalisation
        elif self._cached is not None:
            self._cached.features_ND.sub_(mean_D).mul_(scale_D)

    def moments(self) -> Tensor:
        """Float64 [1 + 2 D]: frames, sum and sum of squares; call it before `normalise`.

        Of all frames where everything is in memory, else of about as many frames as a shard has, in utterances evenly spread.
        """
        result = torch.zeros(1 + 2 * self.dim, dtype=torch.float64)
        if self.whole and not self.half:
            blocks = iter(self.load([0]).features_ND.split(65536))
        else:
            names, num_frames_U = self.table.names, self.table.num_frames_U
            step = 1 if self.whole else -(-self.table.total_frames // self.sample_frames)
            chosen = range(0, len(names), step)
            blocks = (torch.tensor(read_utterance(self.features, names[u], int(num_frames_U[u]))) for u in chosen)
        for block in blocks:
            block = block.double()
            result[0] += len(block)
            result[1:] += torch.cat((block.sum(0), block.square().sum(0)))
        return result

    def load(self, window: Sequence[int], check: Callable[[], None] = lambda: None) -> Corpus:
        """The utterances of some shards, normalised.

        Args:
            check: called between utterances; may raise to give up.
        Raises:
            AsrtoolError: features of another length or dimension than announced, or not finite; names the utterance.
        """
        if self._cached is not None:
            return self._cached
        part = self.table.subset(self.members(window))
        begin_U1 = np.concatenate(([0], np.cumsum(part.num_frames_U)))
        # from numpy, which asks for huge pages: fewer faults while it is filled, quicker random access
        features_ND = np.empty((int(begin_U1[-1]), self.dim), np.float16 if self.half else np.float32)
        mean_D, scale_D = self.mean_D.numpy(), self.scale_D.numpy()
        self._reader.read(part.names, part.num_frames_U, mean_D, scale_D, features_ND, check)
        pdf_N = torch.from_numpy(np.concatenate(part.pdfs).astype(np.int64))
        corpus = Corpus(part.names, torch.from_numpy(begin_U1), torch.from_numpy(features_ND), pdf_N)
        if self.whole:
            self._cached = corpus
        return corpus


def worker_source(features: Features, table: UtteranceTable, config: LoaderConfig, rank: int, size: int) -> ShardedFeatures:
    """The part of worker `rank` of `size`, read as the settings say.

    Raises:
        AsrtoolError: see `split_table`.
    """
    part = split_table(table, rank, size, config.shard_frames)
    return ShardedFeatures(features, part, config.memory_limit_gib, config.half, config.shard_frames)


def normalisation(moments: Tensor, all_reduce_: Callable[[Tensor], None]) -> tuple[Tensor, Tensor]:
    """Mean and 1 / standard deviation, float32 [D] each, from the workers' `moments` summed up by `all_reduce_`."""
    all_reduce_(moments)
    count, (total, squares) = moments[0], moments[1:].view(2, -1)
    mean = total / count
    variance = (squares / count - mean.square()).clamp(min=1e-10)
    return mean.float(), variance.rsqrt().float()


def _runs(num_frames_U: np.ndarray, shard_U: np.ndarray | None, largest: int) -> list[np.ndarray]:
    """Indices in runs of at most `largest` frames (a longer utterance is a run of its own), none across two of `shard_U`."""
    runs, first, frames = [], 0, 0
    for index, length in enumerate(num_frames_U.tolist()):
        elsewhere = shard_U is not None and index > 0 and shard_U[index] != shard_U[index - 1]
        if index > first and (elsewhere or frames + length > largest):
            runs.append(np.arange(first, index))
            first, frames = index, 0
        frames += length
    runs.append(np.arange(first, len(num_frames_U)))
    return runs
