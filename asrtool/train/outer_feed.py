"""Outer gradients on their way from the speech module into minibatches.

They are asked for as late as possible, in the training thread: just before the first minibatch that holds a window of the
utterance (Sak 2014, Figures 2 and 3: the whole utterance's outer gradient, then its subsequences). An utterance that the streams
cut in two is asked for twice.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn

from asrtool.criterion.sequence import Outer
from asrtool.lattice.posteriors import FramePosteriors
from asrtool.loader.batch import IGNORED, Batch, OuterRows
from asrtool.nnet.input import InputOptions
from asrtool.sequence.failures import KINDS
from asrtool.sequence.notes import ALWAYS
from asrtool.sequence.outer_source import OuterSource, UtteranceOuter, window_gradient

NOTES = (
    *ALWAYS,
    *("lattice_staleness_mean", "lattice_staleness_max", "depth_mean", "silence_share_mean", "queue_mean"),
    *("skipped_targets", "outer_age_mean", "outer_age_max"),
    *(f"failed_{kind}" for kind in KINDS),
)
"""The figures in the "train" records: those of sequence/notes.py, and

skipped_targets: left out of minibatches because their utterance gave no outer gradient;
outer_age_mean, _max: steps from the parameters of an outer gradient to the minibatch that uses it: an utterance's later windows
come some steps after its first one.
"""


@runtime_checkable
class KeepsAhead(Protocol):
    """A source that can say, without waiting, which results it has made ahead, and take them back."""

    def ahead(self) -> Sequence[UtteranceOuter]:
        """What was made and not taken."""

    def take_over(self, results: Sequence[UtteranceOuter]) -> None:
        """After `begin`: the first of that order are there already."""


@dataclass
class Held:
    """The outer gradient of the utterance that a column of the minibatches is in.

    Attributes:
        name, shift: of the utterance.
        begin_K1, pdf_N, value_N: pairs of its K windows, window k having begin_K1[k]:begin_K1[k + 1]; the mean over the
            window's frames. None: it was skipped.
        loss: of each target.
        version: the trainer's step whose parameters were used.
    """

    name: str
    shift: int
    version: int
    begin_K1: np.ndarray | None = None
    pdf_N: np.ndarray | None = None
    value_N: np.ndarray | None = None
    loss: float = 0.0

    def state_dict(self) -> dict[str, Any]:
        arrays = {name: getattr(self, name) for name in ("begin_K1", "pdf_N", "value_N")}
        tensors = {name: None if array is None else torch.from_numpy(array) for name, array in arrays.items()}
        return {"name": self.name, "shift": self.shift, "version": self.version, "loss": self.loss, **tensors}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Held":
        arrays = {name: value.numpy() if isinstance(value, torch.Tensor) else value for name, value in state.items()}
        return cls(**arrays)


class OuterFeed:
    """Keeps the outer gradients of the utterances under way in a worker, and the count of its steps.

    What it holds goes into checkpoints: a training that goes on takes the same outer gradients where it was interrupted. So do
    the results that a KeepsAhead source has made ahead; those of others are made again, with the checkpoint's parameters.

    Args:
        loss_per_frame: (objective, frames) of an utterance -> what is recorded as its loss.
        pin: put what goes into minibatches into page-locked memory, for a GPU.
    """

    def __init__(
        self,
        source: OuterSource,
        model: nn.Module,
        options: InputOptions,
        loss_per_frame: Callable[[float, float], float],
        pin: bool = False,
    ) -> None:
        self.source = source
        self.model = model
        self.options = options
        self.loss_per_frame = loss_per_frame
        self.pin = pin
        self.held: list[Held | None] = []
        self.steps = 0
        self._in_step = False
        self._skipped_targets = 0
        self._ages: list[int] = []
        self._ahead: list[UtteranceOuter] = []

    def begin(self, beginnings: Iterator[tuple[str, int, bool]], going_on: bool) -> None:
        """Asks for the utterances of an epoch, or of what is left of one; those that are held need not be asked for."""
        held, order = self.held if going_on else [], []
        for column, (name, shift, begins) in enumerate(beginnings):  # those of the first batch come first
            known = held[column] if column < len(held) and not begins else None
            if known is not None and (known.name, known.shift) == (name, shift):
                continue
            order.append((name, shift))
            if column < len(held):
                held[column] = None
        self.held = held
        self.source.publish(self.model, self.steps)
        self.source.begin(order)
        ahead, self._ahead = self._ahead if going_on else [], []
        fits = [(result.name, result.shift) for result in ahead] == order[: len(ahead)]
        if ahead and fits and isinstance(self.source, KeepsAhead):
            self.source.take_over(ahead)

    def attach(self, batch: Batch) -> Batch:
        """Takes what the batch needs, and puts it in."""
        held, names, shifts = self.held, batch.utterances, batch.shift_B.tolist()
        held += [None] * (len(names) - len(held))
        for column, begins in enumerate(batch.reset_B.tolist()):
            known = held[column]
            if begins or known is None or (known.name, known.shift) != (names[column], shifts[column]):
                held[column] = self._take(names[column], shifts[column])
        del held[len(names) :]
        batch.outer = self._rows(batch)
        self._in_step = True
        return batch

    def _rows(self, batch: Batch) -> OuterRows:
        """What the columns hold of the batch's windows."""
        num_positions, rows, pdfs, values, loss = batch.target_BT.shape[1], [], [], [], 0.0
        for column, outer in enumerate(self.held):
            first = int(batch.begin_B[column]) - self.options.label_delay
            if outer.begin_K1 is None:
                self._skip(batch, column)
                continue
            begin, end = (min(max(window, 0), len(outer.begin_K1) - 1) for window in (first, first + num_positions))
            pairs = slice(outer.begin_K1[begin], outer.begin_K1[end])
            counts = np.diff(outer.begin_K1[begin : end + 1])
            rows.append(np.repeat((np.arange(begin, end) - first) * len(self.held) + column, counts))
            pdfs.append(outer.pdf_N[pairs])
            values.append(outer.value_N[pairs])
            loss += outer.loss * (end - begin)
            self._ages.append(self.steps - outer.version)
        tensors = (_joined(part, dtype) for part, dtype in ((rows, np.int64), (pdfs, np.int64), (values, np.float32)))
        return OuterRows(*(tensor.pin_memory() if self.pin else tensor for tensor in tensors), loss)

    def stepped(self) -> None:
        """The trainer has taken a step, and the parallel algorithm has done its part."""
        self.steps, self._in_step = self.steps + 1, False
        self.source.publish(self.model, self.steps)

    def notes(self) -> dict[str, float]:
        """Figures since the last call."""
        skipped, self._skipped_targets = self._skipped_targets, 0
        ages, self._ages = self._ages, []
        age = {"outer_age_mean": sum(ages) / len(ages), "outer_age_max": float(max(ages))} if ages else {}
        return {**self.source.notes(), "skipped_targets": float(skipped), **age}

    def _take(self, name: str, shift: int) -> Held:
        result = self.source.take(name)
        outer = result.outer
        if outer is None:
            return Held(name, shift, result.version)
        windows = window_gradient(outer.gradient, self.options, shift)
        values = windows.weight / np.float32(self.options.stride)
        loss = self.loss_per_frame(outer.objective, outer.num_frames)
        return Held(name, shift, result.version, windows.frame_begin, windows.label, values, loss)

    def _skip(self, batch: Batch, column: int) -> None:
        """Takes the targets of a column away: neither cross-entropy nor the records know of them."""
        target_T = batch.target_BT[column]
        count = int((target_T != IGNORED).sum())
        target_T.fill_(IGNORED)
        batch.num_targets -= count
        self._skipped_targets += count

    def state_dict(self) -> dict[str, Any]:
        # saved within a step, at the synchronisation at its end
        held = [None if held is None else held.state_dict() for held in self.held]
        ahead = [packed(result) for result in self.source.ahead()] if isinstance(self.source, KeepsAhead) else []
        return {"steps": self.steps + self._in_step, "held": held, "ahead": ahead}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps, self._in_step = state["steps"], False
        self.held = [None if held is None else Held.from_state(held) for held in state["held"]]
        self._ahead = [unpacked(result) for result in state["ahead"]]


def _joined(parts: list[np.ndarray], dtype: type) -> torch.Tensor:
    return torch.from_numpy(np.concatenate(parts).astype(dtype, copy=False) if parts else np.zeros(0, dtype))


def packed(result: UtteranceOuter) -> dict[str, Any]:
    """In plain containers and tensors."""
    return _plain(dataclasses.asdict(result))


def unpacked(state: dict[str, Any]) -> UtteranceOuter:
    """The inverse of `packed`."""
    outer = state["outer"]
    if outer is not None:
        gradient = FramePosteriors(**{name: tensor.numpy() for name, tensor in outer["gradient"].items()})
        outer = Outer(**{**outer, "gradient": gradient})
    return UtteranceOuter(**{**state, "outer": outer})


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value)
    return value.item() if isinstance(value, np.generic) else value
