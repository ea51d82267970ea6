"""Buffers of a model (running statistics of batch normalisation and the like) across workers."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from asrtool.parallel.averaging import Averages


class ModelBuffers:
    """The floating-point buffers of a model's state dict as one vector; small, so every rank holds all of it.

    A sync takes their mean over the workers. Elements on which all workers agree keep their value to the bit: constants such as
    log-priors never drift, and may be infinite.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        saved = set(model.state_dict())
        self._segments = [(name, b.numel()) for name, b in model.named_buffers() if name in saved and b.is_floating_point()]
        self.num_elements = sum(size for _, size in self._segments)

    def read(self) -> Tensor:
        """The model's buffers -> [num_elements] float32."""
        own = dict(self.model.named_buffers())
        parts = [own[name].detach().reshape(-1).float() for name, _ in self._segments]
        return torch.cat(parts) if parts else torch.empty(0)

    @torch.no_grad()
    def write(self, vector: Tensor) -> None:
        """[num_elements] -> the model's buffers, in place."""
        own = dict(self.model.named_buffers())
        for name, value in self.split(vector).items():
            own[name].copy_(value.view(own[name].shape))

    def split(self, vector: Tensor) -> dict[str, Tensor]:
        """[num_elements] -> name -> flat piece."""
        sizes = [size for _, size in self._segments]
        return dict(zip([name for name, _ in self._segments], torch.split(vector, sizes))) if sizes else {}


def agreeing_mean(rows: Tensor, weights: Sequence[float]) -> Tensor:
    """[N, n] -> [n]: mean over the rows with a weight above 0; where those agree, their value unchanged."""
    used = [(row, weight) for row, weight in zip(rows, weights) if weight > 0]
    first = used[0][0]
    mean = sum(row * weight for row, weight in used) / sum(weight for _, weight in used)
    agree = torch.stack([row == first for row, _ in used]).all(dim=0)
    return torch.where(agree, first, mean)


def follow_replicated(averages: Averages, values: Tensor) -> None:
    """The averages follow the global model's buffers, [num_elements]; where they agree already, their value unchanged."""
    before = {name: average.clone() for name, average in averages.shards.items()}
    averages.follow(0, values.numel(), values)
    for name, average in averages.shards.items():
        average.copy_(torch.where(before[name] == values, values, average))
