"""What the trainer sees of the speech module: outer gradients, utterance by utterance, in the order in which it takes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from torch import nn

from asrtool.lattice.posteriors import FramePosteriors, merge_pairs
from asrtool.nnet.input import InputOptions, num_windows

if TYPE_CHECKING:
    from asrtool.criterion.sequence import Outer

Request = tuple[str, int]
"""(utterance, shift of its windows against its frames, see nnet.input)."""


@dataclass
class UtteranceOuter:
    """An utterance's outer gradient, or why there is none.

    Attributes:
        name, shift: as asked for.
        outer: None where the utterance gives nothing; then `reason` is the kind of failure (see failures.KINDS) and `message`
            says more.
        version: the trainer's step whose parameters were used.
        num_frames: 10 ms frames; 0 where they could not be read.
        depth: arcs of the denominator lattice that cross a frame, on average.
        numerator_missing: the numerator is (or was, before it was added) no path of the lattice.
        forward_s, search_s, criterion_s: CPU seconds. An utterance's share of its batch's forward pass is by frames.
    """

    name: str
    shift: int
    outer: "Outer | None" = None
    reason: str = ""
    message: str = ""
    version: int = 0
    num_frames: int = 0
    depth: float = 0.0
    numerator_missing: bool = False
    forward_s: float = 0.0
    search_s: float = 0.0
    criterion_s: float = 0.0


class OuterSource(Protocol):
    """Gives a trainer the outer gradients of the utterances that it names, in that order.

    `begin`, `take`, `publish` and `notes` belong to one thread, that which trains.
    """

    def begin(self, order: Sequence[Request]) -> None:
        """The utterances in the order in which they will be taken; what was asked for before and not taken is dropped.

        Work begins at once, at most `queue_utterances` ahead; `publish` comes before.
        """

    def take(self, utterance: str) -> UtteranceOuter:
        """The next of that order; waits until it is there.

        Raises:
            AsrtoolError: too many utterances failed, or a process died too often over the same ones.
        """

    def publish(self, model: nn.Module, step: int) -> None:
        """The trainer's parameters after `step` steps. To be called after every step: the source chooses which it copies."""

    def notes(self) -> dict[str, float]:
        """Figures since the last call, see `notes.SourceNotes`."""

    def close(self) -> None:
        """Ends all processes and threads; may be called twice."""


def window_gradient(gradient: FramePosteriors, options: InputOptions, shift: int = 0) -> FramePosteriors:
    """The gradient on the network's outputs, by window: the sum over the 10 ms frames that each window stands for.

    Args:
        gradient: `Outer.gradient`, by frame.
    Returns:
        Of K = num_windows(T, options, shift) windows. The output at position p of the network (label delay included) answers
        for window p - options.label_delay.
    """
    windows = num_windows(gradient.num_frames, options, shift)
    return merge_pairs((gradient.frame + shift) // options.stride, gradient.label, gradient.weight, windows)


def dense_gradient(gradient: FramePosteriors, num_pdfs: int) -> np.ndarray:
    """float32 [K, num_pdfs] of what `window_gradient` gives."""
    dense = np.zeros((gradient.num_frames, num_pdfs), np.float32)
    dense[gradient.frame, gradient.label] = gradient.weight
    return dense
