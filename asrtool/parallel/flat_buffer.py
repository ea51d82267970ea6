"""All trained parameters of a model in one flat padded buffer, and its shards."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from asrtool.errors import AsrtoolError
from asrtool.parallel.protocol import Comm

ALIGNMENT = 16  # elements: 64 bytes of float32, so that matrix products read aligned rows


def shard_size(num_elements: int, num_shards: int) -> int:
    """Elements of each of `num_shards` equal shards, a multiple of ALIGNMENT."""
    return -(-num_elements // (num_shards * ALIGNMENT)) * ALIGNMENT


class FlatBuffer:
    """One flat tensor that holds the parameters with `requires_grad`, padded to a shard of equal size for each rank.

    On the CPU the model's parameters become views of the buffer, so that packing costs nothing and no memory is doubled. On
    other devices they stay where they are (cuDNN wants its own layout) and `pack` and `unpack` copy. Should someone replace a
    parameter's storage later, `pack` and `unpack` notice and copy.

    The buffer is float32, or float64 if a parameter is.

    Attributes:
        flat: [comm.size * shard_size].
        num_elements: used elements, padding between parameters included; the rest of `flat` is zero.
        shard_size: elements of a shard, a multiple of 16.
    """

    def __init__(self, model: nn.Module, comm: Comm) -> None:
        self.model = model
        self._segments: list[tuple[nn.Parameter, int, int]] = []
        offset = 0
        for parameter in model.parameters():  # tied parameters come once
            if parameter.requires_grad:
                self._segments.append((parameter, offset, parameter.numel()))
                offset += -(-parameter.numel() // ALIGNMENT) * ALIGNMENT
        if not self._segments:
            raise AsrtoolError("the model has no parameter to train")
        self.num_elements = offset
        self.shard_size = shard_size(offset, comm.size)
        first = self._segments[0][0]
        dtype = torch.float64 if any(p.dtype == torch.float64 for p, _, _ in self._segments) else torch.float32
        self.flat = comm.allocate(comm.size * self.shard_size, dtype, first.device)
        self.pack()
        if first.device.type == "cpu":
            for parameter, begin, size in self._segments:
                if parameter.dtype == dtype:
                    parameter.data = self.flat[begin : begin + size].view(parameter.shape)
        by_parameter = {id(parameter): (begin, size) for parameter, begin, size in self._segments}
        self._places = {
            name: by_parameter[id(parameter)]
            for name, parameter in model.named_parameters(remove_duplicate=False)
            if id(parameter) in by_parameter
        }

    def _is_view(self, parameter: nn.Parameter, begin: int) -> bool:
        expected = self.flat.data_ptr() + begin * self.flat.element_size()
        return parameter.data_ptr() == expected and parameter.is_contiguous() and parameter.dtype == self.flat.dtype

    @torch.no_grad()
    def pack(self) -> None:
        """Parameters -> flat."""
        for parameter, begin, size in self._segments:
            if not self._is_view(parameter, begin):
                self.flat[begin : begin + size].copy_(parameter.detach().reshape(-1))

    @torch.no_grad()
    def unpack(self) -> None:
        """Flat -> parameters."""
        for parameter, begin, size in self._segments:
            if not self._is_view(parameter, begin):
                parameter.copy_(self.flat[begin : begin + size].view(parameter.shape))

    def views(self, flat: Tensor) -> Iterator[tuple[nn.Parameter, Tensor]]:
        """Each trained parameter with its place, in its shape, in a flat tensor of the buffer's layout."""
        for parameter, begin, size in self._segments:
            yield parameter, flat[begin : begin + size].view(parameter.shape)

    def pack_gradients(self, flat: Tensor) -> None:
        """Gradients -> a flat tensor of the buffer's layout; a missing gradient is zero."""
        for parameter, place in self.views(flat):
            pack_gradient(parameter, place)

    def unpack_gradients(self, flat: Tensor) -> None:
        """The reverse of `pack_gradients`."""
        for parameter, place in self.views(flat):
            unpack_gradient(parameter, place)

    @torch.no_grad()
    def gradients_are_finite(self) -> bool:
        """Whether no gradient holds NaN or infinity: either of them makes its sum non-finite."""
        sums = [p.grad.sum().to(self.flat.dtype) for p, _, _ in self._segments if p.grad is not None]
        return not sums or bool(torch.isfinite(torch.stack(sums)).all())

    def is_finite(self) -> bool:
        """Whether the flat buffer holds neither NaN nor infinity: either of them makes the sum non-finite."""
        return bool(torch.isfinite(self.flat.sum()))

    def layout(self) -> list[tuple[str, int, tuple[int, ...]]]:
        """(name, first element, shape) of each parameter: what a merged state can be checked and read by."""
        shapes = {id(parameter): tuple(parameter.shape) for parameter, _, _ in self._segments}
        names = dict(self.model.named_parameters(remove_duplicate=False))
        return [(name, begin, shapes[id(names[name])]) for name, (begin, _) in self._places.items()]

    def to_state_dict(self, flat: Tensor, buffers: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The model's state dict with parameters from `flat` and buffers from `buffers`; what neither has is the model's own.

        Copies, contiguous, each with its own storage and the model's dtypes.
        """
        result = {}
        for name, own in self.model.state_dict().items():
            if name in self._places:
                begin, size = self._places[name]
                result[name] = flat[begin : begin + size].view(own.shape).to(own.dtype, copy=True)
            else:
                result[name] = buffers.get(name, own).to(own.dtype, copy=True).view(own.shape)
        return result


@torch.no_grad()
def pack_gradient(parameter: nn.Parameter, place: Tensor) -> None:
    """A parameter's gradient -> `place`, of its shape; zero if it has none."""
    if parameter.grad is None:
        place.zero_()
    else:
        place.copy_(parameter.grad)


@torch.no_grad()
def unpack_gradient(parameter: nn.Parameter, place: Tensor) -> None:
    """The reverse of `pack_gradient`."""
    if parameter.grad is None:
        parameter.grad = place.to(parameter.dtype, copy=True)
    else:
        parameter.grad.copy_(place)


@contextmanager
def loaded(model: nn.Module, parameters: Mapping[str, Tensor]) -> Iterator[nn.Module]:
    """Puts e.g. `algorithm.models()["ema"]` into `model` for an evaluation, and the model's own values back afterwards."""
    own = {name: value.detach().clone() for name, value in model.state_dict().items()}
    model.load_state_dict(dict(parameters))
    try:
        yield model
    finally:
        model.load_state_dict(own)
