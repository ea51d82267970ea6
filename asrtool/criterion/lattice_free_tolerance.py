"""Numerators of lattice-free MMI with tolerance: all alignments with the same HMM states whose borders lie a few frames away.

An alignment's pdfs are cut into units: a run of one pdf, at least a frame long; in chain topologies (DenominatorGraph.pdf_kind)
the first frame of a state, which is a frame long always, and the others, which may be none. A unit may take frames from
`tolerance` before its first one to `tolerance` behind its last one (Kaldi's --left-tolerance and --right-tolerance, there for
whole phones). A state that has but its first frame keeps it alone: its pdfs do not say which one would follow. All alignments
have the weight of the given one: in chain topologies they have the same number of transitions of each kind.
"""

import numpy as np
import torch
from torch import Tensor

from asrtool.graph.denominator import FORWARD_ONLY, LOOP_ONLY


class Units:
    """The units of B utterances, padded to K.

    Args:
        pdfs: int [T] of each utterance; an empty one has no units.
        pdf_kind: int8 [P], see DenominatorGraph.
    """

    def __init__(self, pdfs: list[np.ndarray], pdf_kind: np.ndarray, tolerance: int, device: torch.device) -> None:
        rows = [_cut(one, pdf_kind) for one in pdfs]
        self.lengths = [len(one) for one in pdfs]
        size = max([1, *(len(first) for first, _ in rows)])
        pdf_BK = np.zeros((len(pdfs), size), np.int64)
        first_BK, end_BK = np.ones_like(pdf_BK), np.zeros_like(pdf_BK)  # padding: units that no frame may take
        kind_BK = np.zeros_like(pdf_BK)
        self.last = []
        for b, (first, end) in enumerate(rows):
            number = len(first)
            pdf_BK[b, :number] = pdfs[b][first]
            first_BK[b, :number], end_BK[b, :number] = first - tolerance, end + tolerance
            kind_BK[b, :number] = pdf_kind[pdf_BK[b, :number]]
            last = [number - 1]
            if number > 1 and kind_BK[b, number - 1] == LOOP_ONLY:
                last.append(number - 2)
            self.last.append(last)
        self.pdf_BK, self.first_BK, self.end_BK = (torch.from_numpy(x).to(device) for x in (pdf_BK, first_BK, end_BK))
        self.repeats_BK = torch.from_numpy(kind_BK != FORWARD_ONLY).to(device)
        skipped = np.zeros((len(pdfs), size), bool)
        skipped[:, 2:] = kind_BK[:, 1:-1] == LOOP_ONLY
        self.skips_BK = torch.from_numpy(skipped).to(device)  # the unit before it may have no frames


def _cut(pdfs: np.ndarray, pdf_kind: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First frames and ends of the units, int64 [K] each."""
    if len(pdfs) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    begins = np.concatenate([[True], (pdfs[1:] != pdfs[:-1]) | (pdf_kind[pdfs[1:]] == FORWARD_ONLY)])
    first = np.flatnonzero(begins)
    return first, np.append(first[1:], len(pdfs))


def tolerant_numerator(scores_BTP: Tensor, units: Units, posteriors: bool = True) -> tuple[Tensor, Tensor | None]:
    """Log of the sum over alignments of exp(sum of scores), float64 [B], and the pdfs' posteriors [B, T, P], rows sum to 1.

    Frames from an utterance's length on are not looked at. In logarithms: there are few units at a frame.
    """
    num_frames, device = max([0, *units.lengths]), scores_BTP.device
    frame_T1 = torch.arange(num_frames, device=device)[None, :, None]
    inside = (frame_T1 >= units.first_BK[:, None]) & (frame_T1 < units.end_BK[:, None])
    index = units.pdf_BK[:, None].expand(-1, num_frames, -1)
    score_BTK = scores_BTP[:, :num_frames].gather(2, index).double().masked_fill_(~inside, -torch.inf)
    stay, skip = (torch.where(mask, 0.0, -torch.inf).double() for mask in (units.repeats_BK, units.skips_BK))
    alpha = torch.full_like(stay, -torch.inf)
    alpha[:, 0] = 0  # an alignment begins with the first unit
    alphas = []
    for t in range(num_frames):
        if t > 0:
            alpha = torch.stack([alpha + stay, _shifted(alpha, 1), _shifted(alpha, 2) + skip]).logsumexp(0)
        alpha = alpha + score_BTK[:, t]
        alphas.append(alpha)
    loglike_B = torch.zeros(len(units.lengths), dtype=torch.float64, device=device)
    for b, length in enumerate(units.lengths):
        if length:
            loglike_B[b] = alphas[length - 1][b, units.last[b]].logsumexp(0)
    if not posteriors:
        return loglike_B, None
    result = torch.zeros(scores_BTP.shape, dtype=scores_BTP.dtype, device=device)
    beta = torch.full_like(stay, -torch.inf)
    for t in range(num_frames - 1, -1, -1):
        for b, length in enumerate(units.lengths):
            if length == t + 1:
                beta[b, units.last[b]] = 0
        share = (alphas[t] + beta - loglike_B[:, None]).exp()
        result[:, t].scatter_add_(1, units.pdf_BK, share.to(result.dtype))
        behind = beta + score_BTK[:, t]
        beta = torch.stack([behind + stay, _shifted(behind, -1), _shifted(behind + skip, -2)]).logsumexp(0)
    return loglike_B, result


def _shifted(x_BK: Tensor, by: int) -> Tensor:
    """Units moved to higher numbers by 1 or 2 places, or to lower ones; -inf moves in."""
    moved = torch.full_like(x_BK, -torch.inf)
    if abs(by) >= x_BK.shape[1]:
        return moved
    if by > 0:
        moved[:, by:] = x_BK[:, :-by]
    else:
        moved[:, :by] = x_BK[:, -by:]
    return moved
