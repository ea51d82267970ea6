"""The minibatches of an epoch: deterministic by (seed, epoch), so that a position is a number of batches."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from asrtool.loader.batch import Batch
from asrtool.loader.corpus import ShardedFeatures
from asrtool.loader.frames import FramePlan, frame_batch, plan_frames
from asrtool.loader.streams import StreamPlan, count_chunks, plan_even_streams, plan_streams, stream_batch
from asrtool.nnet.input import InputOptions


@dataclass
class LoaderConfig:
    """How minibatches are made.

    Attributes:
        num_streams: utterances side by side (recurrent models).
        chunk_windows: windows of truncated back-propagation (recurrent models); Sak 2014 has 20.
        batch_windows: windows of a minibatch of shuffled frames (models without a state).
        memory_limit_gib: features that each worker keeps in memory; more are read in shards, and shuffled within a shard.
        half: keep features as float16 (the arithmetic stays float32).
    """

    num_streams: int = 64
    chunk_windows: int = 20
    batch_windows: int = 512
    memory_limit_gib: float = 4.0
    half: bool = False

    def __post_init__(self) -> None:
        if min(self.num_streams, self.chunk_windows, self.batch_windows) < 1 or self.memory_limit_gib <= 0:
            raise ValueError("loader: num_streams, chunk_windows, batch_windows and memory_limit_gib must be positive")


class Loader:
    """Minibatches of one worker.

    Args:
        source: the worker's features and targets.
        recurrent: streams, else shuffled windows.
        seed: of the shuffling; None for evaluation: no shuffling, no shifting of windows.
    """

    def __init__(
        self, source: ShardedFeatures, options: InputOptions, config: LoaderConfig, recurrent: bool, seed: int | None
    ) -> None:
        self.source = source
        self.options = options
        self.config = config
        self.recurrent = recurrent
        self.seed = seed

    @property
    def num_frames(self) -> int:
        """10 ms frames of an epoch; the batches' `num_frames` add up to it."""
        return self.source.table.total_frames

    @property
    def nominal_targets(self) -> int:
        """Targets of a full minibatch."""
        return self.config.num_streams * self.config.chunk_windows if self.recurrent else self.config.batch_windows

    def num_batches(self, epoch: int) -> int:
        return sum(self._num_batches(self._plan(shard, epoch)[0]) for shard in range(len(self.source.shards)))

    def epoch(self, epoch: int, skip_batches: int = 0) -> Iterator[Batch]:
        """The batches of epoch `epoch` (from 0), without the first `skip_batches`; shards that are skipped are not read."""
        for shard in self._shard_order(epoch):
            plan, shift_U = self._plan(shard, epoch)
            num_batches = self._num_batches(plan)
            if skip_batches >= num_batches:
                skip_batches -= num_batches
                continue
            corpus, shift = self.source.load(shard), torch.from_numpy(shift_U)
            for index in range(skip_batches, num_batches):
                if isinstance(plan, StreamPlan):
                    yield stream_batch(corpus, plan, index, shift, self.options, self.config.chunk_windows)
                else:
                    yield frame_batch(corpus, plan, index, self.config.batch_windows, shift, self.options)
            skip_batches = 0

    def _num_batches(self, plan: StreamPlan | FramePlan) -> int:
        if isinstance(plan, StreamPlan):
            return len(plan.active_R)
        return -(-len(plan.window_K) // self.config.batch_windows)

    def _shard_order(self, epoch: int) -> list[int]:
        num_shards = len(self.source.shards)
        if self.seed is None:
            return list(range(num_shards))
        return np.random.default_rng([self.seed, epoch]).permutation(num_shards).tolist()

    def _plan(self, shard: int, epoch: int) -> tuple[StreamPlan | FramePlan, np.ndarray]:
        """The plan of a shard and the shift of each utterance's windows, which goes through all phases over the epochs."""
        members = self.source.shards[shard]
        num_frames_U = self.source.table.num_frames_U[members]
        if self.seed is None:
            generator, shift_U = None, np.zeros(len(members), np.int64)
        else:
            generator = np.random.default_rng([self.seed, epoch, shard])
            shift_U = (members + epoch) % self.options.stride
        if not self.recurrent:
            return plan_frames(num_frames_U, self.options, shift_U, generator), shift_U
        chunks_U = count_chunks(num_frames_U, self.options, shift_U, self.config.chunk_windows)
        num_streams = min(self.config.num_streams, len(members))
        if generator is None:
            return plan_streams(chunks_U, np.argsort(-chunks_U, kind="stable"), num_streams), shift_U
        return plan_even_streams(chunks_U, generator.permutation(len(members)), num_streams), shift_U
