"""Frame cross-entropy against the pdfs of an alignment."""

import torch
from torch import Tensor

from asrtool.loader.batch import IGNORED


class _SummedCrossEntropy(torch.autograd.Function):
    """Log-softmax and its gradient in one buffer: torch's own takes three of the size of the logits."""

    @staticmethod
    def forward(ctx, logits_NP: Tensor, target_N: Tensor, valid_N: Tensor) -> tuple[Tensor, Tensor]:
        log_posterior = torch.log_softmax(logits_NP, -1)
        scores = log_posterior.gather(1, target_N.unsqueeze(1)).squeeze(1)
        errors = ((scores < log_posterior.amax(1)) & valid_N).sum()
        loss = -scores.masked_fill(~valid_N, 0).sum()
        ctx.save_for_backward(log_posterior, target_N, valid_N)
        ctx.mark_non_differentiable(errors)
        return loss, errors

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, d_loss: Tensor, _: Tensor) -> tuple[Tensor, None, None]:
        log_posterior, target_N, valid_N = ctx.saved_tensors
        weight_N = d_loss * valid_N
        gradient = log_posterior.exp_().mul_(weight_N.unsqueeze(1))  # in place: backward runs once
        gradient.scatter_add_(1, target_N.unsqueeze(1), -weight_N.unsqueeze(1))
        return gradient, None, None


def cross_entropy(logits_BTP: Tensor, target_BT: Tensor) -> tuple[Tensor, Tensor]:
    """Sums over all positions whose target is not IGNORED.

    Returns:
        The summed loss in nats (differentiable, once) and the number of frame errors (int64): positions where another pdf
        scores better than the target.
    """
    if logits_BTP.stride(0) < logits_BTP.stride(1):  # time-major underneath: flatten without a copy
        logits_BTP, target_BT = logits_BTP.transpose(0, 1), target_BT.t()
    logits, target = logits_BTP.reshape(-1, logits_BTP.shape[-1]), target_BT.reshape(-1)
    if logits.dtype in (torch.bfloat16, torch.float16):
        logits = logits.float()
    valid = target != IGNORED
    return _SummedCrossEntropy.apply(logits, target.clamp(min=0), valid)
