"""All weights of a model as one flat vector, to be copied from the trainer's model to the speech module's."""

import torch
from torch import Tensor, nn

from asrtool.errors import AsrtoolError


class FlatParameters:
    """The layout of a model's parameters and buffers, float32 one after the other."""

    def __init__(self, model: nn.Module) -> None:
        self._shapes = {name: tensor.shape for name, tensor in _tensors(model).items()}
        self.num_elements = sum(shape.numel() for shape in self._shapes.values())

    @torch.no_grad()
    def pack(self, model: nn.Module, flat: Tensor) -> None:
        """Copies the weights of `model`, on whatever device, into `flat` float32 [num_elements].

        Raises:
            AsrtoolError: a model of another architecture.
        """
        tensors = _tensors(model)
        if {name: tensor.shape for name, tensor in tensors.items()} != self._shapes:
            raise AsrtoolError("the speech module's model file is of another architecture than the model in training")
        on_device = torch.cat([tensor.detach().reshape(-1).float() for tensor in tensors.values()])
        flat.copy_(on_device)

    @torch.no_grad()
    def unpack(self, flat: Tensor, model: nn.Module) -> None:
        """Copies `flat` into the weights of `model`."""
        begin = 0
        for tensor in _tensors(model).values():
            tensor.copy_(flat[begin : begin + tensor.numel()].view(tensor.shape))
            begin += tensor.numel()


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, all that a forward pass depends on."""
    return dict(model.state_dict(keep_vars=True))
