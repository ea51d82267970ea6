"""Minibatches whose loss or gradient is not finite, or whose loss is too high: stop, skip, or ask for a rollback.

On the CPU each minibatch is judged at once. On a GPU that would make the processor wait for every single one, so what came out
of the last minibatches is read together, at a synchronisation or after READ_TOGETHER of them; the model is safe meanwhile,
because bad minibatches do not move it (see minibatch.py).
"""

import math
import sys
from typing import NamedTuple

import torch
from torch import Tensor

from asrtool.errors import AsrtoolError
from asrtool.loader.batch import Batch
from asrtool.train.config import TrainConfig
from asrtool.train.position import Position

READ_TOGETHER = 100
NAMES_SHOWN = 20


class RollBack(Exception):
    """All workers go back to the last checkpoint; the text says why."""


class _Outcome(NamedTuple):
    number: int
    batch_frames: int
    targets: int
    utterances: list[str]
    loss: Tensor
    errors: Tensor
    bad: Tensor


class BadLossPolicy:
    """Takes the outcome of every minibatch of a worker; the good ones go into the sums.

    Args:
        position: its sums and counts are kept up to date.
        at_once: read each outcome as it comes.
    Attributes:
        wants_rollback: why this worker asks for a rollback, or "".
        batches_in_epoch: of this worker, for the limit on the share.
    """

    def __init__(self, config: TrainConfig, position: Position, rank: int, at_once: bool) -> None:
        self.config = config
        self.position = position
        self.rank = rank
        self.at_once = at_once
        self.batches_in_epoch = 0
        self.wants_rollback = ""
        self._pending: list[_Outcome] = []
        self._logged: set[str] = set()

    def highest_loss(self, batch: Batch) -> float:
        """The highest summed loss of a good minibatch."""
        return self.config.max_loss * max(batch.num_targets, 1)

    def take(self, batch: Batch, loss: Tensor, errors: Tensor, bad: Tensor) -> None:
        """Books a minibatch: summed loss, number of errors, and whether it is bad (scalar tensors, anywhere).

        Raises:
            AsrtoolError: policy "stop", or too many were skipped; names the utterances.
        """
        number, frames, targets = self.position.batches_done + 1, batch.num_frames, batch.num_targets
        self._pending.append(_Outcome(number, frames, targets, batch.utterances, loss, errors, bad))
        if self.at_once or len(self._pending) >= READ_TOGETHER:
            self.read()

    def read(self) -> None:
        """Judges all minibatches whose outcomes were not read yet."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        losses, errors, bad = (
            torch.stack([getattr(outcome, name) for outcome in pending]).tolist() for name in ("loss", "errors", "bad")
        )
        for outcome, loss, num_errors, is_bad in zip(pending, losses, errors, bad):
            if is_bad:
                self._handle(outcome, loss)
            else:
                self.position.skipped_in_row = 0
                self.position.block.add(outcome.batch_frames, outcome.targets, loss, num_errors)

    def forget(self) -> None:
        """Drops what belongs to a state that is left behind."""
        self._pending, self.wants_rollback = [], ""

    def _handle(self, outcome: _Outcome, loss: float) -> None:
        position, policy = self.position, self.config.bad_loss
        text = self._describe(outcome, loss)
        if policy == "stop":
            raise AsrtoolError(f"{text}; {MEND}")
        if policy == "rollback":
            if not self.wants_rollback:
                self.wants_rollback = text
                print(f"WARNING: rollback wanted: {text}", file=sys.stderr, flush=True)
            return
        position.block.skipped += 1
        position.skipped_in_epoch += 1
        position.skipped_in_row += 1
        position.block.frames += outcome.batch_frames
        names = dict.fromkeys(outcome.utterances)
        if not self._logged.issuperset(names):
            self._logged.update(names)
            print(f"WARNING: skipped: {text}", file=sys.stderr, flush=True)
        limits = self.config.bad_loss_limits
        too_many = max(limits.max_in_row, limits.max_share * self.batches_in_epoch)
        if position.skipped_in_row > limits.max_in_row or position.skipped_in_epoch > too_many:
            counts = f"{position.skipped_in_row} minibatches skipped in a row, {position.skipped_in_epoch} in this epoch"
            raise AsrtoolError(f"{counts}, more than bad_loss_limits allows; {text}; {MEND}")

    def _describe(self, outcome: _Outcome, loss: float) -> str:
        mean = loss / max(outcome.targets, 1)
        names = list(dict.fromkeys(outcome.utterances))
        shown = f"{' '.join(names[:NAMES_SHOWN])}{' ...' if len(names) > NAMES_SHOWN else ''}"
        fine = math.isfinite(mean) and mean <= self.config.max_loss
        what = f"loss {mean:g} a target{', gradient not finite' if fine else ''}"
        place = f"epoch {self.position.epoch + 1}, minibatch {outcome.number}, worker {self.rank}"
        return f"{place}: {what}; utterances {shown}"


MEND = "check their features and alignments, or lower schedule.learning_rate or optimizer.max_gradient_norm"
