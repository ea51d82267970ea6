"""What every acoustic model is: logits from input windows, with a state that somebody else owns."""

from typing import TypeVar

import torch
from torch import Tensor, nn

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)
State = tuple[Tensor, ...]
"""Recurrent state: tensors whose first dimension is the stream; empty for models without memory."""


class AcousticModel(nn.Module):
    """Base class of the models in `registry.MODELS`.

    A model maps input windows to logits over pdfs, a chunk of time at a time. Streams, resets, truncated
    back-propagation and label delay belong to the loader: a model only carries `state` from chunk to chunk, and
    chunked forward equals whole-utterance forward.

    Attributes:
        input_dim: F, numbers in an input window.
        num_pdfs: P, pdf ids are 0..P-1.
        recurrent: whether `state` is used (the loader then gives streams instead of shuffled frames).
    """

    recurrent = False

    def __init__(self, input_dim: int, num_pdfs: int) -> None:
        super().__init__()
        self.input_dim = input_dim
        self.num_pdfs = num_pdfs

    def initial_state(self, num_streams: int) -> State:
        """The state before an utterance: zeros, on the device and in the type of the parameters."""
        return ()

    def forward(self, x_BTF: Tensor, state: State) -> tuple[Tensor, State]:
        """Returns (logits_BTP, state after the last frame)."""
        raise NotImplementedError

    def num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())


def reset_state(model: AcousticModel, state: State, reset_B: Tensor) -> State:
    """The state for a batch of B streams: zeros where `reset_B` (bool [B]) says that an utterance begins.

    Streams beyond B (that have run out of utterances) are cut off; a state of fewer streams (none yet) starts anew.
    """
    num_streams = len(reset_B)
    if not state or len(state[0]) < num_streams:
        return model.initial_state(num_streams)
    cut = (tensor[:num_streams] for tensor in state)
    return tuple(tensor.masked_fill(reset_B.view(-1, *[1] * (tensor.dim() - 1)), 0) for tensor in cut)


ACTIVATIONS = {"relu": torch.relu_, "sigmoid": torch.sigmoid_, "tanh": torch.tanh_, "linear": lambda x: x}
"""Pointwise, in place: for the outputs of affine layers, whose backward does not need them. Saves a buffer and its traffic."""


def initialise_linear(layer: Layer, activation: str) -> Layer:
    """Glorot's uniform weights for sigmoid (times 4, its slope at 0 being 1/4), tanh and linear, He's for ReLU; zero bias."""
    if activation == "relu":
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
    else:
        nn.init.xavier_uniform_(layer.weight, gain=4.0 if activation == "sigmoid" else 1.0)
    nn.init.zeros_(layer.bias)
    return layer
