"""SpecAugment in the loader: the windows of a batch are those of masked utterances, in every batching; only in training."""

import numpy as np
import pytest
import torch
from toy_corpus import ToyFeatures, gib_of_frames, make_loader, same_batches

from asrtool.errors import AsrtoolError
from asrtool.feat.spec_augment import SpecAugmentOptions, apply_masks, draw_masks, utterance_keys
from asrtool.loader.batch import IGNORED
from asrtool.nnet.input import InputOptions, utterance_windows

LENGTHS = [17, 60, 40, 3, 55, 90, 33]
MASKS = SpecAugmentOptions(2, 10, 0.3, 1, 3, num_channels=2)


class Random(ToyFeatures):
    """Noise in 2 channels of 5 bins; the pdfs number the frames of the corpus, so that a target says which frame it is."""

    dim = 10

    def __init__(self, lengths=LENGTHS):
        super().__init__(lengths)
        random = np.random.default_rng(8)
        self.matrices = {u: random.uniform(1, 2, (n, 10)).astype(np.float32) for u, n in self.lengths.items()}

    def __call__(self, utterance):
        return self.matrices[utterance]

    def alignments(self):
        begin = np.cumsum([0, *self.lengths.values()])
        return {u: np.arange(begin[i], begin[i + 1], dtype=np.int32) for i, u in enumerate(self.lengths)}


def expected_windows(features, options, seed, epoch):
    """Window by target, of whole utterances masked by `apply_masks`."""
    names = features.utterances()
    lengths = np.array(list(features.lengths.values()))
    masks = draw_masks(utterance_keys(names), lengths, 5, MASKS, seed, epoch)
    windows = []
    for u, name in enumerate(names):
        masked = torch.from_numpy(apply_masks(features(name), masks, u, 2))
        windows.append(utterance_windows(masked, InputOptions(options.left, options.right)))
    return torch.cat(windows)


@pytest.mark.parametrize("kind", ["streams", "utterances", "frames"])
@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("limit", [1e6, 200])
def test_windows_are_those_of_masked_utterances(kind, half, limit):
    features, options = Random(), InputOptions(2, 1, 1)
    loader = make_loader(
        kind != "frames", options, 3, gib_of_frames(limit, 10), features=features, half=half, shard_frames=50,
        batching=kind, spec_augment=MASKS,
    )  # fmt: skip
    expected = expected_windows(features, options, 3, 1)
    blanked = 0
    for batch in loader.epoch(1):
        valid = batch.target_BT != IGNORED
        found = batch.x_BTF[valid]
        torch.testing.assert_close(found, expected[batch.target_BT[valid]], rtol=1e-3 if half else 0, atol=0)
        blanked += int((found == 0).sum())
    assert 0.1 < blanked / expected.numel() < 0.7


def test_masks_do_not_depend_on_workers_shards_or_threads():
    def windows(size, **settings):
        found = {}
        settings = {"features": Random(), "spec_augment": MASKS, **settings}
        for rank in range(size):
            loader = make_loader(False, InputOptions(), 3, rank=rank, size=size, **settings)
            for batch in loader.epoch(0):
                found.update(zip(batch.target_BT[:, 0].tolist(), batch.x_BTF[:, 0].unbind(0)))
        return [found[target] for target in range(sum(LENGTHS))]

    whole = windows(1)
    for other in (windows(3), windows(1, prefetch=0), windows(1, gib=gib_of_frames(150, 10), shard_frames=40)):
        assert all(torch.equal(a, b) for a, b in zip(whole, other, strict=True))


def test_evaluation_and_other_epochs():
    def run(seed, epoch, masks=MASKS):
        return list(make_loader(True, InputOptions(), seed, features=Random(), spec_augment=masks).epoch(epoch))

    assert same_batches(run(None, 0), run(None, 0, SpecAugmentOptions()))
    assert same_batches(run(1, 1), run(1, 1)) and not same_batches(run(1, 1), run(1, 1, SpecAugmentOptions()))


def test_channels_must_divide_the_dimensions():
    with pytest.raises(AsrtoolError, match=r"loader\.spec_augment\.num_channels: 3 does not divide the 10 feature dimensions"):
        make_loader(True, features=Random(), spec_augment=SpecAugmentOptions(1, num_channels=3))
    assert make_loader(True, features=Random(), spec_augment=SpecAugmentOptions(1)).num_channels == 1
