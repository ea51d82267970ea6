"""The sums of lattice_free_denominator.py in float32 on the CPU: numba kernels, eight utterances side by side."""

import threading

import numpy as np
import torch
from torch import Tensor

from asrtool.criterion.lattice_free_kernels import backward_frames, forward_frames
from asrtool.criterion.lattice_free_vectors import LANES
from asrtool.graph.denominator import DenominatorGraph


class KernelSums:
    """As TorchSums, for LANES utterances; those that there are not have length 0.

    Each thread keeps its memory for z from call to call: getting it anew takes the system as long as filling it.
    """

    lanes = LANES
    dtype = torch.float32

    def __init__(self, graph: DenominatorGraph, row_pdf: np.ndarray, leak: float) -> None:
        self.initial = graph.initial
        self.leak = (leak * graph.initial).astype(np.float32)
        self.num_rows = len(row_pdf)
        self._kept = threading.local()
        self._graph = (
            graph.row_begin,
            graph.row_state,
            row_pdf,
            graph.arc_state,
            graph.arc_prob,
            self.leak,
            np.ascontiguousarray(graph.final),
        )

    def begin(self, num_lanes: int) -> Tensor:
        """a'(0), [S, LANES]."""
        return torch.from_numpy(np.repeat((self.initial + self.leak)[:, None], num_lanes, 1))

    def forward(
        self, x_nUL: Tensor, alpha_SL: Tensor, first: int, lengths: list[int], end_total_L: Tensor, keep: bool
    ) -> tuple[Tensor | None, Tensor]:
        num_frames = len(x_nUL)
        size = (num_frames if keep else 1) * self.num_rows * LANES
        if not hasattr(self._kept, "z") or len(self._kept.z) < size:
            self._kept.z = torch.empty(size)
        z_nRL = self._kept.z[:size].view(-1, self.num_rows, LANES)
        total_nL = torch.empty(num_frames, LANES, dtype=torch.float64)
        forward_frames(
            *self._graph, _rows(x_nUL), alpha_SL.numpy(), _rows(z_nRL), keep, total_nL.numpy(),
            first, np.array(lengths, np.int64), end_total_L.numpy(),
        )  # fmt: skip
        return (z_nRL if keep else None), total_nL

    def backward(
        self, x_nUL: Tensor, z_nRL: Tensor, total_nL: Tensor, beta_SL: Tensor, first: int, lengths: list[int], end_total_L: Tensor
    ) -> Tensor:
        gamma_nUL = torch.zeros_like(x_nUL)
        backward_frames(
            *self._graph, _rows(x_nUL), _rows(z_nRL), total_nL.numpy(), beta_SL.numpy(), _rows(gamma_nUL),
            first, np.array(lengths, np.int64), end_total_L.numpy(),
        )  # fmt: skip
        return gamma_nUL


def _rows(x_nUL: Tensor) -> np.ndarray:
    """[n * U, LANES]."""
    return x_nUL.view(-1, LANES).numpy()
