"""Large corpora: shards dealt to workers, windows of shards in memory, threads that read ahead, errors from them."""

import subprocess
import sys
import threading
import time
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_corpus import LENGTHS, ToyFeatures, gib_of_frames, make_loader, same_batches

from asrtool.errors import AsrtoolError
from asrtool.loader.batch import IGNORED
from asrtool.loader.corpus import ShardedFeatures, normalisation
from asrtool.loader.loader import LoaderConfig
from asrtool.loader.table import UtteranceTable, cut_shards, split_table
from asrtool.nnet.input import InputOptions

MANY = np.random.default_rng(5).integers(1, 30, 90).tolist()
KINDS = ["streams", "utterances", "frames"]


STACKED = InputOptions(1, 1, 3)


def loader_of(kind, options=STACKED, **settings):
    return make_loader(kind != "frames", options, batching=kind, **settings)


def loader_threads():
    return [thread for thread in threading.enumerate() if thread.name in ("shards", "minibatches")]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    assert loader_threads() == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("size", "shard_frames", "limit"), [(1, 500, 1e6), (1, 60, 250), (2, 60, 250), (3, 30, 100), (3, 500, 100)]
)
@pytest.mark.parametrize("seed", [1, None])
def test_every_frame_is_answered_for_once_by_all_workers_together(kind, size, shard_frames, limit, seed):
    features = ToyFeatures(MANY)
    for epoch in range(2):
        targets, frames = Counter(), 0
        for rank in range(size):
            loader = loader_of(
                kind, InputOptions(0, 0, 1), seed=seed, rank=rank, size=size, features=features, shard_frames=shard_frames,
                gib=gib_of_frames(limit),
            )  # fmt: skip
            seen = 0
            for batch in loader.epoch(epoch):
                seen += batch.num_frames
                valid = batch.target_BT != IGNORED
                rows = batch.x_BTF[valid].int().tolist()
                assert [(100 * u + f) % 997 for u, f in rows] == batch.target_BT[valid].tolist()
                targets.update(map(tuple, rows))
            assert seen == loader.num_frames
            frames += seen
        assert frames == sum(MANY) and set(targets.values()) == {1}
        assert set(targets) == {(u, f) for u, length in enumerate(MANY) for f in range(length)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", [1e6, 100, 300])
@pytest.mark.parametrize("half", [False, True])
def test_batches_are_the_same_with_and_without_threads(kind, limit, half):
    def run(prefetch, skip=0):
        features = ToyFeatures(MANY)
        loader = loader_of(kind, gib=gib_of_frames(limit), features=features, shard_frames=50, prefetch=prefetch, half=half)
        return list(loader.epoch(1, skip)), features.reads, loader

    whole, reads, loader = run(0)
    assert len(whole) == loader.num_batches(1)
    for prefetch in (1, 3):
        ahead, ahead_reads, _ = run(prefetch)
        assert same_batches(whole, ahead) and reads == ahead_reads
        tail, tail_reads, _ = run(prefetch, len(whole) - 2)
        assert same_batches(whole[-2:], tail) and tail_reads == reads[-len(tail_reads) :]
        if limit < 1e6:
            assert len(tail_reads) < len(reads) / 2
    assert same_batches(run(2, len(whole))[0], [])


def test_batches_do_not_depend_on_the_timing_of_the_threads():
    class Slow(ToyFeatures):
        def __call__(self, utterance):
            time.sleep(random.random() * 0.002)
            return super().__call__(utterance)

    random = np.random.default_rng(0)
    kind = {"gib": gib_of_frames(200), "shard_frames": 50, "prefetch": 2}
    expected = list(loader_of("streams", features=ToyFeatures(MANY), **kind).epoch(0))
    found = []
    for batch in loader_of("streams", features=Slow(MANY), **kind).epoch(0):
        time.sleep(random.random() * 0.002)
        found.append(batch)
    assert same_batches(expected, found)


def test_frames_are_shuffled_over_the_window_of_shards():
    loader = loader_of("frames", InputOptions(), features=ToyFeatures(MANY), gib=gib_of_frames(400), shard_frames=50)
    source = loader.source
    assert source.window_shards == 4  # two windows of four shards of fifty frames are the limit
    assert all(source.table.num_frames_U[shard].sum() <= 50 and (np.diff(shard) == 1).all() for shard in source.shards)
    assert sorted(np.concatenate(source.shards).tolist()) == list(range(len(MANY)))
    first = loader._windows(0)[0]
    batch = next(iter(loader.epoch(0)))
    numbers = set(batch.x_BTF[:, 0, 0].int().tolist())
    assert numbers <= set(first.members.tolist())
    assert len({shard for shard in first.shards for u in numbers if u in source.shards[shard]}) >= 3
    orders = [tuple(s for window in loader._windows(epoch) for s in window.shards) for epoch in range(3)]
    assert len(set(orders)) == 3 and all(sorted(order) == list(range(len(source.shards))) for order in orders)


@pytest.mark.parametrize("size", [1, 2, 4, 7])
def test_shards_are_runs_and_workers_get_the_same_number_of_frames(size):
    lengths = np.random.default_rng(1).integers(50, 1500, 4000)
    names = [f"u{index:04d}" for index in range(4000)]
    table = UtteranceTable(names, lengths, [np.zeros(1, np.int32)] * 4000)
    parts = [split_table(table, rank, size, 40_000) for rank in range(size)]
    assert sorted(name for part in parts for name in part.names) == names
    totals = [part.total_frames for part in parts]
    assert sum(totals) == lengths.sum() and max(totals) - min(totals) < 0.01 * lengths.sum() / size
    for part in parts:
        index_U = np.array([int(name[1:]) for name in part.names])
        steps = np.diff(index_U)[np.diff(part.shard_U) == 0]
        assert (steps == 1).all(), "a shard is not a run of the archive"
        sizes = np.bincount(part.shard_U, part.num_frames_U)
        assert sizes.max() <= 40_000 + 1500
        source = ShardedFeatures(ToyFeatures(), part, gib_of_frames(100_000))
        assert all(len(set(part.shard_U[shard])) == 1 for shard in source.shards)


def test_small_corpora_are_dealt_in_utterances():
    lengths = np.array(LENGTHS)
    assert cut_shards(lengths, 2, 100) is None
    assert cut_shards(np.full(3, 1000), 1, 10) is None  # long utterances: three runs are all there are
    assert cut_shards(np.full(100, 10), 2, 100).tolist() == np.repeat(np.arange(10), 10).tolist()


def test_memory_stays_below_the_limit():
    class Wide(ToyFeatures):
        dim = 64

        def __call__(self, utterance):
            return np.zeros((self.lengths[utterance], 64), np.float32)

    features = Wide([200] * 200)
    limit = gib_of_frames(8000, 64)
    for half in (False, True):
        loader = loader_of("streams", features=features, gib=limit, shard_frames=1000, half=half, chunk_windows=5)
        tracemalloc.start()
        frames = sum(batch.num_frames for batch in loader.epoch(0))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert frames == 40_000
        # targets and plans: 24 bytes a frame; 200 KB for everything else
        bound = limit * 2**30 + 24 * 8000 * (2 if half else 1) + 200_000
        assert 0.5 * limit * 2**30 < peak < bound
        assert f"shuffled over {8 if half else 4} at a time" in loader.describe()


def test_moments_of_a_corpus_larger_than_memory_come_from_all_over_it():
    features = ToyFeatures(MANY)
    source = loader_of("streams", features=features, gib=gib_of_frames(200), shard_frames=100).source
    moments = source.moments()
    read = [int(name[1:]) for name in features.reads]
    assert read[0] == 0 and read[-1] > 0.8 * len(MANY) and 50 <= moments[0] <= 250
    mean, _ = normalisation(moments, lambda tensor: None)
    frames = np.concatenate([features(f"u{index:02d}") for index in read])
    np.testing.assert_allclose(mean.numpy(), frames.mean(0), rtol=1e-5)


class Broken(ToyFeatures):
    def __call__(self, utterance):
        matrix = super().__call__(utterance)
        if utterance == "u70":
            matrix[-1] = np.nan
        return matrix


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gib", [1.0, gib_of_frames(200)])
def test_errors_of_the_threads_reach_the_caller(kind, gib):
    loader = loader_of(kind, features=Broken(MANY), gib=gib, shard_frames=50)
    seen = 0
    with pytest.raises(AsrtoolError, match=r"^u70: features hold NaN or infinity; make the features again$"):
        for _ in loader.epoch(0):
            seen += 1
    plain = loader_of(kind, features=Broken(MANY), gib=gib, shard_frames=50, prefetch=0)
    with pytest.raises(AsrtoolError, match=r"^u70"):
        for _ in plain.epoch(0):
            seen -= 1
    assert seen == 0, "batches before the error were lost"


def test_no_thread_is_left_by_an_early_end_or_an_exception():
    loader = loader_of("streams", features=ToyFeatures(MANY), gib=gib_of_frames(200), shard_frames=50)
    batches = loader.epoch(0)
    next(batches)
    assert len(loader_threads()) == 2
    batches.close()
    assert loader_threads() == []
    unused = loader.epoch(0)
    assert loader_threads() == [] and unused is not None
    with pytest.raises(KeyError):
        for _ in loader.epoch(0):
            raise KeyError
    assert loader_threads() == []


def test_reading_gives_up_between_utterances():
    features = ToyFeatures(MANY)
    source = loader_of("streams", features=features).source
    answers = iter([None, None])
    with pytest.raises(StopIteration):
        source.load([0], lambda: next(answers))
    assert len(features.reads) == 2


def test_a_program_that_stops_in_the_middle_ends_at_once(tmp_path):
    program = tmp_path / "stops.py"
    program.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from toy_corpus import InputOptions, ToyFeatures, make_loader\n"
        "loader = make_loader(True, InputOptions(), features=ToyFeatures([20] * 90), gib=1e-6, shard_frames=50)\n"
        "batches = loader.epoch(0)\n"
        "next(batches)\n"
        "sys.exit(7)\n"
    )
    finished = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60, check=False)
    assert (finished.returncode, finished.stderr) == (7, "")


def test_settings_that_cannot_be():
    with pytest.raises(AsrtoolError, match=r"loader\.batching: frames: a recurrent model needs streams or utterances"):
        make_loader(True, InputOptions(), batching="frames")
    for name in ("num_streams", "batch_frames", "shard_frames", "memory_limit_gib"):
        with pytest.raises(ValueError, match=f"loader: {name} must be positive"):
            LoaderConfig(**{name: 0})
    with pytest.raises(ValueError, match="prefetch must be >= 0"):
        LoaderConfig(prefetch=-1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_batches_are_pinned_where_there_is_a_gpu():
    batch = next(iter(loader_of("streams").epoch(0)))
    assert batch.x_BTF.is_pinned() and batch.target_BT.is_pinned() and batch.reset_B.is_pinned()
