"""One LSTM layer with the options of Kaldi's nnet1: projection, peepholes, clipping of cells and of derivatives."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from asrtool.nnet.lstm_layer_packed import Clips, LstmWeights
from asrtool.nnet.lstm_layer_steps import LstmSteps
from asrtool.nnet.precision import bf16_asked


@dataclass
class LstmLayerConfig:
    """Settings of `LstmLayer`.

    Attributes:
        num_cells: H.
        projection_dim: R, linear units after the cells whose values are the layer's output and recur (Sak et al. 2014);
            0: none, the cells' outputs do.
        peepholes: diagonal weights from the cells to the gates; i and f see c_{t-1}, o sees c_t.
        forget_bias: initial bias of the forget gates; 1 lets the cells remember from the start.
        cell_clip: cells are kept within +-this (Kaldi's nnet1: 50), 0 for no clipping; gradients pass.
        diff_clip: so are, at each step, the derivatives of the loss by the gates before their activation (nnet1's <DiffClip>).
        cell_diff_clip: so are the derivatives by the cells (nnet1's <CellDiffClip>).
    """

    num_cells: int
    projection_dim: int = 0
    peepholes: bool = False
    forget_bias: float = 1.0
    cell_clip: float = 50.0
    diff_clip: float = 0.0
    cell_diff_clip: float = 0.0

    def __post_init__(self) -> None:
        if self.num_cells < 1 or self.projection_dim < 0:
            raise ValueError("an LSTM layer needs num_cells >= 1 and projection_dim >= 0")
        if min(self.cell_clip, self.diff_clip, self.cell_diff_clip) < 0:
            raise ValueError("cell_clip, diff_clip and cell_diff_clip must be >= 0 (0: no clipping)")


class LstmLayer(nn.Module):
    """c_t = f_t c_{t-1} + i_t g_t, m_t = o_t tanh(c_t), r_t = m_t W_r (Sak et al. 2014; without projection r_t = m_t).

    Parameters: w_x [F, 4H], w_h [R, 4H], bias [4H], gates in the order i, f, o, g; with projection w_r [H, R]; with
    peepholes p_i, p_f, p_o [H].

    Attributes:
        config: its settings.
        output_dim: R.
    """

    def __init__(self, input_dim: int, config: LstmLayerConfig) -> None:
        super().__init__()
        self.config = config
        cells = config.num_cells
        self.output_dim = config.projection_dim or cells
        self.w_x = nn.Parameter(torch.empty(input_dim, 4 * cells).uniform_(-1, 1).mul_((3 / (input_dim + cells)) ** 0.5))
        blocks = [nn.init.orthogonal_(torch.empty(self.output_dim, cells)) for _ in range(4)]
        self.w_h = nn.Parameter(torch.cat(blocks, 1).mul_(0.5))
        bias = torch.zeros(4 * cells)
        bias[cells : 2 * cells] = config.forget_bias
        self.bias = nn.Parameter(bias)
        self.w_r = nn.Parameter(nn.init.xavier_uniform_(torch.empty(cells, self.output_dim))) if config.projection_dim else None
        for name in ("p_i", "p_f", "p_o"):
            setattr(self, name, nn.Parameter(torch.zeros(cells)) if config.peepholes else None)

    def initial_state(self, num_streams: int) -> tuple[Tensor, Tensor]:
        """(r_BR, c_BH) before an utterance: zeros."""
        return self.bias.new_zeros(num_streams, self.output_dim), self.bias.new_zeros(num_streams, self.config.num_cells)

    def forward(self, x_TBF: Tensor, r_BR: Tensor, c_BH: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns (out_TBR, r_BR, c_BH after the last frame)."""
        config = self.config
        weights = LstmWeights(self.w_x, self.w_h, self.bias, self.w_r, self.p_i, self.p_f, self.p_o)
        if x_TBF.is_cuda and not (config.peepholes or config.cell_clip or config.diff_clip or config.cell_diff_clip):
            return cudnn_chunk(x_TBF, r_BR, c_BH, weights)
        bf16 = bf16_asked(self.bias)
        clips = Clips(config.cell_clip, config.diff_clip, config.cell_diff_clip)
        with torch.autocast(x_TBF.device.type, enabled=False):
            return LstmSteps.apply(x_TBF.to(self.bias.dtype), r_BR, c_BH, clips, bf16, *weights)


def cudnn_chunk(x_TBF: Tensor, r_BR: Tensor, c_BH: Tensor, weights: LstmWeights) -> tuple[Tensor, Tensor, Tensor]:
    """The layer without peepholes and clipping through torch.lstm: cuDNN on a GPU, the same values elsewhere."""

    def reordered(weight: Tensor) -> Tensor:  # i f o g -> i f g o, cuDNN's order
        i, f, o, g = weight.chunk(4, -1)
        return torch.cat((i, f, g, o), -1)

    w_ih, w_hh, b_ih = (reordered(weight).t().contiguous() for weight in weights[:3])
    flat = [w_ih, w_hh, b_ih, torch.zeros_like(b_ih)] + ([] if weights.w_r is None else [weights.w_r.t().contiguous()])
    state = (r_BR.unsqueeze(0), c_BH.unsqueeze(0))
    if bf16_asked(weights.bias):
        flat = [weight.to(torch.bfloat16) for weight in flat]
        state, x_TBF = tuple(tensor.to(torch.bfloat16) for tensor in state), x_TBF.to(torch.bfloat16)
    with torch.autocast(x_TBF.device.type, enabled=False), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous chunk")  # they are made here
        out, r, c = torch.lstm(x_TBF, state, flat, True, 1, 0.0, torch.is_grad_enabled(), False, False)
    return out, r[0].to(r_BR.dtype), c[0].to(c_BH.dtype)


def stack_layers(input_dim: int, config: LstmLayerConfig, num_layers: int) -> nn.ModuleList:
    """Layers of the same settings, each on the output of the one before."""
    first = LstmLayer(input_dim, config)
    return nn.ModuleList([first, *(LstmLayer(first.output_dim, config) for _ in range(num_layers - 1))])


def run_layers(layers: Iterable[LstmLayer], x_TBF: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Runs layers one on another; state is (r, c) of the first, (r, c) of the second, ...; returns (out_TBR, state)."""
    after: list[Tensor] = []
    for layer, r, c in zip(layers, state[::2], state[1::2], strict=True):
        x_TBF, r, c = layer(x_TBF, r, c)
        after += [r, c]
    return x_TBF, tuple(after)
