"""The LSTM layer's loops over time for few streams, on packed weights (see product_kernels); the twin of lstm_layer_steps.

All arrays are float32 and contiguous. H and R are multiples of 16. T frames, B streams; gates in the order i, f, o, g. Peepholes
are zeros, clips infinite where the layer has none. `pairs_*` are None for float32 products and room for rounded rows, int32, for
bfloat16 ones: the weights' panels say which (product_kernels.pack or pack_pairs).

Sums are contracted to fused multiply-adds (fastmath "contract"), which round once in place of twice; nothing is reordered.
"""

import numpy as np
from numba import njit, types
from numba.extending import overload

from asrtool.io.kernel_cache import forget_older_than
from asrtool.nnet import product_kernels
from asrtool.nnet.product_kernels import add_product, round_pairs

forget_older_than(__file__, product_kernels)

_f = np.float32
_LIMIT, _HALF, _ONE = _f(7.90531110763549805), _f(0.5), _f(1.0)
_P = tuple(
    _f(v)
    for v in (
        -2.76076847742355e-16,
        2.00018790482477e-13,
        -8.60467152213735e-11,
        5.12229709037114e-08,
        1.48572235717979e-05,
        6.37261928875436e-04,
        4.89352455891786e-03,
    )
)
_Q = tuple(_f(v) for v in (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03))


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def tanh(x):
    """Eigen's rational approximation of tanh, float32, within 4e-7; NaN stays NaN. Loops over it become vector code."""
    x = _LIMIT if x > _LIMIT else x
    x = -_LIMIT if x < -_LIMIT else x
    y = x * x
    p = _P[0]
    p = p * y + _P[1]
    p = p * y + _P[2]
    p = p * y + _P[3]
    p = p * y + _P[4]
    p = p * y + _P[5]
    p = p * y + _P[6]
    q = _Q[0]
    q = q * y + _Q[1]
    q = q * y + _Q[2]
    q = q * y + _Q[3]
    return x * p / q


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def sigmoid(x):
    return _HALF * tanh(_HALF * x) + _HALF


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def clip(x, limit):
    x = limit if x > limit else x
    return -limit if x < -limit else x


def _add(x, w, pairs, out):
    """out += x w, by way of `pairs` where they are not None; `overload` chooses when the kernel is compiled."""


@overload(_add)
def _overloaded_add(x, w, pairs, out):
    if isinstance(pairs, types.NoneType):
        return lambda x, w, pairs, out: add_product(x, w, out)
    return _add_rounded


def _add_rounded(x, w, pairs, out):
    round_pairs(x.view(np.int32), pairs)
    add_product(pairs, w, out)


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _cell(gate, c_before, c, m, tanh_c, p_i, p_f, p_o, cell_clip):
    """One stream and frame: gate [4H] (sums) becomes the gates' values; c, m, tanh_c [H]. One array a loop is written."""
    cells = len(c)
    i, f, o, g = gate[:cells], gate[cells : 2 * cells], gate[2 * cells : 3 * cells], gate[3 * cells :]
    for h in range(cells):
        i[h] = sigmoid(i[h] + p_i[h] * c_before[h])
    for h in range(cells):
        f[h] = sigmoid(f[h] + p_f[h] * c_before[h])
    for h in range(cells):
        g[h] = tanh(g[h])
    for h in range(cells):
        c[h] = clip(f[h] * c_before[h] + i[h] * g[h], cell_clip)
    for h in range(cells):
        o[h] = sigmoid(o[h] + p_o[h] * c[h])
    for h in range(cells):
        tanh_c[h] = tanh(c[h])
    for h in range(cells):
        m[h] = o[h] * tanh_c[h]


@njit(nogil=True, cache=True)
def forward_steps(gates, c, m, r, tanh_c, w_h, w_r, p_i, p_f, p_o, cell_clip, pairs_r, pairs_m):
    """Fills gates, c, m, r and tanh_c.

    Args:
        gates: [T, B, 4H], with the input's part and the bias.
        c, r: [T + 1, B, H] and [T + 1, B, R], with the state before at 0.
        m, tanh_c: [T, B, H].
        w_h, w_r: panels of [R, 4H] and of [H, R]; w_r of length 0: no projection.
        p_i, p_f, p_o: [H].
        pairs_r, pairs_m: [B, R / 2] and [B, H / 2], or None.
    """
    for t in range(len(gates)):
        _add(r[t], w_h, pairs_r, gates[t])
        for b in range(gates.shape[1]):
            _cell(gates[t, b], c[t, b], c[t + 1, b], m[t, b], tanh_c[t, b], p_i, p_f, p_o, cell_clip)
        if len(w_r) == 0:
            r[t + 1] = m[t]
        else:
            r[t + 1] = 0
            _add(m[t], w_r, pairs_m, r[t + 1])


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _cell_backward(gate, c_before, tanh_c, d_m, d_c, d_gate, p_i, p_f, p_o, diff_clip, cell_diff_clip):
    """One stream and frame: d_gate [4H] is filled, d_c [H] goes from the cells after to the cells before."""
    cells = len(d_c)
    i, f, o, g = gate[:cells], gate[cells : 2 * cells], gate[2 * cells : 3 * cells], gate[3 * cells :]
    d_i, d_f, d_o, d_g = d_gate[:cells], d_gate[cells : 2 * cells], d_gate[2 * cells : 3 * cells], d_gate[3 * cells :]
    for h in range(cells):
        d_o[h] = d_m[h] * tanh_c[h] * o[h] * (_ONE - o[h])
    for h in range(cells):
        d_c[h] = clip(d_c[h] + d_m[h] * o[h] * (_ONE - tanh_c[h] * tanh_c[h]) + d_o[h] * p_o[h], cell_diff_clip)
    for h in range(cells):
        d_i[h] = clip(d_c[h] * g[h] * i[h] * (_ONE - i[h]), diff_clip)
    for h in range(cells):
        d_f[h] = clip(d_c[h] * c_before[h] * f[h] * (_ONE - f[h]), diff_clip)
    for h in range(cells):
        d_g[h] = clip(d_c[h] * i[h] * (_ONE - g[h] * g[h]), diff_clip)
    for h in range(cells):
        d_o[h] = clip(d_o[h], diff_clip)
    for h in range(cells):
        d_c[h] = d_c[h] * f[h] + d_i[h] * p_i[h] + d_f[h] * p_f[h]


@njit(nogil=True, cache=True)
def backward_steps(gates, c, tanh_c, d_r, d_m, d_c, d_gates, w_h_t, w_r_t, p_i, p_f, p_o, clips, pairs_gate, pairs_r):
    """Fills d_gates, adds the recurrent derivatives to d_r and takes d_c back to the first state.

    Args:
        gates, c, tanh_c: from `forward_steps`.
        d_r: [T + 1, B, R], the derivatives of the outputs at 1..T, 0 at 0.
        d_m: [B, H], room.
        d_c: [B, H], the derivatives of the last cells.
        d_gates: [T, B, 4H], derivatives before the gates' activations.
        w_h_t, w_r_t: panels of the transposed weights [4H, R] and [R, H]; w_r_t of length 0: no projection.
        p_i, p_f, p_o: [H].
        clips: [2], limits of the gates' and of the cells' derivatives.
        pairs_gate, pairs_r: [B, 2H] and [B, R / 2], or None.
    """
    for t in range(len(gates) - 1, -1, -1):
        if len(w_r_t) == 0:
            d_m[:] = d_r[t + 1]
        else:
            d_m[:] = 0
            _add(d_r[t + 1], w_r_t, pairs_r, d_m)
        for b in range(gates.shape[1]):
            row = gates[t, b]
            _cell_backward(row, c[t, b], tanh_c[t, b], d_m[b], d_c[b], d_gates[t, b], p_i, p_f, p_o, clips[0], clips[1])
        _add(d_gates[t], w_h_t, pairs_gate, d_r[t])
