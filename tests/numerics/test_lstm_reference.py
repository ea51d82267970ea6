"""The LSTM layer against a loop written out in float64, nn.LSTM and finite differences; its fast paths against its plain one."""

import pytest
import torch
from torch import Tensor

from asrtool.nnet.lstm import Lstm, LstmConfig
from asrtool.nnet.lstm_layer import LstmLayer, LstmLayerConfig, cudnn_chunk
from asrtool.nnet.lstm_layer_packed import LstmWeights
from asrtool.nnet.lstm_layer_steps import packed_steps_pay
from asrtool.nnet.lstmp import Lstmp, LstmpConfig

FRAMES, STREAMS, DIM = 6, 3, 5
KINDS = {
    "plain": {},
    "projected": {"projection_dim": 4},
    "peepholes": {"projection_dim": 4, "peepholes": True},
    "peepholes, no projection": {"peepholes": True},
    "cell clip": {"projection_dim": 4, "cell_clip": 0.4},
    "diff clip": {"projection_dim": 4, "diff_clip": 0.05},
    "cell diff clip": {"projection_dim": 4, "cell_diff_clip": 0.3},
    "everything": {"projection_dim": 4, "peepholes": True, "cell_clip": 0.5, "diff_clip": 0.05, "cell_diff_clip": 0.3},
}
LARGE = {"num_cells": 48, "projection_dim": 32}  # sizes that the packed steps take


def clamp_gradient(tensor: Tensor, limit: float) -> Tensor:
    tensor = tensor * 1.0
    if limit:
        tensor.register_hook(lambda gradient: gradient.clamp(-limit, limit))
    return tensor


def written_out(layer: LstmLayer, x_TBF: Tensor, r: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The LSTMP of Sak et al. 2014; clipping as Kaldi's nnet1 does it (nnet-lstm-projected.h)."""
    config, outputs = layer.config, []
    for x in x_TBF:
        i, f, o, g = (x @ layer.w_x + r @ layer.w_h + layer.bias).chunk(4, 1)
        if config.peepholes:
            i, f = i + c * layer.p_i, f + c * layer.p_f
        i, f, g = (clamp_gradient(gate, config.diff_clip) for gate in (i, f, g))
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        if config.cell_clip:
            c = c + (c.clamp(-config.cell_clip, config.cell_clip) - c).detach()  # the gradient passes
        c = clamp_gradient(c, config.cell_diff_clip)
        if config.peepholes:  # the way from o to the cell is not clipped, that to the weight is
            o = clamp_gradient(o + c.detach() * layer.p_o, config.diff_clip) + (c - c.detach()) * layer.p_o.detach()
        else:
            o = clamp_gradient(o, config.diff_clip)
        m = torch.sigmoid(o) * torch.tanh(c)
        r = m if layer.w_r is None else m @ layer.w_r
        outputs.append(r)
    return torch.stack(outputs), r, c


def make_layer(dtype=torch.float64, std=0.8, **settings) -> LstmLayer:
    torch.manual_seed(1)
    layer = LstmLayer(DIM, LstmLayerConfig(**{"num_cells": 7, "cell_clip": 0.0, **settings}))
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=std)
    return layer.to(dtype)


def make_inputs(layer: LstmLayer, frames=FRAMES, streams=STREAMS) -> list[Tensor]:
    generator = torch.Generator().manual_seed(2)
    shapes = [(frames, streams, layer.w_x.shape[0]), *(tensor.shape for tensor in layer.initial_state(streams))]
    return [
        torch.randn(shape, dtype=torch.float64, generator=generator).to(layer.bias.dtype).requires_grad_() for shape in shapes
    ]


def values_and_gradients(run, layer: LstmLayer, inputs: list[Tensor]) -> list[Tensor]:
    outputs = run(*inputs)
    loss = sum((y * torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view_as(y)).sum() for y in outputs)
    return [*outputs, *torch.autograd.grad(loss, [*inputs, *layer.parameters()])]


def torch_layout(index: int, layer: LstmLayer, pick=lambda tensor: tensor) -> dict[str, Tensor]:
    """Parameters (or their gradients, by `pick`) as nn.LSTM names and orders them: gates i, f, g, o."""
    named = {"weight_ih": pick(layer.w_x).t(), "weight_hh": pick(layer.w_h).t(), "bias_ih": pick(layer.bias)}
    ordered = {name: torch.cat([tensor.chunk(4)[gate] for gate in (0, 1, 3, 2)]) for name, tensor in named.items()}
    if layer.w_r is not None:
        ordered["weight_hr"] = pick(layer.w_r).t()
    return {f"{name}_l{index}": tensor for name, tensor in ordered.items()}


@pytest.mark.parametrize("settings", KINDS.values(), ids=KINDS)
def test_values_and_gradients_equal_the_written_out_loop(settings):
    layer = make_layer(**settings)
    inputs = make_inputs(layer)
    expected = values_and_gradients(lambda *arguments: written_out(layer, *arguments), layer, inputs)
    for one, other in zip(values_and_gradients(layer, layer, inputs), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("settings", [KINDS["plain"], KINDS["peepholes"]], ids=["plain", "peepholes"])
def test_gradients_by_finite_differences(settings):
    layer = make_layer(**settings)
    names = [name for name, _ in layer.named_parameters()]

    def run(*tensors):
        return torch.func.functional_call(layer, dict(zip(names, tensors[3:])), tensors[:3])

    weights = [parameter.detach().clone().requires_grad_() for parameter in layer.parameters()]
    assert torch.autograd.gradcheck(run, (*make_inputs(layer, 3, 2), *weights), fast_mode=True)


@pytest.mark.parametrize("projection_dim", [0, 4])
def test_models_equal_nn_lstm_with_the_same_weights(projection_dim):
    torch.manual_seed(3)
    if projection_dim:
        model = Lstmp(LstmpConfig(num_cells=7, projection_dim=4, cell_clip=0.0), DIM, 6).double()
    else:
        model = Lstm(LstmConfig(num_cells=7, fc_dim=3, fc_activation="linear", cell_clip=0.0), DIM, 6).double()
    reference = torch.nn.LSTM(DIM, 7, 2, proj_size=projection_dim, batch_first=True).double()
    for index, layer in enumerate(model.layers):
        for name, tensor in torch_layout(index, layer).items():
            getattr(reference, name).data.copy_(tensor)
        getattr(reference, f"bias_hh_l{index}").data.zero_()
    x = torch.randn(STREAMS, FRAMES, DIM, dtype=torch.float64)
    (logits, state), (y, (r, c)) = model(x, model.initial_state(STREAMS)), reference(x)
    expected = model.output(y if projection_dim else model.fc(y))
    for one, other in zip((logits, *state), (expected, r[0], c[0], r[1], c[1]), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    weight = torch.randn_like(logits)
    for outcome in (logits, expected):
        (outcome * weight).sum().backward()
    for index, layer in enumerate(model.layers):
        for name, gradient in torch_layout(index, layer, lambda tensor: tensor.grad).items():
            torch.testing.assert_close(gradient, getattr(reference, name).grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("settings", [KINDS["plain"], KINDS["projected"]], ids=["plain", "projected"])
def test_cudnn_s_way_is_the_same_layer(settings):
    layer = make_layer(**settings)
    inputs = make_inputs(layer)
    weights = LstmWeights(layer.w_x, layer.w_h, layer.bias, layer.w_r)
    for ours, expected in zip(cudnn_chunk(*inputs, weights), layer(*inputs)):  # torch.lstm computes on a CPU as well
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("streams", [1, 4, 9])
@pytest.mark.parametrize("kind", ["plain", "projected", "everything"])
def test_packed_steps_equal_the_plain_ones_in_float64(kind, streams):
    sizes = {"num_cells": 48, "projection_dim": 32 if "projection_dim" in KINDS[kind] else 0}
    layer = make_layer(torch.float32, 0.2, **{**KINDS[kind], **sizes})
    inputs = make_inputs(layer, 12, streams)
    assert packed_steps_pay(inputs[0], LstmWeights(layer.w_x, layer.w_h, layer.bias))
    double = make_layer(torch.float64, **{**KINDS[kind], **sizes})
    double.load_state_dict(layer.state_dict())
    expected = values_and_gradients(double, double, [tensor.detach().double().requires_grad_() for tensor in inputs])
    for one, other in zip(values_and_gradients(layer, layer, inputs), expected, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=0, atol=3e-6 * other.abs().max().item())


def test_plain_steps_in_float32_equal_those_in_float64():
    layer = make_layer(torch.float32, 0.2, **{**KINDS["everything"], **LARGE})
    inputs = make_inputs(layer, 7, 4)  # too few frames for packing
    assert not packed_steps_pay(inputs[0], LstmWeights(layer.w_x, layer.w_h, layer.bias))
    double = make_layer(torch.float64, **{**KINDS["everything"], **LARGE})
    double.load_state_dict(layer.state_dict())
    expected = values_and_gradients(double, double, [tensor.detach().double().requires_grad_() for tensor in inputs])
    for one, other in zip(values_and_gradients(layer, layer, inputs), expected, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=0, atol=3e-6 * other.abs().max().item())


@pytest.mark.parametrize("frames", [7, 24], ids=["plain", "packed"])
def test_bf16_products_stay_near_float32(frames):
    """bfloat16 keeps 8 bits: half a unit in the last is 0.2 %; over sums of 32 to 48 products and these steps, within 2 %."""
    layer = make_layer(torch.float32, 0.2, **{**KINDS["peepholes"], **LARGE})
    inputs = make_inputs(layer, frames, 4)
    expected = values_and_gradients(layer, layer, inputs)
    with torch.autocast("cpu", torch.bfloat16):
        ours = values_and_gradients(layer, layer, inputs)
    for one, other in zip(ours, expected, strict=True):
        assert one.dtype == torch.float32
        error = (one - other).norm() / other.norm()
        assert 0 < error < 0.02


@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bf16"])
def test_packed_chunks_equal_the_whole(bf16):
    layer = make_layer(torch.float32, 0.2, **{**KINDS["everything"], **LARGE})
    x, r, c = make_inputs(layer, 30, 4)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        whole, last_r, last_c = layer(x, r, c)
        pieces = []
        for chunk in x.split([10, 12, 8]):
            piece, r, c = layer(chunk, r, c)
            pieces.append(piece)
    for one, other in zip((torch.cat(pieces), r, c), (whole, last_r, last_c)):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize("bf16", [False, True], ids=["float32", "bf16"])
def test_other_streams_change_a_stream_by_rounding_alone(bf16):
    layer = make_layer(torch.float32, 0.2, **{**KINDS["everything"], **LARGE})
    x, r, c = make_inputs(layer, 16, 50)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        many = layer(x, r, c)[0]  # by the plain steps
        for streams in (1, 4, 9, 48):
            few = layer(x[:, :streams], r[:streams], c[:streams])[0]  # by the packed ones
            atol = 5e-3 if bf16 else 2e-6  # the plain steps round products to bfloat16, the packed ones do not
            torch.testing.assert_close(few, many[:, :streams], rtol=0, atol=atol)


def test_not_a_number_is_not_hidden():
    layer = make_layer(torch.float32, 0.2, **LARGE)
    x, r, c = make_inputs(layer, 12, 4)
    x = x.detach()
    x[3, 1, 0] = float("nan")
    for bf16 in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            out = layer(x, r, c)[0]
        assert out[3:, 1].isnan().all() and not out[:3].isnan().any() and not out[:, 2:].isnan().any()
