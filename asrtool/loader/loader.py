"""The minibatches of an epoch: deterministic by (seed, epoch), so that a position is a number of batches."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from asrtool.errors import AsrtoolError
from asrtool.feat.spec_augment import draw_masks, utterance_keys
from asrtool.loader.background import Stages
from asrtool.loader.batch import Batch
from asrtool.loader.config import LoaderConfig
from asrtool.loader.corpus import Corpus, ShardedFeatures
from asrtool.loader.frames import FramePlan, plan_frames
from asrtool.loader.streams import StreamPlan, count_chunks, plan_even_streams, plan_streams
from asrtool.loader.utterances import UtterancePlan, plan_utterances
from asrtool.loader.windows import WindowMaker
from asrtool.nnet.input import InputOptions, num_windows

__all__ = ["Loader", "LoaderConfig"]

Plan = StreamPlan | FramePlan | UtterancePlan


@dataclass
class _Window:
    """Shards that are in memory together in an epoch.

    Attributes:
        number: its place in the epoch.
        shards: numbers of the shards.
        members: utterances, indices into the table.
        num_frames_U, shift_U: of the members.
    """

    number: int
    shards: list[int]
    members: np.ndarray
    num_frames_U: np.ndarray
    shift_U: np.ndarray


class Loader:
    """Minibatches of one worker.

    Args:
        source: the worker's features and targets.
        recurrent: what batching "auto" means: streams, else shuffled windows.
        seed: of the shuffling; None for evaluation: no shuffling, no shifting of windows, no masks.

    Raises:
        AsrtoolError: settings that do not fit the model or the features.
    """

    def __init__(
        self, source: ShardedFeatures, options: InputOptions, config: LoaderConfig, recurrent: bool, seed: int | None
    ) -> None:
        self.source = source
        self.options = options
        self.config = config
        self.seed = seed
        self.batching = config.batching
        if config.batching == "auto":
            self.batching = "streams" if recurrent else "frames"
        elif config.batching == "frames" and recurrent:
            raise AsrtoolError("loader.batching: frames: a recurrent model needs streams or utterances")
        self.masked = config.spec_augment.active and seed is not None
        self.num_channels = self._num_channels() if self.masked else 1

    @property
    def num_frames(self) -> int:
        """10 ms frames of an epoch; the batches' `num_frames` add up to it."""
        return self.source.table.total_frames

    @property
    def nominal_targets(self) -> int:
        """Targets of a full minibatch."""
        if self.batching == "streams":
            return self.config.num_streams * self.config.chunk_windows
        return self.config.batch_windows if self.batching == "frames" else self._budget_windows

    def num_batches(self, epoch: int) -> int:
        return sum(self._count(window, epoch)[0] for window in self._windows(epoch))

    def padding_share(self, epoch: int) -> float:
        """The share of the epoch's windows that the model computes and no loss is taken at (padding, label delay)."""
        windows = self._windows(epoch)
        positions = sum(self._count(window, epoch)[1] for window in windows)
        targets = sum(int(num_windows(window.num_frames_U, self.options, window.shift_U).sum()) for window in windows)
        return 1 - targets / positions

    def describe(self) -> str:
        """One line on how this worker's data are read and batched."""
        source, gib = self.source, self.source.frame_bytes / 2**30
        if source.whole:
            where = f"all {self.num_frames} frames in memory ({self.num_frames * gib:.2f} GiB)"
        else:
            largest = max(int(source.table.num_frames_U[shard].sum()) for shard in source.shards)
            where = (
                f"{len(source.shards)} shards of up to {largest} frames, shuffled over {source.window_shards} at a time "
                f"(up to {2 * source.window_shards * largest * gib:.2f} GiB with those that are read meanwhile)"
            )
        return f"batching: {self.batching}, padding and delay {100 * self.padding_share(0):.1f} % of the windows; {where}"

    def epoch(self, epoch: int, skip_batches: int = 0) -> Iterator[Batch]:
        """The batches of epoch `epoch` (from 0), without the first `skip_batches`; what is skipped is not read.

        Threads work ahead (LoaderConfig.prefetch) until the iterator is at its end, raises or is closed.

        Raises:
            AsrtoolError: see ShardedFeatures.load.
        """
        if self.config.prefetch == 0:
            yield from self._batches(self._loaded(epoch, skip_batches, lambda: None), epoch)
            return
        stages = Stages()
        try:
            loaded = self._loaded(epoch, skip_batches, stages.check)
            if not self.source.whole:
                loaded = stages.ahead(loaded, 1, "shards")
            yield from stages.ahead(self._batches(loaded, epoch), self.config.prefetch, "minibatches")
        finally:
            stages.close()

    def beginnings(self, epoch: int, skip_batches: int = 0) -> Iterator[tuple[str, int, bool]]:
        """(utterance, shift, whether it begins there) in the order in which the batches of `epoch` need them.

        All that are under way in the first of these batches are among them. Not for shuffled frames.
        """
        first = True
        for window in self._windows(epoch):
            plan = self._plan(window, epoch)
            for index in range(skip_batches, plan.num_batches):
                utterance_B, begins_B = plan.columns(index)
                for column in range(len(utterance_B)) if first else np.flatnonzero(begins_B).tolist():
                    number = utterance_B[column]
                    name = self.source.table.names[window.members[number]]
                    yield name, int(window.shift_U[number]), bool(begins_B[column])
                first = False
            skip_batches = max(0, skip_batches - plan.num_batches)

    def _loaded(self, epoch: int, skip_batches: int, check: Callable[[], None]) -> Iterator[tuple[_Window, int, Corpus]]:
        """Windows of the epoch with their features, and the number of batches to leave out at the beginning of each."""
        for window in self._windows(epoch):
            num_batches = self._count(window, epoch)[0] if skip_batches else 0
            if skip_batches and skip_batches >= num_batches:
                skip_batches -= num_batches
                continue
            yield window, skip_batches, self.source.load(window.shards, check)
            skip_batches = 0

    def _batches(self, loaded: Iterator[tuple[_Window, int, Corpus]], epoch: int) -> Iterator[Batch]:
        pin = self.config.prefetch > 0 and torch.cuda.is_available()
        for window, first, corpus in loaded:
            plan = self._plan(window, epoch)
            maker = WindowMaker(corpus, window.shift_U, self.options, num_channels=self.num_channels)
            if self.masked:
                keys_U, num_bins = utterance_keys(corpus.names), self.source.dim // self.num_channels
                maker.masks = draw_masks(keys_U, window.num_frames_U, num_bins, self.config.spec_augment, self.seed, epoch)
            for index in range(first, plan.num_batches):
                batch = plan.batch(maker, index)
                yield batch.pin_memory() if pin else batch
            del corpus, maker  # before the next is waited for

    @property
    def _budget_windows(self) -> int:
        return max(1, self.config.batch_frames // self.options.stride)

    def _num_channels(self) -> int:
        """Blocks of bins among the feature dimensions."""
        dim, options = self.source.dim, getattr(self.source.features, "options", None)
        channels = self.config.spec_augment.num_channels or (options.output_dim(1) if options is not None else 1)
        if dim % channels:
            raise AsrtoolError(f"loader.spec_augment.num_channels: {channels} does not divide the {dim} feature dimensions")
        return channels

    def _windows(self, epoch: int) -> list[_Window]:
        """The windows of shards of an epoch. An utterance's shift goes through all phases over the epochs."""
        num_shards = len(self.source.shards)
        order = list(range(num_shards))
        if self.seed is not None:
            order = np.random.default_rng([self.seed, epoch]).permutation(num_shards).tolist()
        result = []
        for number, shards in enumerate(self.source.windows(order)):
            members = self.source.members(shards)
            shift_U = np.zeros(len(members), np.int64) if self.seed is None else (members + epoch) % self.options.stride
            result.append(_Window(number, shards, members, self.source.table.num_frames_U[members], shift_U))
        return result

    def _count(self, window: _Window, epoch: int) -> tuple[int, int]:
        """Batches of a window of shards and positions in them; for training, mostly without making the plan."""
        if self.seed is not None and self.batching == "streams":
            chunks = int(self._chunks(window).sum())
            return -(-chunks // min(self.config.num_streams, len(window.members))), chunks * self.config.chunk_windows
        if self.batching == "frames":
            windows = int(num_windows(window.num_frames_U, self.options, window.shift_U).sum())
            return -(-windows // self.config.batch_windows), windows
        plan = self._plan(window, epoch)
        return plan.num_batches, plan.num_positions

    def _chunks(self, window: _Window) -> np.ndarray:
        return count_chunks(window.num_frames_U, self.options, window.shift_U, self.config.chunk_windows)

    def _plan(self, window: _Window, epoch: int) -> Plan:
        """What the batches of a window of shards consist of."""
        generator = None if self.seed is None else np.random.default_rng([self.seed, epoch, window.number])
        if self.batching == "frames":
            return plan_frames(window.num_frames_U, self.options, window.shift_U, self.config.batch_windows, generator)
        if self.batching == "utterances":
            return plan_utterances(window.num_frames_U, self.options, window.shift_U, self._budget_windows, generator)
        chunks_U, chunk_windows = self._chunks(window), self.config.chunk_windows
        num_streams = min(self.config.num_streams, len(window.members))
        if generator is None:
            return plan_streams(chunks_U, np.argsort(-chunks_U, kind="stable"), num_streams, chunk_windows)
        return plan_even_streams(chunks_U, generator.permutation(len(window.members)), num_streams, chunk_windows)
