"""The LSTM layer's loops over time on packed weights: arrays of torch's tensors for lstm_layer_kernels."""

import math
import threading
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from asrtool.nnet.lstm_layer_kernels import backward_steps, forward_steps
from asrtool.nnet.product_kernels import pack, pack_pairs

_kept = threading.local()


class LstmWeights(NamedTuple):
    """w_x [F, 4H], w_h [R, 4H], bias [4H]; w_r [H, R] or None (then R = H); p_i, p_f, p_o [H] or None; gates i, f, o, g."""

    w_x: Tensor
    w_h: Tensor
    bias: Tensor
    w_r: Tensor | None = None
    p_i: Tensor | None = None
    p_f: Tensor | None = None
    p_o: Tensor | None = None


class Clips(NamedTuple):
    """Limits of cells, of the gates' derivatives and of the cells' derivatives; 0 for none."""

    cell: float = 0.0
    diff: float = 0.0
    cell_diff: float = 0.0


def packed_forward(
    w: LstmWeights, clips: Clips, bf16: bool, gates: Tensor, c: Tensor, m: Tensor, r: Tensor, tanh_c: Tensor
) -> None:
    """As `lstm_layer_steps._forward_steps`; bfloat16 products are not rounded again."""
    arrays = [tensor.numpy() for tensor in (gates, c, m, r, tanh_c)]
    panels = _pack("w_h", w.w_h, bf16), _pack("w_r", w.w_r, bf16)
    forward_steps(*arrays, *panels, *_peepholes(w), np.float32(clips.cell or math.inf), _room(r[0], bf16), _room(m[0], bf16))


def packed_backward(
    w: LstmWeights, clips: Clips, bf16: bool, gates: Tensor, c: Tensor, tanh_c: Tensor, d_r: Tensor, d_c: Tensor, d_gates: Tensor
) -> None:
    """As `lstm_layer_steps._backward_steps`; bfloat16 products are not rounded again."""
    arrays = [tensor.numpy() for tensor in (gates, c, tanh_c, d_r, torch.empty_like(d_c), d_c, d_gates)]
    panels = _pack("w_h", w.w_h.t(), bf16), _pack("w_r", None if w.w_r is None else w.w_r.t(), bf16)
    limits = np.array([clips.diff or math.inf, clips.cell_diff or math.inf], np.float32)
    backward_steps(*arrays, *panels, *_peepholes(w), limits, _room(gates[0], bf16), _room(d_r[0], bf16))


def _pack(name: str, weight: Tensor | None, bf16: bool) -> np.ndarray:
    """Panels of a weight [K, N], valid until the thread's next call with the same name; none where there is no weight."""
    if weight is None:
        return np.empty(0, np.int32 if bf16 else np.float32)
    panels = _kept_room(name, np.int32 if bf16 else np.float32, weight.numel() // (2 if bf16 else 1))
    if bf16:
        pack_pairs(weight.detach().to(torch.bfloat16).view(torch.uint16).numpy(), panels)
    else:
        pack(weight.detach().numpy(), panels)
    return panels


def _kept_room(name: str, dtype: type, size: int) -> np.ndarray:
    """Memory that stays: the system takes as long to give new pages as `pack` to fill them."""
    rooms = _kept.__dict__.setdefault("rooms", {})
    if len(rooms.get((name, dtype), ())) < size:
        rooms[name, dtype] = np.empty(size, dtype)
    return rooms[name, dtype][:size]


def _room(rows: Tensor, bf16: bool) -> np.ndarray | None:
    return np.empty((rows.shape[0], rows.shape[1] // 2), np.int32) if bf16 else None


def _peepholes(w: LstmWeights) -> list[np.ndarray]:
    if w.p_i is None:
        return [np.zeros(w.w_h.shape[1] // 4, np.float32)] * 3
    return [tensor.detach().numpy() for tensor in (w.p_i, w.p_f, w.p_o)]
