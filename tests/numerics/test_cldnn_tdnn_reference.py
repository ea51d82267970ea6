"""The CLDNN's convolutions against torch's, and the TDNN against its definition with layers that look to both sides."""

import pytest
import torch
from torch.nn import functional

from asrtool.nnet.registry import make_model
from asrtool.nnet.tdnn import renormalise


@pytest.mark.parametrize(
    ("window_frames", "delta_order", "mel_bins", "sizes"),
    [
        (11, 0, 40, {"filter1": [9, 9], "filter2": [4, 3], "pool": 3}),  # the paper's: 32 positions, 11 pooled, 8; one frame
        (9, 2, 14, {"filter1": [5, 4], "filter2": [2, 3], "pool": 2}),  # four frames are left
        (4, 1, 6, {"filter1": [3, 2], "filter2": [1, 1], "pool": 1}),
    ],
)
def test_convolutions(window_frames, delta_order, mel_bins, sizes):
    torch.manual_seed(1)
    settings = {"kind": "cldnn", "window_frames": window_frames, "delta_order": delta_order, "num_maps": 6, **sizes}
    model = make_model(settings, window_frames * (delta_order + 1) * mel_bins, 3).double()
    torch.nn.init.normal_(model.convolution1.bias)
    torch.nn.init.normal_(model.convolution2.bias)
    x = torch.randn(
        5, window_frames, delta_order + 1, mel_bins, dtype=torch.float64, requires_grad=True
    )  # a frame: mels, deltas, ..
    y = functional.conv2d(x.transpose(1, 2), model.convolution1.weight, model.convolution1.bias).relu()
    y = functional.max_pool2d(y, (1, sizes["pool"]), ceil_mode=True)
    y = functional.conv2d(y, model.convolution2.weight, model.convolution2.bias).relu()
    expected = y.permute(0, 2, 3, 1).reshape(5, -1)  # frames, mel positions, maps
    assert expected.shape[1] == model.reduction.in_features
    ours = model.convolve(x.reshape(5, -1))
    torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)
    weights = [x, *model.convolution1.parameters(), *model.convolution2.parameters()]
    d_y = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad(ours, weights, d_y), torch.autograd.grad(expected, weights, d_y), rtol=1e-10, atol=1e-10
    )


def test_tdnn_is_kaldis_network_right_context_windows_later():
    torch.manual_seed(2)
    offsets = [[-2, -1, 0, 1, 2], [-1, 2], [-7, 2], [0]]
    model = make_model({"kind": "tdnn", "offsets": offsets, "hidden_dim": 8}, 5, 7).double()
    left, right, num_frames = 10, 6, 40
    assert model.right_context == right
    x_TF = torch.randn(num_frames, 5, dtype=torch.float64)

    def hidden(layer: int, t: int) -> torch.Tensor:
        if layer < 0:
            return x_TF[t]
        spliced = torch.cat([hidden(layer - 1, t + offset) for offset in offsets[layer]])
        y = (model.hidden[layer].weight @ spliced + model.hidden[layer].bias).clamp(min=0)
        return y / y.square().mean().sqrt()

    logits, _ = model(x_TF.unsqueeze(0), model.initial_state(1))
    for t in range(left, num_frames - right):
        expected = model.output.weight @ hidden(3, t) + model.output.bias
        torch.testing.assert_close(logits[0, t + right], expected, rtol=1e-11, atol=1e-11)


def test_renormalised_frames_have_unit_power_and_zeros_stay():
    x = torch.tensor([[3.0, -4.0], [0.0, 0.0], [1e-6, 0.0]])
    y = renormalise(x)
    torch.testing.assert_close(y, torch.tensor([[3.0, -4.0], [0.0, 0.0], [5.0, 0.0]]) * torch.tensor([[2**0.5 / 5]]))
