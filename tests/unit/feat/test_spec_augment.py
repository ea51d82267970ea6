"""SpecAugment's masks: their distribution, what they depend on, and what they blank out."""

import numpy as np
import pytest

from asrtool.feat.spec_augment import SpecAugmentOptions, apply_masks, draw_masks, utterance_keys

OPTIONS = SpecAugmentOptions(num_time_masks=2, max_time_frames=30, max_time_share=0.2, num_freq_masks=1, max_freq_bins=7)


def test_masks_depend_on_seed_epoch_and_name_alone():
    names = [f"u{index}" for index in range(50)]
    lengths = np.full(50, 300)
    masks = draw_masks(utterance_keys(names), lengths, 28, OPTIONS, 1, 3)
    backwards = draw_masks(utterance_keys(names[::-1]), lengths, 28, OPTIONS, 1, 3)
    np.testing.assert_array_equal(masks.time_UM2, backwards.time_UM2[::-1])
    np.testing.assert_array_equal(masks.bins_UM2, backwards.bins_UM2[::-1])
    for seed, epoch in ((1, 4), (2, 3)):
        other = draw_masks(utterance_keys(names), lengths, 28, OPTIONS, seed, epoch)
        assert (masks.time_UM2 != other.time_UM2).mean() > 0.8


def test_lengths_and_begins_are_uniform():
    names = [f"u{index}" for index in range(20_000)]
    masks = draw_masks(utterance_keys(names), np.full(20_000, 100), 28, OPTIONS, 1, 0)
    for stripes, longest, extent in (
        (masks.time_UM2[:, 0], 20, 100),
        (masks.time_UM2[:, 1], 20, 100),
        (masks.bins_UM2[:, 0], 7, 28),
    ):
        length = stripes[:, 1] - stripes[:, 0]
        counts = np.bincount(length, minlength=longest + 1)
        assert len(counts) == longest + 1  # 20: the share of 100 frames; not more
        expected = 20_000 / (longest + 1)
        assert ((counts - expected) ** 2 / expected).sum() < 3 * longest  # chi-square
        assert stripes.min() >= 0 and stripes.max() == extent
        place = stripes[:, 0] / (extent - length)
        assert abs(place.mean() - 0.5) < 0.01 and abs(place.var() - 1 / 12) < 0.01
        assert abs(np.corrcoef(length, place)[0, 1]) < 0.03
    assert abs(np.corrcoef(masks.time_UM2[:, 0, 0], masks.time_UM2[:, 1, 0])[0, 1]) < 0.03


def test_short_utterances_keep_most_of_their_frames():
    lengths = np.arange(1, 40)
    masks = draw_masks(utterance_keys([str(n) for n in lengths]), lengths, 28, OPTIONS, 1, 0)
    longest = (masks.time_UM2[..., 1] - masks.time_UM2[..., 0]).max(1)
    assert (longest <= 0.2 * lengths).all() and (masks.time_UM2[..., 1] <= lengths[:, None]).all()


def test_masks_are_the_same_in_all_channels():
    masks = draw_masks(utterance_keys(["a", "b"]), np.array([200, 200]), 28, OPTIONS, 1, 0)
    features = np.ones((200, 84), np.float32)
    masked = apply_masks(features, masks, 1, 3)
    assert features.all()
    expected = np.ones((200, 3, 28), np.float32)
    for frame in range(200):
        for bin_ in range(28):
            if any(a <= frame < b for a, b in masks.time_UM2[1]) or any(a <= bin_ < b for a, b in masks.bins_UM2[1]):
                expected[frame, :, bin_] = 0
    assert 0 < (expected == 0).mean() < 0.8
    np.testing.assert_array_equal(masked, expected.reshape(200, 84))
    with pytest.raises(ValueError, match="84 dimensions are not 5 channels"):
        apply_masks(features, masks, 1, 5)


def test_a_mask_is_not_wider_than_the_features():
    options = SpecAugmentOptions(num_freq_masks=1, max_freq_bins=40)
    masks = draw_masks(utterance_keys([str(n) for n in range(500)]), np.full(500, 10), 5, options, 1, 0)
    assert masks.bins_UM2.max() == 5 and masks.time_UM2.shape == (500, 0, 2)


@pytest.mark.parametrize("wrong", [{"num_time_masks": -1}, {"max_time_share": 1.5}, {"max_freq_bins": -2}])
def test_settings_out_of_range(wrong):
    with pytest.raises(ValueError, match="spec_augment"):
        SpecAugmentOptions(**wrong)


def test_off_by_default():
    assert not SpecAugmentOptions().active and OPTIONS.active
    assert not SpecAugmentOptions(num_time_masks=2, max_time_frames=0).active
