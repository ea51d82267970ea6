"""One LSTM layer over a chunk of time, with a backward pass written out.

The input's product with its weights is one matrix product for the whole chunk, and so is every weight gradient; only
the recurrent product is left in the loop over time. The gates lie as i, f, o, g so that one sigmoid call covers three of
them in place. Measured on one core (2 layers x 256 cells, 64 streams x 20 frames, forward and backward): 10,200 frames/s
against nn.LSTM's 9,500; 2 x 320 cells: 7,600 against 6,800.
"""

import torch
from torch import Tensor

_mul = torch.mul


class _LstmChunk(torch.autograd.Function):
    """x_TBF, w_x [F, 4H], w_h [H, 4H], bias [4H], h0 and c0 [B, H], cell_clip -> (out_TBH, h_BH, c_BH)."""

    @staticmethod
    def forward(ctx, x, w_x, w_h, bias, h0, c0, cell_clip):
        num_frames, num_streams, input_dim = x.shape
        cells = w_h.shape[0]
        gates = torch.addmm(bias, x.reshape(-1, input_dim), w_x).view(num_frames, num_streams, 4 * cells)
        c = gates.new_empty(num_frames + 1, num_streams, cells)
        h = torch.empty_like(c)
        tanh_c = gates.new_empty(num_frames, num_streams, cells)
        c[0], h[0] = c0, h0
        rows = zip(gates.unbind(0), c[:-1].unbind(0), c[1:].unbind(0), h[:-1].unbind(0), h[1:].unbind(0), tanh_c.unbind(0))
        for gate, c_before, c_now, h_before, h_now, tanh_now in rows:
            gate.addmm_(h_before, w_h)
            gate[:, : 3 * cells].sigmoid_()
            gate[:, 3 * cells :].tanh_()
            i, f, o, g = gate.split(cells, 1)
            _mul(f, c_before, out=c_now)
            c_now.addcmul_(i, g)
            if cell_clip > 0:
                c_now.clamp_(-cell_clip, cell_clip)
            torch.tanh(c_now, out=tanh_now)
            _mul(o, tanh_now, out=h_now)
        ctx.save_for_backward(x, w_x, w_h, gates, c, h, tanh_c)
        return h[1:], h[-1].clone(), c[-1].clone()

    @staticmethod
    def backward(ctx, d_out, d_h_last, d_c_last):
        x, w_x, w_h, gates, c, h, tanh_c = ctx.saved_tensors
        num_frames, _, cells = tanh_c.shape
        d_gates = torch.empty_like(gates)
        w_h_transposed = w_h.t().contiguous()  # the product with it is made num_frames times
        d_h, d_c = d_h_last.clone(), d_c_last.clone()
        sigmoid_backward, tanh_backward = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward
        for t in range(num_frames - 1, -1, -1):
            gate, d_gate = gates[t], d_gates[t]
            i, f, o, g = gate.split(cells, 1)
            d_i, d_f, d_o, d_g = d_gate.split(cells, 1)
            d_h.add_(d_out[t])
            _mul(d_h, tanh_c[t], out=d_o)
            d_c.add_(tanh_backward(d_h * o, tanh_c[t]))  # as nnet1, the clipped cell passes its gradient on
            _mul(d_c, g, out=d_i)
            _mul(d_c, c[t], out=d_f)
            _mul(d_c, i, out=d_g)
            d_sigmoid = d_gate[:, : 3 * cells]
            sigmoid_backward.grad_input(d_sigmoid, gate[:, : 3 * cells], grad_input=d_sigmoid)
            tanh_backward.grad_input(d_g, g, grad_input=d_g)
            d_c.mul_(f)
            torch.mm(d_gate, w_h_transposed, out=d_h)
        d_flat = d_gates.view(-1, 4 * cells)
        d_x = torch.mm(d_flat, w_x.t()).view_as(x) if ctx.needs_input_grad[0] else None
        d_w_x = torch.mm(x.reshape(-1, x.shape[-1]).t(), d_flat)
        d_w_h = torch.mm(h[:-1].reshape(-1, cells).t(), d_flat)
        return d_x, d_w_x, d_w_h, d_flat.sum(0), d_h, d_c, None


def lstm_chunk(
    x_TBF: Tensor, w_x: Tensor, w_h: Tensor, bias: Tensor, h_BH: Tensor, c_BH: Tensor, cell_clip: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Runs a layer over a chunk; returns (out_TBH, h_BH, c_BH after the last frame).

    Weights have the gates in the order i, f, o, g. On a GPU cuDNN does the work, which has no cell clipping.
    """
    if x_TBF.is_cuda:
        return _cudnn_chunk(x_TBF, w_x, w_h, bias, h_BH, c_BH)
    with torch.autocast("cpu", enabled=False):
        return _LstmChunk.apply(x_TBF.to(w_x.dtype), w_x, w_h, bias, h_BH, c_BH, cell_clip)


def _cudnn_chunk(x_TBF, w_x, w_h, bias, h_BH, c_BH):
    def reordered(weight: Tensor) -> Tensor:  # i f o g -> i f g o, cuDNN's order
        i, f, o, g = weight.chunk(4, -1)
        return torch.cat((i, f, g, o), -1)

    w_ih, w_hh, b_ih = reordered(w_x).t().contiguous(), reordered(w_h).t().contiguous(), reordered(bias)
    weights = [w_ih, w_hh, b_ih, torch.zeros_like(b_ih)]
    state = (h_BH.unsqueeze(0), c_BH.unsqueeze(0))
    if torch.is_autocast_enabled("cuda"):
        dtype = torch.get_autocast_dtype("cuda")
        weights, state, x_TBF = [w.to(dtype) for w in weights], tuple(s.to(dtype) for s in state), x_TBF.to(dtype)
    out, h, c = torch.lstm(x_TBF, state, weights, True, 1, 0.0, torch.is_grad_enabled(), False, False)
    return out, h[0], c[0]
