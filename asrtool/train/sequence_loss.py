"""The loss of sequence training: its value is what the speech module found, its gradient the outer gradients."""

import torch
from torch import Tensor

from asrtool.criterion.cross_entropy import cross_entropy
from asrtool.criterion.lattice_free_loss import LatticeFreeLoss
from asrtool.criterion.sequence import SequenceOptions
from asrtool.loader.batch import IGNORED, Batch


def loss_per_frame(options: SequenceOptions, objective: float, num_frames: float) -> float:
    """What is made small, a 10 ms frame: minus the objective of mmi and lfmmi, 1 - that of the others.

    With smbr and mpfe that is the share of frames that are expected to be wrong. The objective of mpe counts phones, so there it
    is near 1 and only its changes mean something.
    """
    mean = objective / max(num_frames, 1)
    return -mean if options.criterion in ("mmi", "lfmmi") else 1.0 - mean


class _GivenGradient(torch.autograd.Function):
    """A loss of given value and gradient."""

    @staticmethod
    def forward(ctx, logits_NP: Tensor, row_N: Tensor, pdf_N: Tensor, value_N: Tensor, loss: float) -> Tensor:
        ctx.save_for_backward(row_N, pdf_N, value_N)
        ctx.shape, ctx.dtype = logits_NP.shape, logits_NP.dtype
        return torch.full((), loss, dtype=torch.float32, device=logits_NP.device)  # without a copy to wait for

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, d_loss: Tensor) -> tuple[Tensor, None, None, None, None]:
        row_N, pdf_N, value_N = ctx.saved_tensors
        gradient = torch.zeros(ctx.shape, dtype=torch.float32, device=d_loss.device)
        gradient.view(-1)[row_N * ctx.shape[1] + pdf_N] = value_N * -d_loss
        return gradient.to(ctx.dtype), None, None, None, None


class SequenceLoss:
    """(1 - ce_weight) x sequence criterion + ce_weight x frame cross-entropy.

    The gradient on the logits is minus the outer gradient: that is d(criterion)/d(log-likelihood), which log-softmax passes on
    unchanged since each row adds up to 0 (Sak 2014, Section 2.2, the product of outer and inner gradients). It is that of a 10 ms
    frame's mean, as the value is, so that with either criterion a window counts as much.

    The value is that of the sequence criterion alone, as it was found with the parameters of the speech module; so records of
    different weights compare.
    """

    def __init__(self, ce_weight: float = 0.0) -> None:
        self.ce_weight = ce_weight

    def __call__(self, logits_BTP: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """The summed loss (differentiable, once) and the number of frame errors (int64).

        Args:
            batch: with `outer`, anywhere.
        """
        device, outer = logits_BTP.device, batch.outer
        target_BT = batch.target_BT.to(device, non_blocking=True)
        row_N, pdf_N, value_N = (x.to(device, non_blocking=True) for x in (outer.row_N, outer.pdf_N, outer.value_N))
        if logits_BTP.stride(0) < logits_BTP.stride(1):  # time-major underneath: flatten without a copy
            logits_NP = logits_BTP.transpose(0, 1).reshape(-1, logits_BTP.shape[-1])
        else:
            num_streams, num_windows, num_pdfs = logits_BTP.shape
            logits_NP = logits_BTP.reshape(-1, num_pdfs)
            row_N = row_N % num_streams * num_windows + row_N // num_streams
        loss = _GivenGradient.apply(logits_NP, row_N, pdf_N, value_N * (1.0 - self.ce_weight), outer.loss)
        if self.ce_weight == 0:
            return loss, frame_errors(logits_BTP, target_BT)
        frame_loss, errors = cross_entropy(logits_BTP, target_BT)
        return loss + self.ce_weight * (frame_loss - frame_loss.detach()), errors


class LatticeFreeTrainingLoss:
    """Lattice-free MMI in place of outer gradients from elsewhere, mixed with frame cross-entropy in the same way.

    Args:
        loss: summed over the graph's frames, of which there are `loss.repeat` for each target.
    """

    def __init__(self, loss: LatticeFreeLoss, ce_weight: float = 0.0) -> None:
        self.loss = loss
        self.ce_weight = ce_weight

    def __call__(self, logits_BTP: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """The summed loss (differentiable, once) and the number of frame errors (int64)."""
        loss, errors = self.loss(logits_BTP, batch)
        loss = loss / self.loss.repeat
        if self.ce_weight == 0:
            return loss, errors
        frame_loss, _ = cross_entropy(logits_BTP, batch.target_BT.to(logits_BTP.device, non_blocking=True))
        return loss + self.ce_weight * ((frame_loss - frame_loss.detach()) - (loss - loss.detach())), errors

    def notes(self) -> dict[str, float]:
        """Figures since the last call, see LatticeFreeLoss.notes."""
        return {f"{name}_mean": value for name, value in self.loss.notes().items()}


@torch.no_grad()
def frame_errors(logits_BTP: Tensor, target_BT: Tensor) -> Tensor:
    """Positions where another pdf scores better than the target (int64), those that are IGNORED apart."""
    valid_BT = target_BT != IGNORED
    scores_BT = logits_BTP.gather(2, target_BT.clamp(min=0).unsqueeze(2)).squeeze(2)
    return ((scores_BT < logits_BTP.amax(2)) & valid_BT).sum()
