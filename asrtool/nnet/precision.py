"""The arithmetic of matrix products: float32, or bfloat16 operands with float32 accumulation, in one place for all models.

`torch.autocast(device, torch.bfloat16)` asks for bfloat16. State, activation functions, master weights and the sums of
gradients stay in float32 either way. On a CPU torch's own autocast is of use only where the processor multiplies bfloat16
(AVX-512 BF16, AMX): elsewhere it is several times slower than float32. There the operands and results are rounded to bfloat16
and the products made in float32, so that a model trains with the same numerics everywhere.
"""

import functools
import sys

import torch
from torch import Tensor
from torch.nn import functional


@functools.cache
def has_bf16_products() -> bool:
    """Whether this processor multiplies bfloat16 in hardware; says so on standard error, once, where it does not."""
    if torch.cpu.get_capabilities().get("avx512_bf16"):
        return True
    print("bf16: this processor has no bfloat16 products; float32 ones on rounded numbers take their place", file=sys.stderr)
    return False


def bf16_asked(tensor: Tensor) -> bool:
    """Whether autocast asks for bfloat16 products where `tensor` (float32 or lower) lives."""
    device = tensor.device.type
    if tensor.dtype == torch.float64 or not torch.is_autocast_enabled(device):
        return False
    return torch.get_autocast_dtype(device) == torch.bfloat16


def operand(tensor: Tensor, bf16: bool) -> Tensor:
    """`tensor` as `product` takes it: itself, or rounded to bfloat16 (held in float32 where the processor has no other)."""
    if not bf16:
        return tensor
    rounded = tensor.to(torch.bfloat16)
    return rounded if tensor.is_cuda or has_bf16_products() else rounded.float()


def product(a: Tensor, b: Tensor, bf16: bool) -> Tensor:
    """a [N, K] times b [K, M], both from `operand`; accumulated in float32, with `bf16` the result rounded; in float32."""
    if not bf16:
        return torch.mm(a, b)
    result = torch.mm(a, b)
    return result.float() if result.dtype == torch.bfloat16 else result.to(torch.bfloat16).float()


class _LinearBf16(torch.autograd.Function):
    """x [N, F], weight [P, F], bias [P] or None -> [N, P], all float32."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        x_rounded, weight_rounded = operand(x, True), operand(weight, True)
        ctx.save_for_backward(x_rounded, weight_rounded)
        y = product(x_rounded, weight_rounded.t(), True)
        return y if bias is None else y.add_(bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, d_y):
        x, weight = ctx.saved_tensors
        d_y_rounded = operand(d_y, True)
        d_x = product(d_y_rounded, weight, True) if ctx.needs_input_grad[0] else None
        d_weight = product(d_y_rounded.t(), x, True) if ctx.needs_input_grad[1] else None
        return d_x, d_weight, d_y.sum(0) if ctx.needs_input_grad[2] else None


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x [..., F] times weight [P, F] transposed, plus bias [P]: torch's `linear`, in the arithmetic that autocast asks for.

    On a CPU the result is float32; on a GPU autocast makes it bfloat16.
    """
    if x.is_cuda or not bf16_asked(x):
        return functional.linear(x, weight, bias)
    with torch.autocast("cpu", enabled=False):
        y = _LinearBf16.apply(x.reshape(-1, x.shape[-1]).float(), weight, bias)
    return y.view(*x.shape[:-1], len(weight))
