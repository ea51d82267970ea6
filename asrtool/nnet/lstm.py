"""The unidirectional LSTM of 1703.01024: LSTM layers, a fully connected layer, the output layer."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from asrtool.nnet.lstm_layer import LstmLayerConfig, run_layers, stack_layers
from asrtool.nnet.model import ACTIVATIONS, AcousticModel, State, initialise_linear
from asrtool.nnet.precision import linear


@dataclass
class LstmConfig(LstmLayerConfig):
    """Sizes of `Lstm`; those of its layers as in `LstmLayerConfig`.

    Attributes:
        num_layers: LSTM layers.
        fc_dim: units of the fully connected layer between the last LSTM layer and the output.
        fc_activation: its activation.
    """

    num_cells: int = 1024
    num_layers: int = 2
    fc_dim: int = 1024
    fc_activation: Literal["relu", "sigmoid", "tanh", "linear"] = "relu"

    def __post_init__(self) -> None:
        if min(self.num_layers, self.num_cells, self.fc_dim) < 1:
            raise ValueError("an LSTM needs num_layers, num_cells and fc_dim >= 1")
        super().__post_init__()


class Lstm(AcousticModel):
    """State: (r, c) of layer 0, (r, c) of layer 1, ...; each [B, H] (without projection)."""

    recurrent = True

    def __init__(self, config: LstmConfig, input_dim: int, num_pdfs: int) -> None:
        super().__init__(input_dim, num_pdfs)
        self.layers = stack_layers(input_dim, config, config.num_layers)
        self.fc = initialise_linear(nn.Linear(self.layers[-1].output_dim, config.fc_dim), config.fc_activation)
        self.output = initialise_linear(nn.Linear(config.fc_dim, num_pdfs), "linear")
        self.fc_activation = ACTIVATIONS[config.fc_activation]

    def initial_state(self, num_streams: int) -> State:
        return tuple(tensor for layer in self.layers for tensor in layer.initial_state(num_streams))

    def forward(self, x_BTF: Tensor, state: State) -> tuple[Tensor, State]:
        y_TBH, state = run_layers(self.layers, x_BTF.transpose(0, 1), state)  # streams lie time-major underneath
        y = self.fc_activation(linear(y_TBH, self.fc.weight, self.fc.bias))
        return linear(y, self.output.weight, self.output.bias).transpose(0, 1), state
