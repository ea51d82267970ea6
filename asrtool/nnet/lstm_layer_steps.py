"""The LSTM layer's forward and backward pass over a chunk of time, step by step in torch.

The input's product with its weights is one matrix product for the whole chunk, and so is every weight gradient; only the
recurrent products are left in the loops over time. The gates lie as i, f, o, g so that one sigmoid call covers three of them
in place.
"""

import torch
from torch import Tensor

from asrtool.nnet.lstm_layer_packed import Clips, LstmWeights, packed_backward, packed_forward
from asrtool.nnet.precision import operand, product
from asrtool.nnet.product_kernels import COLUMNS

_mul = torch.mul


def packed_steps_pay(x_TBF: Tensor, w: LstmWeights) -> bool:
    """Whether the loops over time run on packed weights (lstm_layer_kernels).

    A rule from measurements on Zen 3: packing takes as long as some 5 frames gain at any number of streams; from about 48 streams
    on a general matrix product is as fast. The kernels know one thread, float32 on a CPU and sizes in multiples of 16 alone.
    """
    num_frames, num_streams, _ = x_TBF.shape
    if x_TBF.device.type != "cpu" or x_TBF.dtype != torch.float32:
        return False
    sizes_fit = w.w_h.shape[0] % COLUMNS == 0 and w.w_h.shape[1] % (4 * COLUMNS) == 0
    return sizes_fit and num_frames >= 8 and num_streams <= 48 and torch.get_num_threads() <= 2


class LstmSteps(torch.autograd.Function):
    """x_TBF, r0 [B, R], c0 [B, H], clips, bf16, *LstmWeights -> (out_TBR, r_BR, c_BH)."""

    @staticmethod
    def forward(ctx, x, r0, c0, clips, bf16, *tensors):
        w = LstmWeights(*tensors)
        num_frames, num_streams, input_dim = x.shape
        output_dim, cells = w.w_h.shape[0], w.w_h.shape[1] // 4
        gates = product(operand(x.reshape(-1, input_dim), bf16), operand(w.w_x, bf16), bf16).add_(w.bias)
        gates = gates.view(num_frames, num_streams, 4 * cells)
        c = gates.new_empty(num_frames + 1, num_streams, cells)
        r = gates.new_empty(num_frames + 1, num_streams, output_dim)
        m, tanh_c = torch.empty_like(c[1:]), torch.empty_like(c[1:])
        c[0], r[0] = c0, r0
        ctx.packed = packed_steps_pay(x, w)
        run = packed_forward if ctx.packed else _forward_steps
        run(w, clips, bf16, gates, c, m, r, tanh_c)
        ctx.save_for_backward(x, gates, c, m, r, tanh_c, *tensors)
        ctx.clips, ctx.bf16 = clips, bf16
        return r[1:], r[-1].clone(), c[-1].clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, d_out, d_r_last, d_c_last):
        x, gates, c, m, r, tanh_c, *tensors = ctx.saved_tensors
        w, clips, bf16 = LstmWeights(*tensors), ctx.clips, ctx.bf16
        d_r = torch.empty_like(r)
        d_r[0].zero_()
        d_r[1:] = d_out
        d_r[-1] += d_r_last
        d_c, d_gates = d_c_last.clone(), torch.empty_like(gates)
        run = packed_backward if ctx.packed else _backward_steps
        run(w, clips, bf16, gates, c, tanh_c, d_r, d_c, d_gates)
        d_flat = operand(d_gates.view(-1, d_gates.shape[-1]), bf16)
        d_x = product(d_flat, operand(w.w_x, bf16).t(), bf16).view_as(x) if ctx.needs_input_grad[0] else None
        d_weights = _weight_gradients(w, x, c, m, r, d_gates, d_flat, d_r, bf16)
        return d_x, d_r[0], d_c, None, None, *d_weights


def _forward_steps(
    w: LstmWeights, clips: Clips, bf16: bool, gates: Tensor, c: Tensor, m: Tensor, r: Tensor, tanh_c: Tensor
) -> None:
    """gates [T, B, 4H] comes with the input's part and the bias, c [T + 1, B, H] and r [T + 1, B, R] with the state before at 0;
    m and tanh_c are [T, B, H]. All are filled."""
    cells = m.shape[-1]
    w_h, w_r = operand(w.w_h, bf16), None if w.w_r is None else operand(w.w_r, bf16)
    for t, gate in enumerate(gates):
        c_now = c[t + 1]
        _add_product(gate, operand(r[t], bf16), w_h, bf16)
        i, f, o, g = gate.split(cells, 1)
        if w.p_i is None:
            gate[:, : 3 * cells].sigmoid_()
        else:
            i.addcmul_(c[t], w.p_i)
            f.addcmul_(c[t], w.p_f)
            gate[:, : 2 * cells].sigmoid_()
        g.tanh_()
        _mul(f, c[t], out=c_now)
        c_now.addcmul_(i, g)
        if clips.cell > 0:
            c_now.clamp_(-clips.cell, clips.cell)
        if w.p_o is not None:
            o.addcmul_(c_now, w.p_o).sigmoid_()
        torch.tanh(c_now, out=tanh_c[t])
        _mul(o, tanh_c[t], out=m[t])
        r[t + 1] = m[t] if w_r is None else product(operand(m[t], bf16), w_r, bf16)


def _backward_steps(
    w: LstmWeights, clips: Clips, bf16: bool, gates: Tensor, c: Tensor, tanh_c: Tensor, d_r: Tensor, d_c: Tensor, d_gates: Tensor
) -> None:
    """d_r [T + 1, B, R] comes with the derivatives of the outputs and 0 first, d_c [B, H] with those of the last cells; the
    recurrent ones are added, d_c becomes that of the first cells. d_gates [T, B, 4H] is filled."""
    cells = d_c.shape[-1]
    w_h_t = operand(w.w_h, bf16).t().contiguous()  # the product with it is made num_frames times
    w_r_t = None if w.w_r is None else operand(w.w_r, bf16).t().contiguous()
    sigmoid_backward, tanh_backward = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward
    num_sigmoids = (3 if w.p_o is None else 2) * cells
    for t in range(len(gates) - 1, -1, -1):
        gate, d_gate = gates[t], d_gates[t]
        i, f, o, g = gate.split(cells, 1)
        d_i, d_f, d_o, d_g = d_gate.split(cells, 1)
        d_m = d_r[t + 1] if w_r_t is None else product(operand(d_r[t + 1], bf16), w_r_t, bf16)
        _mul(d_m, tanh_c[t], out=d_o)
        d_c.add_(tanh_backward(d_m * o, tanh_c[t]))  # as nnet1, the clipped cell passes its gradient on
        if w.p_o is not None:
            sigmoid_backward.grad_input(d_o, o, grad_input=d_o)
            d_c.addcmul_(d_o, w.p_o)
        if clips.cell_diff > 0:
            d_c.clamp_(-clips.cell_diff, clips.cell_diff)
        _mul(d_c, g, out=d_i)
        _mul(d_c, c[t], out=d_f)
        _mul(d_c, i, out=d_g)
        d_sigmoid = d_gate[:, :num_sigmoids]
        sigmoid_backward.grad_input(d_sigmoid, gate[:, :num_sigmoids], grad_input=d_sigmoid)
        tanh_backward.grad_input(d_g, g, grad_input=d_g)
        if clips.diff > 0:
            d_gate.clamp_(-clips.diff, clips.diff)
        d_c.mul_(f)
        if w.p_i is not None:
            d_c.addcmul_(d_i, w.p_i).addcmul_(d_f, w.p_f)
        _add_product(d_r[t], operand(d_gate, bf16), w_h_t, bf16)


def _add_product(sum_: Tensor, a: Tensor, b: Tensor, bf16: bool) -> None:
    if bf16:
        sum_.add_(torch.mm(a, b) if a.is_cuda else product(a, b, bf16))  # on a GPU one launch less
    else:
        sum_.addmm_(a, b)


def _weight_gradients(w, x, c, m, r, d_gates, d_flat, d_r, bf16) -> tuple[Tensor | None, ...]:
    """Gradients in the order of LstmWeights; d_flat is d_gates as an operand of `product`, [T * B, 4H]."""

    def transposed_product(a_TBN: Tensor, b_NM: Tensor) -> Tensor:
        return product(operand(a_TBN.reshape(-1, a_TBN.shape[-1]), bf16).t(), b_NM, bf16)

    d_w_r, d_peepholes = None, (None, None, None)
    if w.w_r is not None:
        d_w_r = transposed_product(m, operand(d_r[1:].reshape(-1, d_r.shape[-1]), bf16))
    if w.p_i is not None:
        d_i, d_f, d_o, _ = d_gates.chunk(4, -1)
        d_peepholes = tuple((d * cell).sum((0, 1)) for d, cell in ((d_i, c[:-1]), (d_f, c[:-1]), (d_o, c[1:])))
    d_bias = d_gates.sum((0, 1))
    return transposed_product(x, d_flat), transposed_product(r[:-1], d_flat), d_bias, d_w_r, *d_peepholes
