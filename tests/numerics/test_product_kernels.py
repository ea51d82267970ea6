"""Products on packed weights against float64, and the arithmetic of precision.linear."""

import numpy as np
import pytest
import torch

from asrtool.nnet import precision
from asrtool.nnet.lstm_layer_kernels import clip, sigmoid, tanh
from asrtool.nnet.product_kernels import add_product, pack, pack_pairs, round_pairs

SIZES = [(1, 16, 16), (3, 34, 32), (4, 48, 64), (9, 64, 48), (17, 2, 16)]


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("rows", "depth", "columns"), SIZES)
def test_float32_products(rows, depth, columns, transposed):
    x, start = random(rows, depth), random(rows, columns)
    weight = random(columns, depth).t() if transposed else random(depth, columns)
    panels, out = np.empty(weight.numel(), np.float32), start.clone()
    pack(weight.numpy(), panels)
    add_product(x.numpy(), panels, out.numpy())
    torch.testing.assert_close(out.double(), start.double() + x.double() @ weight.double(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("rows", "depth", "columns"), SIZES)
def test_bf16_products_are_exact_products_of_rounded_numbers(rows, depth, columns, transposed):
    x, start = random(rows, depth), random(rows, columns)
    weight = (random(columns, depth).t() if transposed else random(depth, columns)).to(torch.bfloat16)
    panels, pairs, out = np.empty(weight.numel() // 2, np.int32), np.empty((rows, depth // 2), np.int32), start.clone()
    pack_pairs(weight.view(torch.uint16).numpy(), panels)
    round_pairs(x.numpy().view(np.int32), pairs)
    add_product(pairs, panels, out.numpy())
    expected = start.double() + x.to(torch.bfloat16).double() @ weight.double()
    torch.testing.assert_close(out.double(), expected, rtol=1e-5, atol=1e-5)


def test_rounding_to_bf16_is_torch_s():
    bits = np.random.default_rng(1).integers(-(2**31), 2**31, (64, 128), dtype=np.int32)  # subnormals, infinities and NaN, too
    bits[0, :6] = np.array([0x7F800000, 0x7F7FFFFF, 0x3F808000, 0x3F818000, 1, 0x7FFFFFFF], np.uint32).view(np.int32)
    pairs = np.empty((64, 64), np.int32)
    round_pairs(bits, pairs)
    ours = torch.from_numpy(pairs.view(np.int16)).view(torch.bfloat16).float()
    expected = torch.from_numpy(bits.view(np.float32)).to(torch.bfloat16).float()
    torch.testing.assert_close(ours, expected, rtol=0, atol=0, equal_nan=True)


def test_activations_are_near_torch_s_and_keep_nan():
    x = torch.cat((torch.linspace(-30, 30, 4001), torch.tensor([1e-30, -1e-6, float("inf"), -float("inf")])))
    for ours, expected in ((tanh, torch.tanh), (sigmoid, torch.sigmoid)):
        values = torch.tensor([ours(value) for value in x.numpy()], dtype=torch.float64)
        torch.testing.assert_close(values, expected(x.double()), rtol=0, atol=4e-7)
        assert np.isnan(ours(np.float32("nan")))
    assert np.isnan(clip(np.float32("nan"), np.float32(1)))


def linear_with_gradients(x, weight, bias, bf16):
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        y = precision.linear(x, weight, bias)
    return [y, *torch.autograd.grad((y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum(), (x, weight, bias))]


def test_linear_is_torch_s_without_autocast_and_near_it_in_bf16(monkeypatch):
    tensors = [random(2, 5, 12).requires_grad_(), random(7, 12).requires_grad_(), random(7).requires_grad_()]
    plain = linear_with_gradients(*tensors, bf16=False)
    torch.testing.assert_close(plain[0], torch.nn.functional.linear(*tensors), rtol=0, atol=0)
    emulated = linear_with_gradients(*tensors, bf16=True)
    monkeypatch.setattr(precision, "has_bf16_products", lambda: True)  # torch multiplies bfloat16 everywhere, only slowly
    hardware = linear_with_gradients(*tensors, bf16=True)
    for exact, one, other in zip(plain, emulated, hardware, strict=True):
        assert one.dtype == other.dtype == torch.float32
        assert (one - exact).norm() < 0.01 * exact.norm()
        assert (one - other).norm() < 0.004 * exact.norm()
    assert not torch.equal(plain[0], emulated[0])


def test_float64_stays_float64_under_autocast():
    x, weight = torch.ones(2, 3, dtype=torch.float64), torch.full((4, 3), 1 / 3, dtype=torch.float64)
    with torch.autocast("cpu", torch.bfloat16):
        y = precision.linear(x, weight)
    torch.testing.assert_close(y, torch.ones(2, 4, dtype=torch.float64), rtol=1e-15, atol=0)
