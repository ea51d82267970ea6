"""The CLDNN: convolutions over frequency and time, a linear reduction, LSTMP layers, fully connected layers.

Sainath, Vinyals, Senior, Sak, "Convolutional, long short-term memory, fully connected deep neural networks", ICASSP 2015
(and the second network of 1703.05880). The convolutions see one input window at a time, so the only memory is the LSTMs':
in the paper a window is the current frame with the 10 before it, `input: {left: 10, right: 0}`.

Convolutions lie with the maps last in memory. The first one takes the frames of its filter as channels, so that torch convolves
over frequency alone (one channel, as in the paper, is slow otherwise); the second is a matrix product on unfolded windows.
Measured on one core, forward and backward, against bare matrix products: 0.73 at the paper's sizes with one channel, 0.75 to
0.86 with three, 0.61 to 0.67 at those of conf/cldnn_mini.yaml. Both by torch: 0.37, 0.77, 0.67; maps first: 0.37, 0.66, 0.45.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from asrtool.errors import AsrtoolError
from asrtool.nnet.lstm_layer import LstmLayerConfig, run_layers, stack_layers
from asrtool.nnet.model import ACTIVATIONS, AcousticModel, State, initialise_linear
from asrtool.nnet.precision import linear


@dataclass
class CldnnConfig(LstmLayerConfig):
    """Sizes of `Cldnn`, with the paper's as defaults; those of its LSTMP layers as in `LstmLayerConfig`.

    Attributes:
        window_frames: frames in an input window (`left` + 1 + `right` of the input settings).
        delta_order: of the features: a frame holds its mel bins, then their first differences, ...: channels for the first
            convolution. Mel bins are what `input_dim` leaves: input_dim / window_frames / (delta_order + 1).
        num_maps: feature maps of both convolutions, which are followed by ReLU.
        filter1, filter2: their filters, [mel bins, frames]; nothing is padded.
        pool: positions in frequency of which the first convolution's outputs keep the largest, without overlap.
        reduction_dim: linear units between the convolutions and the LSTMP layers.
        num_layers: LSTMP layers.
        num_fc_layers, fc_dim, fc_activation: fully connected layers after them.
    """

    window_frames: int = 11
    delta_order: int = 0
    num_maps: int = 256
    filter1: list[int] = field(default_factory=lambda: [9, 9])
    filter2: list[int] = field(default_factory=lambda: [4, 3])
    pool: int = 3
    reduction_dim: int = 256
    num_cells: int = 832
    projection_dim: int = 512
    num_layers: int = 2
    num_fc_layers: int = 1
    fc_dim: int = 1024
    fc_activation: Literal["relu", "sigmoid", "tanh"] = "relu"

    def __post_init__(self) -> None:
        sizes = (
            self.window_frames,
            self.num_maps,
            self.pool,
            self.reduction_dim,
            self.num_layers,
            self.num_fc_layers,
            self.fc_dim,
        )
        if min(sizes) < 1 or self.delta_order < 0:
            raise ValueError("a CLDNN needs sizes >= 1 and delta_order >= 0")
        if any(len(filter_size) != 2 or min(filter_size) < 1 for filter_size in (self.filter1, self.filter2)):
            raise ValueError("filter1 and filter2 of a CLDNN: expected [mel bins, frames]")
        super().__post_init__()

    def convolved_dim(self, input_dim: int) -> int:
        """Numbers that the convolutions make of a window; raises AsrtoolError where `input_dim` does not suit them."""
        channels = self.delta_order + 1
        if input_dim % (self.window_frames * channels):
            raise AsrtoolError(
                f"model: a CLDNN with window_frames {self.window_frames} and delta_order {self.delta_order} takes a multiple of "
                f"{self.window_frames * channels} numbers, and windows have {input_dim}; these settings must be those of "
                "input (left + 1 + right) and features"
            )
        mel_bins = input_dim // self.window_frames // channels
        (mels1, frames1), (mels2, frames2) = self.filter1, self.filter2
        mels = -((mel_bins - mels1 + 1) // -self.pool) - mels2 + 1
        frames = self.window_frames - frames1 - frames2 + 2
        if mel_bins < mels1 or mels < 1 or frames < 1:
            raise AsrtoolError(
                f"model: the filters of the CLDNN exceed its windows of {self.window_frames} frames x {mel_bins} mel bins"
            )
        return self.num_maps * frames * mels


class _Convolution(torch.autograd.Function):
    """x [N, frames, mels, C], weight [maps, C, frames, mels], bias [maps] -> [N, frames', mels', maps], without padding."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        maps, _, frames, mels = weight.shape
        x_windows = x.unfold(1, frames, 1).unfold(2, mels, 1).permute(0, 1, 2, 4, 5, 3)  # [N, frames', mels', frames, mels, C]
        columns = x_windows.reshape(x_windows.shape[:3].numel(), -1)
        weight_columns = weight.permute(0, 2, 3, 1).reshape(maps, -1)
        ctx.save_for_backward(columns, weight_columns)
        ctx.shapes = x.shape, x_windows.shape
        return torch.addmm(bias, columns, weight_columns.t()).view(*x_windows.shape[:3], maps)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, d_y):
        columns, weight = ctx.saved_tensors
        x_shape, (_, frames_out, mels_out, frames, mels, channels) = ctx.shapes
        d_y = d_y.reshape(len(columns), -1)
        d_weight = torch.mm(d_y.t(), columns).view(-1, frames, mels, channels).permute(0, 3, 1, 2)
        d_windows = torch.mm(d_y, weight).view(-1, frames_out, mels_out, frames, mels, channels)
        d_x = d_y.new_zeros(x_shape)
        for i in range(frames):
            for j in range(mels):
                d_x[:, i : i + frames_out, j : j + mels_out] += d_windows[:, :, :, i, j]
        return d_x, d_weight, d_y.sum(0)


class Cldnn(AcousticModel):
    """State: (r, c) of LSTMP layer 0, (r, c) of layer 1, ...; r [B, R], c [B, H]."""

    recurrent = True

    def __init__(self, config: CldnnConfig, input_dim: int, num_pdfs: int) -> None:
        super().__init__(input_dim, num_pdfs)
        self.window = (config.window_frames, config.delta_order + 1)
        self.pool = config.pool
        maps, filters = config.num_maps, [(frames, mels) for mels, frames in (config.filter1, config.filter2)]
        self.reduction = initialise_linear(nn.Linear(config.convolved_dim(input_dim), config.reduction_dim), "linear")
        self.convolution1 = initialise_linear(nn.Conv2d(config.delta_order + 1, maps, filters[0]), "relu")
        self.convolution2 = initialise_linear(nn.Conv2d(maps, maps, filters[1]), "relu")
        self.layers = stack_layers(config.reduction_dim, config, config.num_layers)
        dims = [self.layers[-1].output_dim] + [config.fc_dim] * (config.num_fc_layers - 1)
        self.fc = nn.ModuleList(initialise_linear(nn.Linear(dim, config.fc_dim), config.fc_activation) for dim in dims)
        self.fc_activation = ACTIVATIONS[config.fc_activation]
        self.output = initialise_linear(nn.Linear(config.fc_dim, num_pdfs), "linear")

    def initial_state(self, num_streams: int) -> State:
        return tuple(tensor for layer in self.layers for tensor in layer.initial_state(num_streams))

    def convolve(self, x_NF: Tensor) -> Tensor:
        """Windows [N, F] -> [N, frames * mel positions * maps]."""
        first, second, num_windows = self.convolution1, self.convolution2, len(x_NF)
        maps, channels, frames, _ = first.weight.shape
        x = x_NF.view(num_windows, *self.window, -1).unfold(1, frames, 1)  # [N, frames', channels, mels, frames]
        x = x.permute(0, 1, 3, 2, 4).reshape(-1, 1, x.shape[3], channels * frames).permute(0, 3, 1, 2)
        weight = first.weight.view(maps, channels * frames, 1, -1).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", enabled=False):  # bfloat16 convolutions are slow on most processors
            y = functional.conv2d(x, weight, first.bias)
            # ceil_mode: the topmost bins count even where `pool` does not divide
            y = torch.relu_(functional.max_pool2d(y, (1, self.pool), ceil_mode=True))
            y_NTMC = y.permute(0, 2, 3, 1).reshape(num_windows, -1, y.shape[3], maps)
            if y.is_cuda:
                y = functional.conv2d(y_NTMC.permute(0, 3, 1, 2), second.weight, second.bias).permute(0, 2, 3, 1)
            else:
                y = _Convolution.apply(y_NTMC, second.weight, second.bias)
        return torch.relu(y).reshape(num_windows, -1)

    def forward(self, x_BTF: Tensor, state: State) -> tuple[Tensor, State]:
        x_TBF = x_BTF.transpose(0, 1)  # streams lie time-major underneath
        num_frames, num_streams = x_TBF.shape[:2]
        y = linear(self.convolve(x_TBF.reshape(-1, self.input_dim)), self.reduction.weight, self.reduction.bias)
        y, state = run_layers(self.layers, y.view(num_frames, num_streams, -1), state)
        for layer in self.fc:
            y = self.fc_activation(linear(y, layer.weight, layer.bias))
        return linear(y, self.output.weight, self.output.bias).transpose(0, 1), state
