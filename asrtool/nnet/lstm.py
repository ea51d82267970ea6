"""The unidirectional LSTM of 1703.01024: LSTM layers, a fully connected layer, the output layer."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from asrtool.nnet.lstm_layer import lstm_chunk
from asrtool.nnet.model import ACTIVATIONS, AcousticModel, State, initialise_linear


@dataclass
class LstmConfig:
    """Sizes of `Lstm`.

    Attributes:
        num_layers: LSTM layers.
        num_cells: cells in each.
        fc_dim: units of the fully connected layer between the last LSTM layer and the output.
        fc_activation: its activation.
        forget_bias: initial bias of the forget gates; 1 lets the cells remember from the start.
        cell_clip: cells are kept within +-this (Kaldi's nnet1: 50); 0 for no clipping.
    """

    num_layers: int = 2
    num_cells: int = 1024
    fc_dim: int = 1024
    fc_activation: Literal["relu", "sigmoid", "tanh", "linear"] = "relu"
    forget_bias: float = 1.0
    cell_clip: float = 50.0

    def __post_init__(self) -> None:
        if min(self.num_layers, self.num_cells, self.fc_dim) < 1 or self.cell_clip < 0:
            raise ValueError("an LSTM needs num_layers, num_cells and fc_dim >= 1 and cell_clip >= 0")


class LstmLayer(nn.Module):
    """Weights of one layer: w_x [F, 4H], w_h [H, 4H], bias [4H]; gates in the order i, f, o, g."""

    def __init__(self, input_dim: int, num_cells: int, forget_bias: float, cell_clip: float) -> None:
        super().__init__()
        self.cell_clip = cell_clip
        self.w_x = nn.Parameter(torch.empty(input_dim, 4 * num_cells).uniform_(-1, 1).mul_((3 / (input_dim + num_cells)) ** 0.5))
        blocks = [nn.init.orthogonal_(torch.empty(num_cells, num_cells)) for _ in range(4)]
        self.w_h = nn.Parameter(torch.cat(blocks, 1).mul_(0.5))
        bias = torch.zeros(4 * num_cells)
        bias[num_cells : 2 * num_cells] = forget_bias
        self.bias = nn.Parameter(bias)

    def forward(self, x_TBF: Tensor, h_BH: Tensor, c_BH: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return lstm_chunk(x_TBF, self.w_x, self.w_h, self.bias, h_BH, c_BH, self.cell_clip)


class Lstm(AcousticModel):
    """State: (h, c) of layer 0, (h, c) of layer 1, ...; each [B, H]."""

    recurrent = True

    def __init__(self, config: LstmConfig, input_dim: int, num_pdfs: int) -> None:
        super().__init__(input_dim, num_pdfs)
        self.num_cells = config.num_cells
        dims = [input_dim] + [config.num_cells] * config.num_layers
        self.layers = nn.ModuleList(LstmLayer(dim, config.num_cells, config.forget_bias, config.cell_clip) for dim in dims[:-1])
        self.fc = initialise_linear(nn.Linear(config.num_cells, config.fc_dim), config.fc_activation)
        self.output = initialise_linear(nn.Linear(config.fc_dim, num_pdfs), "linear")
        self.fc_activation = ACTIVATIONS[config.fc_activation]

    def initial_state(self, num_streams: int) -> State:
        return tuple(self.fc.weight.new_zeros(num_streams, self.num_cells) for _ in range(2 * len(self.layers)))

    def forward(self, x_BTF: Tensor, state: State) -> tuple[Tensor, State]:
        y = x_BTF.transpose(0, 1)  # streams come from the loader time-major underneath, so this costs nothing
        after: list[Tensor] = []
        for layer, h, c in zip(self.layers, state[::2], state[1::2], strict=True):
            y, h, c = layer(y, h, c)
            after += [h, c]
        num_frames, num_streams = y.shape[:2]
        logits = self.output(self.fc_activation(self.fc(y.reshape(-1, self.num_cells))))
        return logits.view(num_frames, num_streams, self.num_pdfs).transpose(0, 1), tuple(after)
