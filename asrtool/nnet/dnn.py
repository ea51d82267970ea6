"""A feed-forward network on spliced frames (8 hidden layers in 1703.01024, Table 2)."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from asrtool.nnet.model import ACTIVATIONS, AcousticModel, State, initialise_linear
from asrtool.nnet.precision import linear


@dataclass
class DnnConfig:
    """Sizes of `Dnn`.

    Attributes:
        num_layers: hidden layers.
        hidden_dim: units in each.
        activation: of the hidden layers. Deep sigmoid networks start slowly without pre-training; ReLU does not.
    """

    num_layers: int = 8
    hidden_dim: int = 2048
    activation: Literal["relu", "sigmoid", "tanh"] = "relu"

    def __post_init__(self) -> None:
        if self.num_layers < 1 or self.hidden_dim < 1:
            raise ValueError("a DNN needs num_layers >= 1 and hidden_dim >= 1")


class Dnn(AcousticModel):
    """Affine layers with a pointwise activation, then the output layer (logits)."""

    def __init__(self, config: DnnConfig, input_dim: int, num_pdfs: int) -> None:
        super().__init__(input_dim, num_pdfs)
        dims = [input_dim] + [config.hidden_dim] * config.num_layers
        self.hidden = nn.ModuleList(
            initialise_linear(nn.Linear(dim_in, dim_out), config.activation) for dim_in, dim_out in pairwise(dims)
        )
        self.output = initialise_linear(nn.Linear(dims[-1], num_pdfs), "linear")
        self.activation = ACTIVATIONS[config.activation]

    def forward(self, x_BTF: Tensor, state: State) -> tuple[Tensor, State]:
        y = x_BTF.reshape(-1, self.input_dim)
        for layer in self.hidden:
            y = self.activation(linear(y, layer.weight, layer.bias))
        return linear(y, self.output.weight, self.output.bias).view(*x_BTF.shape[:2], self.num_pdfs), state
