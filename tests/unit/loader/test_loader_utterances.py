"""Batches of whole utterances of similar length; and the phases of windows at a lower rate."""

from collections import Counter

import numpy as np
import pytest
import torch
from toy_corpus import LENGTHS, ToyFeatures, make_loader

from asrtool.criterion.cross_entropy import cross_entropy
from asrtool.loader.batch import IGNORED
from asrtool.loader.utterances import plan_utterances
from asrtool.nnet.input import InputOptions, num_windows
from asrtool.nnet.lstm import Lstm, LstmConfig

MANY = np.random.default_rng(6).integers(1, 60, 80).tolist()


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("delay", [0, 2])
@pytest.mark.parametrize("seed", [1, None])
def test_every_utterance_is_whole_in_one_batch(stride, delay, seed):
    options = InputOptions(1, 1, stride, delay)
    loader = make_loader(True, options, seed, features=ToyFeatures(MANY), batching="utterances", batch_frames=300)
    seen = Counter()
    for batch in loader.epoch(2):
        assert batch.reset_B.all() and batch.x_BTF.transpose(0, 1).is_contiguous()
        size, length = batch.target_BT.shape
        assert size == 1 or size * length <= 300 // stride
        for b in range(size):
            utterance = int(batch.x_BTF[b, 0, 0])
            shift = (utterance + 2) % stride if seed else 0
            count = int(num_windows(MANY[utterance], options, shift))
            middle = np.clip(np.arange(count) * stride - shift + stride // 2, 0, MANY[utterance] - 1)
            expected = np.full(length, IGNORED)
            expected[delay : delay + count] = (100 * utterance + middle) % 997
            assert batch.target_BT[b].tolist() == expected.tolist()
            last = batch.x_BTF[b, count + delay :, 1::2]
            assert (last == MANY[utterance] - 1).all(), "padding does not repeat the last frame"
            seen[utterance] += 1
    assert seen == Counter(range(len(MANY)))


def test_padding_is_small_and_reported():
    lengths = np.random.default_rng(0).integers(200, 1500, 3000)
    options = InputOptions(1, 1, 3, 2)
    plan = plan_utterances(lengths, options, np.zeros(3000, np.int64), 8000, np.random.default_rng(1))
    assert sorted(plan.utterance_U.tolist()) == list(range(3000))
    targets = int(num_windows(lengths, options).sum())
    assert 1 - targets / plan.num_positions < 0.05  # 3 % of length steps, and the delay
    loader = make_loader(True, options, features=ToyFeatures(MANY), batching="utterances", batch_frames=300)
    batches = list(loader.epoch(4))
    positions, targets = sum(b.target_BT.numel() for b in batches), sum(b.num_targets for b in batches)
    assert loader.padding_share(4) == pytest.approx(1 - targets / positions)
    for kind in ("streams", "frames"):
        for seed in (1, None):
            loader = make_loader(kind == "streams", options, seed, batching=kind)
            batches = list(loader.epoch(1))
            positions, targets = sum(b.target_BT.numel() for b in batches), sum(b.num_targets for b in batches)
            assert loader.padding_share(1) == pytest.approx(1 - targets / positions)
            assert "% of the windows; all 177 frames in memory" in loader.describe()


def test_batches_differ_from_epoch_to_epoch_and_repeat_with_the_seed():
    def groups(seed, epoch):
        loader = make_loader(True, InputOptions(), seed, features=ToyFeatures(MANY), batching="utterances", batch_frames=300)
        return [tuple(batch.utterances) for batch in loader.epoch(epoch)]

    assert groups(1, 0) == groups(1, 0)
    assert groups(1, 0) != groups(1, 1) and groups(1, 0) != groups(2, 0)
    assert {frozenset(group) for group in groups(1, 0)} != {frozenset(group) for group in groups(1, 1)}


def test_a_longer_utterance_is_a_batch_of_its_own():
    loader = make_loader(True, InputOptions(), features=ToyFeatures([5, 5, 100, 5]), batching="utterances", batch_frames=20)
    shapes = sorted(tuple(batch.target_BT.shape) for batch in loader.epoch(0))
    assert shapes == [(1, 100), (3, 5)]
    assert loader.nominal_targets == 20


def test_the_loss_of_an_utterance_does_not_depend_on_its_batch():
    options = InputOptions(1, 1, 3, 1)
    torch.manual_seed(0)
    model = Lstm(LstmConfig(num_layers=1, num_cells=8, fc_dim=8), 6, 997).double()

    def losses(budget):
        found = {}
        loader = make_loader(True, options, None, batching="utterances", batch_frames=budget)
        for batch in loader.epoch(0):
            logits, _ = model(batch.x_BTF.double() / 40, model.initial_state(len(batch.reset_B)))
            for b, name in enumerate(batch.utterances):
                found[name] = cross_entropy(logits[b : b + 1], batch.target_BT[b : b + 1])[0].item()
        return found

    alone, together = losses(1), losses(200)
    assert set(alone) == set(together) and len(alone) == len(LENGTHS)
    for name, loss in alone.items():
        assert together[name] == pytest.approx(loss, rel=1e-9)


@pytest.mark.parametrize("kind", ["streams", "utterances", "frames"])
@pytest.mark.parametrize("stride", [2, 3])
def test_over_all_phases_every_frame_is_the_centre_once(kind, stride):
    options = InputOptions(0, 0, stride)
    centres = Counter()
    for epoch in range(5, 5 + stride):
        loader = make_loader(kind != "frames", options, features=ToyFeatures(MANY), batching=kind)
        epoch_centres = Counter()
        for batch in loader.epoch(epoch):
            rows = batch.x_BTF[batch.target_BT != IGNORED].int().tolist()
            epoch_centres.update(map(tuple, rows))
        # the first window may lie with its middle before the utterance, the last one behind it: those repeat an edge frame
        for utterance, length in enumerate(MANY):
            shift = (utterance + epoch) % stride
            middles = np.arange(num_windows(length, options, shift)) * stride - shift + stride // 2
            for middle in middles[(middles < 0) | (middles >= length)]:
                epoch_centres[utterance, min(max(int(middle), 0), length - 1)] -= 1
        centres += epoch_centres
    assert centres == Counter({(u, f): 1 for u, length in enumerate(MANY) for f in range(length)})
