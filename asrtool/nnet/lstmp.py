"""The LSTMP of Sak et al. 2014 (Sequence Discriminative Distributed Training of LSTM RNNs, section 3): LSTM layers whose
recurrent projection is their output, then the output layer."""

from dataclasses import dataclass

from torch import Tensor, nn

from asrtool.nnet.lstm_layer import LstmLayerConfig, run_layers, stack_layers
from asrtool.nnet.model import AcousticModel, State, initialise_linear
from asrtool.nnet.precision import linear


@dataclass
class LstmpConfig(LstmLayerConfig):
    """Sizes of `Lstmp`; those of its layers as in `LstmLayerConfig`, with Sak's 800 cells and 512 projected units.

    Attributes:
        num_layers: LSTMP layers.
    """

    num_cells: int = 800
    projection_dim: int = 512
    num_layers: int = 2

    def __post_init__(self) -> None:
        if min(self.num_layers, self.projection_dim) < 1:
            raise ValueError("an LSTMP needs num_layers and projection_dim >= 1")
        super().__post_init__()


class Lstmp(AcousticModel):
    """State: (r, c) of layer 0, (r, c) of layer 1, ...; r [B, R], c [B, H]."""

    recurrent = True

    def __init__(self, config: LstmpConfig, input_dim: int, num_pdfs: int) -> None:
        super().__init__(input_dim, num_pdfs)
        self.layers = stack_layers(input_dim, config, config.num_layers)
        self.output = initialise_linear(nn.Linear(config.projection_dim, num_pdfs), "linear")

    def initial_state(self, num_streams: int) -> State:
        return tuple(tensor for layer in self.layers for tensor in layer.initial_state(num_streams))

    def forward(self, x_BTF: Tensor, state: State) -> tuple[Tensor, State]:
        y_TBR, state = run_layers(self.layers, x_BTF.transpose(0, 1), state)  # streams lie time-major underneath
        return linear(y_TBR, self.output.weight, self.output.bias).transpose(0, 1), state
