"""Settings of the loader."""

from dataclasses import dataclass, field
from typing import Literal

from asrtool.feat.spec_augment import SpecAugmentOptions

SHARD_FRAMES = 500_000
"""Frames read in one run: 14 MB of compressed 28-bin filterbanks, 168 MB as float32 with differences."""


@dataclass
class LoaderConfig:
    """How minibatches are made.

    Attributes:
        batching: streams of utterances in chunks, batches of whole utterances of similar length, shuffled frames; auto: streams
            for recurrent models, frames for the others.
        num_streams: utterances side by side (streams).
        chunk_windows: windows of truncated back-propagation (streams); Sak 2014 has 20.
        batch_windows: windows of a minibatch (frames).
        batch_frames: 10 ms frames of a minibatch, padding included (utterances); a longer utterance is a minibatch of its own.
        memory_limit_gib: features that each worker keeps in memory, the next ones included that are read meanwhile (the
            training and the validation data each). What does not fit is read in shards, and shuffled over the shards in memory.
        half: keep features as float16 (the arithmetic stays float32).
        shard_frames: frames that are read in one run of the archives; large corpora are dealt to the workers in such shards.
        prefetch: minibatches prepared ahead by a thread; and, by another, the next shards are read while the present ones
            are trained on. 0: no threads. The minibatches are the same.
        spec_augment: masks over the training data.
    """

    batching: Literal["auto", "streams", "utterances", "frames"] = "auto"
    num_streams: int = 64
    chunk_windows: int = 20
    batch_windows: int = 512
    batch_frames: int = 24000
    memory_limit_gib: float = 4.0
    half: bool = False
    shard_frames: int = SHARD_FRAMES
    prefetch: int = 4
    spec_augment: SpecAugmentOptions = field(default_factory=SpecAugmentOptions)

    def __post_init__(self) -> None:
        positive = ("num_streams", "chunk_windows", "batch_windows", "batch_frames", "memory_limit_gib", "shard_frames")
        for name in positive:
            if getattr(self, name) <= 0:
                raise ValueError(f"loader: {name} must be positive")
        if self.prefetch < 0:
            raise ValueError("loader: prefetch must be >= 0")
