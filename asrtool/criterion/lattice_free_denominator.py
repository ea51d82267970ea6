"""Forward-backward sums over a denominator graph for a batch of utterances: log likelihood and posteriors of the pdfs.

With x(t, n) the likelihood of pdf n at frame t, M the graph's matrix [rows, states] and D the sum of rows by their state, for
each utterance and 0 <= t < T (Povey et al. 2016, Section 2.3; the leaky HMM as in Kaldi's chain-denominator.h, version 3):

    a'(t) = a(t) + leak * sum(a(t)),  a(0) = initial,  leak = leaky_hmm_coefficient * initial
    z(t) = x(t, pdf of the row) * M a'(t),  a(t + 1) = D z(t) / total(t),  total(t) the sum of D z(t)
    log likelihood = sum of log total(t) + log <final, a'(T)>
    b'(T) = final / <final, a'(T)>,  b(t) = b'(t) + <leak, b'(t)>
    posterior(t, n) = sum over the rows of pdf n of z(t) * b(t + 1) / total(t)
    b'(t) = M^T (x(t, pdf of the row) * b(t + 1) / total(t))

What must be kept is z: frames x rows x utterances numbers. Where that is more than a budget, sums are kept at the beginnings of
pieces of the utterances only, and each piece is computed a second time on the way back.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from asrtool.criterion.lattice_free_cpu import KernelSums
from asrtool.criterion.lattice_free_torch import TorchSums
from asrtool.graph.denominator import DenominatorGraph

_CPU_BYTES, _GPU_BYTES = 1 << 26, 1 << 32  # of z; on the CPU what is written is still in or near its cache when it is read


@dataclass
class DenominatorResult:
    """Attributes:
    loglike_B: float64, log likelihood of each utterance; 0 for one without frames, NaN or -inf where it went wrong.
    posterior_BTP: of the loglikes' dtype, rows sum to 1, 0 beyond an utterance's end; None where not asked for.
    """

    loglike_B: Tensor
    posterior_BTP: Tensor | None


class Denominator:
    """The sums over one graph, on one device.

    Args:
        leaky_hmm_coefficient: share of each frame's probability that may go on in any state; in [0, 1). With 0 the sums may
            overflow in float32.
        device: "cpu" takes the kernels for float32, torch for float64; "cuda" torch.
        kernels: False: torch for float32 on the CPU too.
    """

    def __init__(
        self,
        graph: DenominatorGraph,
        leaky_hmm_coefficient: float = 1e-5,
        device: str | torch.device = "cpu",
        kernels: bool = True,
    ) -> None:
        self.graph = graph
        self.leaky_hmm_coefficient = leaky_hmm_coefficient
        self.device = torch.device(device)
        self._kernels = kernels and self.device.type == "cpu"
        used, row_pdf = np.unique(graph.row_pdf, return_inverse=True)
        self.row_pdf = row_pdf.astype(np.int32)
        self.all_used = len(used) == graph.num_pdfs
        self.used = torch.from_numpy(used.astype(np.int64)).to(self.device)
        self._sums: dict[torch.dtype, TorchSums | KernelSums] = {}

    def sums(self, dtype: torch.dtype) -> TorchSums | KernelSums:
        """The device's way of computing, made at its first use."""
        if dtype not in self._sums:
            if self._kernels and dtype == torch.float32:
                self._sums[dtype] = KernelSums(self.graph, self.row_pdf, self.leaky_hmm_coefficient)
            else:
                self._sums[dtype] = TorchSums(self.graph, self.row_pdf, self.leaky_hmm_coefficient, self.device, dtype)
        return self._sums[dtype]

    def __call__(
        self, loglikes_BTP: Tensor, lengths: list[int], posteriors: bool = True, budget_bytes: int | None = None
    ) -> DenominatorResult:
        """The sums of B utterances of lengths[b] <= T frames; loglikes (scaled already) beyond them are not looked at.

        Args:
            budget_bytes: for the sums kept; 64 MiB on the CPU, 4 GiB elsewhere where None.
        """
        dtype = loglikes_BTP.dtype if loglikes_BTP.dtype == torch.float64 else torch.float32
        sums = self.sums(dtype)
        budget = budget_bytes or (_CPU_BYTES if self.device.type == "cpu" else _GPU_BYTES)
        loglike_B = torch.zeros(len(lengths), dtype=torch.float64, device=self.device)
        posterior = torch.zeros(loglikes_BTP.shape, dtype=dtype, device=self.device) if posteriors else None
        order = sorted((b for b, length in enumerate(lengths) if length), key=lambda b: -lengths[b])
        width = sums.lanes or len(order)
        for first in range(0, len(order), max(width, 1)):
            members = order[first : first + width]
            _Pass(self, sums, loglikes_BTP, members, [lengths[b] for b in members], budget).run(loglike_B, posterior)
        return DenominatorResult(loglike_B, posterior)


class _Pass:
    """Utterances that go side by side, longest first; the kernels have eight lanes, of which some may be empty."""

    def __init__(
        self,
        owner: Denominator,
        sums: TorchSums | KernelSums,
        loglikes_BTP: Tensor,
        members: list[int],
        lengths: list[int],
        budget: int,
    ):
        self.owner, self.sums, self.loglikes_BTP = owner, sums, loglikes_BTP
        self.members = torch.tensor(members, device=loglikes_BTP.device)
        self.num_lanes = sums.lanes or len(members)
        self.lengths = lengths + [0] * (self.num_lanes - len(members))
        self.length_L = torch.tensor(self.lengths, device=owner.device)
        size = len(owner.row_pdf) * self.num_lanes * (8 if sums.dtype == torch.float64 else 4)
        self.frames_at_once = max(1, min(lengths[0], budget // size))
        self.loglike_L = torch.zeros(self.num_lanes, dtype=torch.float64, device=owner.device)
        self.end_total_L = torch.ones_like(self.loglike_L)

    def run(self, loglike_B: Tensor, posterior_BTP: Tensor | None) -> None:
        begins = list(range(0, self.lengths[0], self.frames_at_once))
        alpha, starts, z, total = self.sums.begin(self.num_lanes), [], None, None
        for begin in begins:
            x, highest = self._likelihoods(begin)
            starts.append(alpha.clone() if posterior_BTP is not None and begin != begins[-1] else alpha)
            z, total = self._forward(x, alpha, begin, keep=posterior_BTP is not None and begin == begins[-1])
            self.loglike_L += (torch.where(self._inside(begin, len(x)), total.double().log(), 0) + highest).sum(0)
        self.loglike_L += self.end_total_L.log()
        loglike_B[self.members.to(loglike_B.device)] = self.loglike_L[: len(self.members)]
        if posterior_BTP is None:
            return
        beta = torch.zeros_like(alpha)
        for begin, start in zip(reversed(begins), reversed(starts)):
            if begin != begins[-1]:
                x, _ = self._likelihoods(begin)
                z, total = self._forward(x, start, begin, keep=True)
            gamma_nUL = self.sums.backward(x, z, total, beta, begin, self.lengths, self.end_total_L)
            self._store(gamma_nUL, begin, posterior_BTP)

    def _forward(self, x: Tensor, alpha: Tensor, begin: int, keep: bool) -> tuple[Tensor | None, Tensor]:
        return self.sums.forward(x, alpha, begin, self.lengths, self.end_total_L, keep)

    def _inside(self, begin: int, num_frames: int) -> Tensor:
        """bool [n, lanes]: frames that the utterances have."""
        return torch.arange(begin, begin + num_frames, device=self.owner.device)[:, None] < self.length_L

    def _likelihoods(self, begin: int) -> tuple[Tensor, Tensor]:
        """[n, U, lanes]: exp(loglike - the frame's highest), 1 beyond an utterance's end; and these highest, 0 there."""
        end = min(begin + self.frames_at_once, self.lengths[0])
        part = self.loglikes_BTP[self.members, begin:end].to(device=self.owner.device, dtype=self.sums.dtype)
        if not self.owner.all_used:
            part = part.index_select(2, self.owner.used)
        part = part.permute(1, 2, 0)
        part = torch.nn.functional.pad(part, (0, self.num_lanes - part.shape[2]))
        part = part.masked_fill(~self._inside(begin, end - begin)[:, None], 0)
        highest = part.amax(1)
        return (part - highest[:, None]).exp_().contiguous(), highest

    def _store(self, gamma_nUL: Tensor, begin: int, posterior_BTP: Tensor) -> None:
        num_frames, _, num_lanes = gamma_nUL.shape
        if not self.owner.all_used:
            full = gamma_nUL.new_zeros(num_frames, posterior_BTP.shape[2], num_lanes)
            gamma_nUL = full.index_copy_(1, self.owner.used, gamma_nUL)
        posterior_BTP[self.members.to(posterior_BTP.device), begin : begin + num_frames] = gamma_nUL.permute(2, 0, 1)[
            : len(self.members)
        ]
