"""A time-delay network, Kaldi's nnet3 baseline: affine layers over a few frames of the layer below, ReLU, renormalisation.

Peddinti, Povey, Khudanpur, "A time delay neural network architecture for efficient modeling of long temporal contexts",
Interspeech 2015. The layers look to both sides: `[-7, 2]` sees frames t - 7 and t + 2. To run on streams as the other
models do, a layer here is moved back so that its largest offset is 0 and it keeps the past inputs that it needs as its
state; the outputs then come `right_context` windows late, which is what `input.label_delay` takes back.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from asrtool.nnet.model import AcousticModel, State, initialise_linear
from asrtool.nnet.precision import linear

SMALLEST_MEAN_SQUARE = 2.0**-66  # Kaldi's NormalizeComponent: a frame of zeros stays zeros


@dataclass
class TdnnConfig:
    """Sizes of `Tdnn`.

    Attributes:
        offsets: of each hidden layer, the frames of the layer below that it sees; the first layer's are in input windows.
            The default is that of Kaldi's nnet3 recipes.
        hidden_dim: units of each hidden layer.
    """

    offsets: list[list[int]] = field(default_factory=lambda: [[-2, -1, 0, 1, 2], [-1, 2], [-3, 3], [-7, 2], [-3, 3], [0]])
    hidden_dim: int = 1024

    def __post_init__(self) -> None:
        if self.hidden_dim < 1 or not self.offsets:
            raise ValueError("a TDNN needs hidden_dim >= 1 and offsets of at least one layer")
        for layer, offsets in enumerate(self.offsets, 1):
            if not offsets or sorted(set(offsets)) != offsets or not offsets[0] <= 0 <= offsets[-1]:
                raise ValueError(f"offsets of TDNN layer {layer}: {offsets}: expected ascending numbers around 0, as [-7, 2]")


class Tdnn(AcousticModel):
    """State: the past inputs of each layer that looks back, [B, frames, dimension of its input], oldest first."""

    recurrent = True

    def __init__(self, config: TdnnConfig, input_dim: int, num_pdfs: int) -> None:
        super().__init__(input_dim, num_pdfs)
        self.offsets = [[offset - offsets[-1] for offset in offsets] for offsets in config.offsets]
        self.right_context = sum(offsets[-1] for offsets in config.offsets)
        dims = [input_dim] + [config.hidden_dim] * (len(self.offsets) - 1)
        self.hidden = nn.ModuleList(
            initialise_linear(nn.Linear(dim * len(offsets), config.hidden_dim), "relu")
            for dim, offsets in zip(dims, self.offsets, strict=True)
        )
        self.output = initialise_linear(nn.Linear(config.hidden_dim, num_pdfs), "linear")
        self.past = [(-offsets[0], dim) for dim, offsets in zip(dims, self.offsets, strict=True)]

    def initial_state(self, num_streams: int) -> State:
        return tuple(self.output.weight.new_zeros(num_streams, frames, dim) for frames, dim in self.past if frames > 0)

    def forward(self, x_BTF: Tensor, state: State) -> tuple[Tensor, State]:
        y = x_BTF.transpose(0, 1)  # time first: a frame of all streams is one block, which makes splicing cheap
        num_frames = len(y)
        past, after = iter(state), []
        for layer, offsets in zip(self.hidden, self.offsets, strict=True):
            if offsets[0] < 0:
                y = torch.cat((next(past).transpose(0, 1).to(y.dtype), y))
                after.append(y[num_frames:].transpose(0, 1).to(layer.weight.dtype))
            begins = [offset - offsets[0] for offset in offsets]
            spliced = torch.cat([y[begin : begin + num_frames] for begin in begins], -1) if len(begins) > 1 else y
            y = renormalise(torch.relu_(linear(spliced, layer.weight, layer.bias)))
        return linear(y, self.output.weight, self.output.bias).transpose(0, 1), tuple(after)


def renormalise(x: Tensor) -> Tensor:
    """Scales the last dimension to a root mean square of 1 (Kaldi's NormalizeComponent with target-rms 1)."""
    return x * x.square().mean(-1, keepdim=True).clamp_min(SMALLEST_MEAN_SQUARE).rsqrt()
