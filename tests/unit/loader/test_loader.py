"""Streams and shuffled frames: every frame once, with its own target and neighbours, in every epoch, phase and split."""

import numpy as np
import pytest
import torch
from toy_corpus import LENGTHS, ToyFeatures, make_loader

from asrtool.errors import AsrtoolError
from asrtool.loader.batch import IGNORED
from asrtool.loader.corpus import ShardedFeatures, normalisation
from asrtool.loader.table import make_table, split_table
from asrtool.nnet.input import InputOptions, num_windows


def rows_of_plans(loader, epoch):
    """(chunk number by stream, whether it is the first row of a window of shards) for each batch of an epoch."""
    for window in loader._windows(epoch):
        plan = loader._plan(window, epoch)
        yield from ((chunks, row == 0) for row, chunks in enumerate(plan.chunk_RS))


def seen_windows(loader, epoch):
    """{(utterance, position): (window, target)} of an epoch, following the streams; and the sum of the frames."""
    options, found, frames, before = loader.options, {}, 0, {}
    for batch, (chunks, first) in zip(loader.epoch(epoch), rows_of_plans(loader, epoch), strict=True):
        frames += batch.num_frames
        x = batch.x_BTF.reshape(*batch.x_BTF.shape[:2], options.width, 2)
        assert batch.num_targets == (batch.target_BT != IGNORED).sum()
        for b in range(len(x)):
            utterance, position = int(x[b, 0, options.left, 0]), int(chunks[b]) * x.shape[1]
            assert (x[b, :, :, 0] == utterance).all(), "a window reaches into another utterance"
            assert batch.reset_B[b] == (first or position == 0)
            assert batch.reset_B[b] or before[b] == (utterance, position), "a stream left its utterance without a reset"
            before[b] = (utterance, position + x.shape[1])
            for t in range(x.shape[1]):
                assert (utterance, position + t) not in found
                found[utterance, position + t] = (x[b, t, :, 1].tolist(), int(batch.target_BT[b, t]))
    return found, frames


@pytest.mark.parametrize("delay", [0, 2])
@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("epoch", [0, 1, 2])
@pytest.mark.parametrize("gib", [1.0, 60 * 2 * 4 / 2**30])
@pytest.mark.parametrize("seed", [1, None])
def test_streams_give_each_window_its_target(stride, delay, epoch, gib, seed):
    options = InputOptions(1, 1, stride, delay)
    loader = make_loader(True, options, seed, gib=gib)
    assert (len(loader.source.shards) > 1) == (gib < 1)
    found, frames = seen_windows(loader, epoch)
    assert frames == sum(LENGTHS) == loader.num_frames
    for utterance, length in enumerate(LENGTHS):
        shift = (utterance + epoch) % stride if seed else 0
        count = num_windows(length, options, shift)
        for k in range(count + delay):
            window, target = found[utterance, k]
            centre = k * stride - shift + stride // 2
            assert window == [min(max(centre + o, 0), length - 1) for o in (-1, 0, 1)]
            label = k - delay
            middle = min(max(label * stride - shift + stride // 2, 0), length - 1)
            assert target == ((100 * utterance + middle) % 997 if label >= 0 else IGNORED)
        extra = [target for (u, k), (_, target) in found.items() if u == utterance and k >= count + delay]
        assert all(target == IGNORED for target in extra)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("stride", [1, 3])
def test_shuffled_frames_come_once_each_with_their_targets(stride, half):
    options = InputOptions(2, 1, stride)
    loader = make_loader(False, options, half=half)
    total, targets = 0, []
    for batch in loader.epoch(1):
        total += batch.num_frames
        assert batch.x_BTF.dtype == torch.float32 and batch.x_BTF.shape[1:] == (1, 8)
        for row, target in zip(batch.x_BTF[:, 0].view(-1, 4, 2), batch.target_BT[:, 0]):
            utterance, length = int(row[0, 0]), LENGTHS[int(row[0, 0])]
            frame = int(target - 100 * utterance) % 997
            assert row[:, 1].tolist() in [
                [min(max(c + o, 0), length - 1) for o in (-2, -1, 0, 1)] for c in (frame, frame - 1, frame + 1)
            ]
            targets.append(int(target))
    assert total == sum(LENGTHS)
    shifts = [(u + 1) % stride for u in range(len(LENGTHS))]
    assert len(targets) == sum(int(num_windows(n, options, s)) for n, s in zip(LENGTHS, shifts))


@pytest.mark.parametrize("recurrent", [True, False])
def test_the_order_depends_on_seed_and_epoch_alone_and_can_start_anywhere(recurrent):
    options = InputOptions(1, 1, 3, 1 if recurrent else 0)

    def run(seed, epoch, skip=0, gib=60 * 8 / 2**30):
        return list(make_loader(recurrent, options, seed, gib).epoch(epoch, skip))

    def same(one, other):
        return len(one) == len(other) and all(
            a.x_BTF.shape == b.x_BTF.shape and torch.equal(a.x_BTF, b.x_BTF) and torch.equal(a.target_BT, b.target_BT)
            for a, b in zip(one, other)
        )

    whole = run(1, 0)
    assert same(whole, run(1, 0)) and not same(whole, run(2, 0)) and not same(whole, run(1, 1))
    assert len(whole) == make_loader(recurrent, options, 1, 60 * 8 / 2**30).num_batches(0)
    for skip in (1, len(whole) // 2, len(whole)):
        assert same(whole[skip:], run(1, 0, skip))


def test_skipped_shards_are_not_read():
    loader = make_loader(True, InputOptions(), gib=60 * 8 / 2**30)
    num_batches = loader.num_batches(0)
    assert loader.source.features.reads == []
    list(loader.epoch(0, num_batches - 1))
    assert 0 < len(loader.source.features.reads) < len(LENGTHS)


@pytest.mark.parametrize("size", [2, 3])
def test_workers_get_disjoint_parts_of_about_the_same_size(size):
    features = ToyFeatures()
    table = make_table(features, features.alignments(), "toy")
    parts = [split_table(table, rank, size) for rank in range(size)]
    assert sorted(name for part in parts for name in part.names) == table.names
    assert max(p.total_frames for p in parts) - min(p.total_frames for p in parts) <= max(LENGTHS) // 2
    assert all(part.names == sorted(part.names) for part in parts)
    assert sum(make_loader(True, InputOptions(stride=3), rank=r, size=size).num_frames for r in range(size)) == sum(LENGTHS)


def test_streams_that_end_are_the_last_ones():
    for seed in (1, None):
        sizes = [len(batch.reset_B) for batch in make_loader(True, InputOptions(), seed).epoch(0)]
        assert sizes[0] == 4 and sizes == sorted(sizes, reverse=True)


def test_training_keeps_all_streams_busy_to_the_end():
    loader = make_loader(True, InputOptions(stride=3))
    active = loader._plan(loader._windows(0)[0], 0).active_R
    assert (active[:-3] == 4).all() and active[-1] >= 1  # 4 streams: at most 3 rows short


def test_evaluation_keeps_utterances_whole():
    options = InputOptions(1, 1, 3, 1)
    resets = sum(int(batch.reset_B.sum()) for batch in make_loader(True, options, None).epoch(0))
    assert resets == len(LENGTHS)


def test_evaluation_has_no_shift_and_no_shuffling():
    loader = make_loader(False, InputOptions(stride=3), seed=None)
    targets = torch.cat([batch.target_BT[:, 0] for batch in loader.epoch(0)]).tolist()
    expected = [(100 * u + min(k, n - 1)) % 997 for u, n in enumerate(LENGTHS) for k in range(1, n + 2, 3) if k - 1 < n]
    assert targets == expected


def test_normalisation_gives_zero_mean_and_unit_variance():
    source = make_loader(True, InputOptions()).source
    mean, scale = normalisation(source.moments(), lambda tensor: None)
    source.normalise(mean, scale)
    features = source.load([0]).features_ND.double()
    torch.testing.assert_close(features.mean(0), torch.zeros(2, dtype=torch.float64), atol=1e-5, rtol=0)
    torch.testing.assert_close(features.var(0, correction=0), torch.ones(2, dtype=torch.float64), atol=1e-4, rtol=0)
    assert len(source.features.reads) == len(LENGTHS)  # a single shard is read once


def test_utterances_without_alignment_are_counted(capsys):
    features = ToyFeatures()
    alignments = features.alignments()
    del alignments["u03"], alignments["u05"]
    table = make_table(features, alignments, "data/x")
    assert table.num_without_alignment == 2 and len(table.names) == len(LENGTHS) - 2
    assert "data/x: 2 of 12 utterances have no alignment" in capsys.readouterr().err


def test_what_does_not_fit_names_the_utterance():
    features = ToyFeatures()
    alignments = features.alignments()
    with pytest.raises(AsrtoolError, match="toy: none of its 12 utterances has an alignment"):
        make_table(features, {}, "toy")
    with pytest.raises(AsrtoolError, match="toy: u02: 23 frames of features but an alignment of 22"):
        make_table(features, {**alignments, "u02": alignments["u02"][1:]}, "toy")
    table = make_table(features, alignments, "toy")
    with pytest.raises(AsrtoolError, match="12 utterances cannot be split over 13 workers"):
        split_table(table, 0, 13)
    features.lengths["u04"] = 13  # utt2num_frames said 12
    with pytest.raises(AsrtoolError, match=r"u04: features of shape \(13, 2\), expected \(12, 2\)"):
        ShardedFeatures(features, table, 1.0).load([0])


def test_features_with_nan_name_the_utterance():
    class Broken(ToyFeatures):
        def __call__(self, utterance):
            matrix = super().__call__(utterance)
            matrix[-1, 0] = np.nan if utterance == "u06" else 0
            return matrix

    features = Broken()
    table = make_table(features, features.alignments(), "toy")
    with pytest.raises(AsrtoolError, match="u06: features hold NaN"):
        ShardedFeatures(features, table, 1.0).load([0])
