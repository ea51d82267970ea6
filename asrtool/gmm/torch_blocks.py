"""Padded blocks of the tasks of GMM statistics, and the products that `torch_backend` sums, on torch's tensors."""

import numpy as np
import torch
from torch import Tensor

SLAB_FRAMES = 256  # of float32 products; sums of these are float64
LOWEST = torch.finfo(torch.float32).min


class Block:
    """Tasks of about the same number of frames and Gaussians: M tasks padded to F frames and S Gaussians.

    Attributes:
        place: int64 [M, F], into the frame order; inside: bool [M, F], not the padding.
        gaussian: int64 [M, S], rows of the parameters; size: int64 [M] on the CPU, Gaussians of each task; most: S.
        extended: float32 [M, F, 1 + 2D].
    """

    def __init__(self, features: Tensor, order: Tensor, start, count, gaussians, length: int) -> None:
        first, self.size = gaussians[:, 0], gaussians[:, 1] - gaussians[:, 0]
        self.most = int(self.size.max())
        begin, number, row, its = (to_device(one, features.device)[:, None] for one in (start, count, first, self.size))
        frame, gaussian = (torch.arange(size, device=features.device) for size in (length, self.most))
        self.inside = frame < number
        self.place = begin + torch.minimum(frame, number - 1)
        self.outside = gaussian >= its
        self.gaussian = row + torch.minimum(gaussian, its - 1)
        self.extended = extended_frames(features[order[self.place]])

    def posteriors(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """(float32 [M, S, F], log-likelihoods of the frames float64 [M, F]), both 0 in the padding."""
        components = torch.bmm(parameters[self.gaussian], self.extended.transpose(1, 2))
        components.masked_fill_(self.outside[..., None], -torch.inf)
        highest = components.amax(1).clamp_(min=LOWEST)
        components.sub_(highest[:, None]).exp_()
        total = components.sum(1)
        loglike = torch.where(self.inside, (highest + total.log()).double(), 0.0)
        components.mul_((self.inside / total)[:, None])
        return components, loglike


def to_device(array: np.ndarray, device: torch.device, dtype: type = np.int64) -> Tensor:
    return torch.from_numpy(np.require(array, dtype, ["C", "W"])).to(device)


def extended_frames(x: Tensor) -> Tensor:
    """(1, x, x^2) along the last axis."""
    return torch.cat([torch.ones_like(x[..., :1]), x, x * x], dim=-1)


def segment_loglikes(rows: Tensor, extended: Tensor, lengths: Tensor) -> np.ndarray:
    """float32 [K, T]: log of the sum of exponentials over runs, `lengths` int64 [K], of the M R products of rows [M, R, E] with
    frames [M, T, E]."""
    components = torch.bmm(rows, extended.transpose(1, 2)).flatten(0, 1)
    highest = torch.segment_reduce(components, "max", lengths=lengths, axis=0, unsafe=True).clamp_(min=LOWEST)
    components.sub_(highest.repeat_interleave(lengths, dim=0, output_size=len(components))).exp_()
    total = torch.segment_reduce(components, "sum", lengths=lengths, axis=0, unsafe=True)
    return total.log_().add_(highest).cpu().numpy()


def slab_products(left: Tensor, right: Tensor) -> Tensor:
    """float64 [M, S, E]: products of [M, S, F] and [M, F, E], summed in float64 over slabs of frames."""
    tasks, length = len(left), left.shape[2]
    slab = min(length, SLAB_FRAMES)
    pieces = left.unflatten(2, (-1, slab)).transpose(1, 2).flatten(0, 1)
    result = torch.bmm(pieces, right.unflatten(1, (-1, slab)).flatten(0, 1))
    return result.unflatten(0, (tasks, -1)).sum(1, dtype=torch.float64)


def products(left: Tensor, right: Tensor) -> Tensor:
    """float64 [I, J] = left^T right, of float32 [N, I] and [N, J]."""
    missing = -len(left) % SLAB_FRAMES
    left, right = (torch.nn.functional.pad(one, (0, 0, 0, missing)) for one in (left, right))
    return slab_products(left.T[None], right[None])[0]
