"""Updates of a range of the global model and its averages, in place: on CPUs in one pass over memory, else by torch's operations.

Both round each product and each sum by itself, so that they agree to the bit, whatever range an element stands in.
"""

import numpy as np
import torch
from torch import Tensor


def _in_one_pass(*tensors: Tensor) -> bool:
    return all(t.dtype == torch.float32 and t.device.type == "cpu" and t.is_contiguous() for t in tensors)


def block_momentum_(mean: Tensor, weights: Tensor, momentum: Tensor, eta: float, zeta: float, nesterov: bool) -> None:
    """With G = mean - V: D = eta * D + zeta * G, W = W + D; `mean` becomes the next V.

    Args:
        mean, weights, momentum: [n]: the mean of the workers, W and D.
        eta, zeta: block momentum and block learning rate.
        nesterov: V = W + eta * D; else V = W.
    """
    if _in_one_pass(mean, weights, momentum):
        from asrtool.parallel import update_kernels  # numba takes its time

        arrays = mean.numpy(), weights.numpy(), momentum.numpy()
        update_kernels.block_momentum(*arrays, np.float32(eta), np.float32(zeta), nesterov)
        return
    step = mean.sub_((momentum * eta).add_(weights) if nesterov else weights)
    if zeta != 1:
        step.mul_(zeta)
    weights.add_(momentum.mul_(eta).add_(step))
    mean.copy_((momentum * eta).add_(weights) if nesterov else weights)


def follow_mean_(average: Tensor, values: Tensor, count: int) -> None:
    """The mean of `count` - 1 values takes in one more: average += (values - average) * (1 / count); [n] each."""
    if _in_one_pass(average, values):
        from asrtool.parallel import update_kernels

        update_kernels.follow_mean(average.numpy(), values.numpy(), np.float32(1.0 / count))
    else:
        average.add_(torch.sub(values, average).mul_(1.0 / count))


def follow_exponential_(average: Tensor, values: Tensor, alpha: float) -> None:
    """average = alpha * average + (1 - alpha) * values; [n] each."""
    if _in_one_pass(average, values):
        from asrtool.parallel import update_kernels

        update_kernels.follow_exponential(average.numpy(), values.numpy(), np.float32(alpha), np.float32(1.0 - alpha))
    else:
        average.mul_(alpha).add_(values * (1.0 - alpha))
