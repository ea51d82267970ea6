"""The sums of lattice_free_denominator.py with torch's sparse products, on any device: a product a frame for all utterances."""

import warnings

import numpy as np
import torch
from torch import Tensor

from asrtool.graph.denominator import DenominatorGraph


class TorchSums:
    """All utterances side by side; arrays are [states or rows, B], so that a frame is one product [R, S] x [S, B].

    Attributes:
        lanes: None, any number of utterances.
        dtype: float32 or float64.
    """

    lanes = None

    def __init__(
        self, graph: DenominatorGraph, row_pdf: np.ndarray, leak: float, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.dtype, self.device = dtype, device
        num_rows, num_states = len(row_pdf), graph.num_states
        row = np.repeat(np.arange(num_rows), np.diff(graph.row_begin))
        rows, ones = np.arange(num_rows), np.ones(num_rows)
        self.to_rows = self._matrix(row, graph.arc_state, graph.arc_prob, (num_rows, num_states))
        self.from_rows = self._matrix(graph.arc_state, row, graph.arc_prob, (num_states, num_rows))
        self.to_states = self._matrix(graph.row_state, rows, ones, (num_states, num_rows))
        self.to_pdfs = self._matrix(row_pdf, rows, ones, (int(row_pdf.max()) + 1, num_rows))
        self.row_pdf = torch.from_numpy(row_pdf.astype(np.int64)).to(device)
        self.row_state = torch.from_numpy(graph.row_state.astype(np.int64)).to(device)
        self.initial, self.final = (torch.from_numpy(part).to(device, dtype)[:, None] for part in (graph.initial, graph.final))
        self.leak = leak * self.initial

    def _matrix(self, row: np.ndarray, column: np.ndarray, value: np.ndarray, shape: tuple[int, int]) -> Tensor:
        order = np.lexsort((column, row))
        begin = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=shape[0]))]).astype(np.int64)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
            return torch.sparse_csr_tensor(
                torch.from_numpy(begin),
                torch.from_numpy(column[order].astype(np.int64)),
                torch.from_numpy(value[order].astype(np.float64)),
                size=shape,
                dtype=self.dtype,
                check_invariants=True,
                device=self.device,
            )

    def begin(self, num_lanes: int) -> Tensor:
        """a'(0), [S, B]."""
        return (self.initial + self.leak * self.initial.sum()).repeat(1, num_lanes)

    def forward(
        self, x_nUB: Tensor, alpha_SB: Tensor, first: int, lengths: list[int], end_total_B: Tensor, keep: bool
    ) -> tuple[Tensor | None, Tensor]:
        """Goes over n frames; alpha_SB becomes that after them. Returns z [n, R, B] where it is to be kept, total [n, B]."""
        num_frames, _, num_lanes = x_nUB.shape
        z_nRB = x_nUB.new_empty(num_frames if keep else 0, len(self.row_pdf), num_lanes)
        total_nB = x_nUB.new_empty(num_frames, num_lanes)
        for t in range(num_frames):
            z_RB = (self.to_rows @ alpha_SB).mul_(x_nUB[t].index_select(0, self.row_pdf))
            if keep:
                z_nRB[t] = z_RB
            new_SB = self.to_states @ z_RB
            torch.sum(new_SB, 0, out=total_nB[t])
            alpha_SB.copy_(new_SB.div_(total_nB[t]).add_(self.leak))
            ended = [lane for lane, length in enumerate(lengths) if length == first + t + 1]
            if ended:
                end_total_B[ended] = (self.final * alpha_SB[:, ended]).sum(0).to(end_total_B.dtype)
        return (z_nRB if keep else None), total_nB

    def backward(
        self, x_nUB: Tensor, z_nRB: Tensor, total_nB: Tensor, beta_SB: Tensor, first: int, lengths: list[int], end_total_B: Tensor
    ) -> Tensor:
        """Goes back over n frames; beta_SB, b' behind them, becomes that before them. Returns posteriors [n, U, B]."""
        gamma_nUB = torch.empty_like(x_nUB)
        for t in range(len(x_nUB) - 1, -1, -1):
            ended = [lane for lane, length in enumerate(lengths) if length == first + t + 1]
            if ended:
                beta_SB[:, ended] = self.final / end_total_B[ended].to(self.dtype)
            beta_SB += (self.leak * beta_SB).sum(0)
            beta_RB = beta_SB.div_(total_nB[t]).index_select(0, self.row_state)
            gamma_nUB[t] = self.to_pdfs @ (z_nRB[t] * beta_RB)
            beta_SB.copy_(self.from_rows @ beta_RB.mul_(x_nUB[t].index_select(0, self.row_pdf)))
        return gamma_nUB
