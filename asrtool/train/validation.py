"""How models are measured at the end of an epoch: by default frame by frame."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from asrtool.train.evaluate import evaluate
from asrtool.train.metrics import Sums

if TYPE_CHECKING:
    from asrtool.train.parts import Parts

Events = tuple[tuple[str, str], ...]


@dataclass
class Measured:
    """What was found of a model.

    Attributes:
        sums: loss and errors, frame by frame.
        loss: what newbob goes by.
        score: the lower, the better: decides which epoch's model is kept.
        more: further entries of the "valid" record.
        shown: for people.
    """

    sums: Sums
    loss: float
    score: float
    more: dict[str, Any] = field(default_factory=dict)
    shown: str = ""


class Validation(Protocol):
    """All methods are collective, and give the same on all ranks.

    Attributes:
        from_start: measure the model that training starts from too.
    """

    from_start: bool

    def measure(self, parts: "Parts", name: str) -> Measured:
        """Of `parts.evaluation_model`, which holds the weights of the model `name`."""

    def show_score(self, score: float) -> str:
        """A kept model's score for people."""

    def after_epoch(self, parts: "Parts", measured: dict[str, Measured], accepted: bool) -> Events:
        """Told of all models of an epoch (the global one first); may stop the schedule. What happened, as (what, text)."""


class FrameValidation:
    """Frame cross-entropy and frame error rate."""

    from_start = False

    def measure(self, parts: "Parts", name: str) -> Measured:
        sums = evaluate(parts.evaluation_model, parts.valid_loader, parts.comm)
        return Measured(sums, sums.mean_loss, sums.fer, {}, f"loss {sums.mean_loss:.4f} FER {sums.fer:.2f} %")

    def show_score(self, score: float) -> str:
        return f"FER {score:.2f} %"

    def after_epoch(self, parts: "Parts", measured: dict[str, Measured], accepted: bool) -> Events:
        return ()
