import numpy as np
import pytest
import torch

from asrtool.nnet.input import InputOptions, centre_frame, num_windows, utterance_windows

STACK3 = InputOptions(left=1, right=1, stride=3)


def covered_frames(window, num_frames, options, shift=0):
    """How many of its utterance's frames a window stands for; summed over `num_windows` windows: all of them."""
    first = window * options.stride - shift
    return (torch.minimum(first + options.stride, num_frames) - first.clamp(min=0)).clamp(min=0)


def test_three_frames_stacked_without_overlap_and_the_tail_padded_by_the_last():
    features = torch.arange(1.0, 8.0).unsqueeze(1)  # 7 frames of dimension 1
    assert utterance_windows(features, STACK3).tolist() == [[1, 2, 3], [4, 5, 6], [7, 7, 7]]


def test_splicing_repeats_the_ends():
    features = torch.arange(1.0, 4.0).unsqueeze(1)
    assert utterance_windows(features, InputOptions(left=2, right=1)).tolist() == [[1, 1, 1, 2], [1, 1, 2, 3], [1, 2, 3, 3]]


def test_a_label_delay_adds_windows_that_repeat_the_end():
    features = torch.arange(1.0, 5.0).unsqueeze(1)
    assert utterance_windows(features, InputOptions(1, 1, 3, label_delay=2)).tolist() == [
        [1, 2, 3],
        [4, 4, 4],
        [4, 4, 4],
        [4, 4, 4],
    ]


def test_frames_of_a_window_stay_together_in_order_of_time():
    features = torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    assert utterance_windows(features, STACK3).tolist() == [[1, 10, 2, 20, 3, 30]]


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("num_frames", [1, 2, 3, 7, 12])
def test_windows_cover_every_frame_once_in_every_phase(stride, num_frames):
    options = InputOptions(stride=stride)
    for shift in range(stride):
        windows = torch.arange(num_windows(num_frames, options, shift))
        covered = covered_frames(windows, torch.tensor(num_frames), options, shift)
        assert covered.sum() == num_frames
        assert covered.min() >= 1
        owners = np.repeat(windows.numpy(), covered.numpy())
        middle = centre_frame(windows, options, shift).numpy()
        assert (np.abs(np.arange(num_frames) - middle[owners]) <= stride // 2).all()


def test_settings_out_of_range():
    with pytest.raises(ValueError, match="stride >= 1"):
        InputOptions(stride=0)
