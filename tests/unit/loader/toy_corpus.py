"""Utterances whose features say where they come from, and loaders of them."""

import numpy as np

from asrtool.loader.corpus import worker_source
from asrtool.loader.loader import Loader, LoaderConfig
from asrtool.loader.table import make_table
from asrtool.nnet.input import InputOptions

SINGLE = InputOptions()
LENGTHS = [7, 1, 23, 40, 12, 5, 31, 2, 16, 9, 28, 3]


class ToyFeatures:
    """Feature 0 is the utterance's number, feature 1 the frame's; pdf = (100 * utterance + frame) % 997."""

    dim = 2

    def __init__(self, lengths=LENGTHS):
        self.lengths = {f"u{index:02d}": length for index, length in enumerate(lengths)}
        self.reads = []

    def utterances(self):
        return list(self.lengths)

    def num_frames(self, utterance):
        return self.lengths[utterance]

    def __call__(self, utterance):
        self.reads.append(utterance)
        frames = np.arange(self.lengths[utterance], dtype=np.float32)
        return np.stack((np.full_like(frames, int(utterance[1:])), frames), 1)

    def alignments(self):
        return {u: ((100 * int(u[1:]) + np.arange(n)) % 997).astype(np.int32) for u, n in self.lengths.items()}


def gib_of_frames(frames, dim=2):
    """A memory limit of so many float32 frames."""
    return frames * dim * 4 / 2**30


def make_loader(
    recurrent,
    options=SINGLE,
    seed=1,
    gib=1.0,
    rank=0,
    size=1,
    half=False,
    features=None,
    shard_frames=500_000,
    **settings,
):
    features = features or ToyFeatures()
    table = make_table(features, features.alignments(), "toy")
    sizes = {"num_streams": 4, "chunk_windows": 3, "batch_windows": 8, "batch_frames": 60}
    config = LoaderConfig(**{**sizes, "memory_limit_gib": gib, "half": half, "shard_frames": shard_frames, **settings})
    return Loader(worker_source(features, table, config, rank, size), options, config, recurrent, seed)


def same_batches(one, other):
    """Whether two lists of batches are equal bit for bit."""
    return len(one) == len(other) and all(
        all(np.array_equal(getattr(a, name), getattr(b, name)) for name in ("x_BTF", "target_BT", "reset_B"))
        and (a.num_frames, a.num_targets, a.utterances) == (b.num_frames, b.num_targets, b.utterances)
        for a, b in zip(one, other)
    )
