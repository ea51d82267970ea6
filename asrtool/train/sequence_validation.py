"""How models are measured in sequence training: by frames, by the sequence criterion, and by word errors."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from asrtool.criterion.sequence import SequenceOptions
from asrtool.errors import AsrtoolError
from asrtool.sequence.held_out import SequenceSums, WordErrors
from asrtool.train.sequence_loss import loss_per_frame
from asrtool.train.validation import Events, FrameValidation, Measured

if TYPE_CHECKING:
    from asrtool.train.parts import Parts

Measure = Callable[[nn.Module, int, int], Any]
"""(model, index, count) -> SequenceSums or WordErrors of the part of number `index` of `count` workers."""


class SequenceValidation(FrameValidation):
    """Adds to the "valid" records

        sequence_loss: of the held-out utterances, a frame; sequence_utterances: how many gave one, sequence_failed: how many did
            not; missing_numerator: whose numerator was no path of the lattice; silence_share: of the denominator's posterior;
            depth: arcs of a lattice that cross a frame;
        wer (a fraction), insertions, deletions, substitutions, words; wer_failed: utterances without a hypothesis.

    The epoch that is kept of each model is that with its lowest word error rate, else sequence loss, else frame error rate.

    Args:
        options: of the criterion.
        objective: gives SequenceSums; None: not measured.
        words: gives WordErrors; None: not measured.
        all_models: word errors of MA and EMA too.
        patience: see HeldOutConfig.
    """

    from_start = True

    def __init__(
        self,
        options: SequenceOptions,
        objective: Measure | None,
        words: Measure | None,
        all_models: bool = True,
        patience: int = 0,
    ) -> None:
        self.options = options
        self.objective = objective
        self.words = words
        self.all_models = all_models
        self.patience = patience
        self.last_wer: float | None = None
        self.rises = 0

    def measure(self, parts: "Parts", name: str) -> Measured:
        found = super().measure(parts, name)
        if self.objective is not None:
            sums = SequenceSums(*_of_all(self.objective, parts))
            if not sums.utterances:
                raise AsrtoolError("none of the held-out utterances gave a sequence objective; the warnings before say why")
            found.loss = found.score = loss_per_frame(self.options, sums.objective, sums.frames)
            found.more |= {
                "sequence_loss": round(found.loss, 6),
                "sequence_utterances": int(sums.utterances),
                "sequence_failed": int(sums.failed),
                "missing_numerator": int(sums.missing_numerator),
                "silence_share": round(sums.silence_frames / sums.frames, 6),
                "depth": round(sums.crossing / sums.frames, 4),
            }
            found.shown += f" sequence loss {found.loss:.4f}"
        if self.words is not None and (self.all_models or name == parts.algorithm.name):
            errors = WordErrors(*_of_all(self.words, parts))
            counts = ("insertions", "deletions", "substitutions", "words")
            found.more |= {"wer": round(errors.rate, 6), **{name: int(getattr(errors, name)) for name in counts}}
            found.more["wer_failed"] = int(errors.failed)
            found.score = errors.rate
            found.shown += f" WER {100 * errors.rate:.2f} % ({int(errors.insertions)} insertions)"
        return found

    def show_score(self, score: float) -> str:
        if self.words is not None:
            return f"WER {100 * score:.2f} %" if self.all_models else f"WER or sequence loss {score:.4f}"
        return super().show_score(score) if self.objective is None else f"sequence loss {score:.4f}"

    def after_epoch(self, parts: "Parts", measured: dict[str, Measured], accepted: bool) -> Events:
        """Counts how often the word error rate of the global model has risen; an epoch that newbob rejects does not count."""
        name, found = next(iter(measured.items()))
        if "wer" not in found.more or not accepted:
            return ()
        wer, before, self.last_wer = found.score, self.last_wer, found.score
        self.rises = self.rises + 1 if before is not None and wer > before else 0
        if not self.patience or self.rises < self.patience or parts.schedule.stopped:
            return ()
        parts.schedule.stopped = True
        times = "once" if self.rises == 1 else f"{self.rises} times in a row"
        return (("stopped", f"finished: the word error rate of {name} has risen {times}, to {100 * wer:.2f} %"),)

    def state_dict(self) -> dict[str, Any]:
        return {"last_wer": self.last_wer, "rises": self.rises}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.last_wer, self.rises = state["last_wer"], state["rises"]


def _of_all(measure: Measure, parts: "Parts") -> list[float]:
    """The sums of all workers."""
    comm, model = parts.comm, parts.evaluation_model
    alive = list(comm.alive)
    model.eval()
    totals = torch.tensor(measure(model, alive.index(comm.rank), len(alive)).values(), dtype=torch.float64, device=parts.device)
    comm.all_reduce_(totals)
    return totals.tolist()
