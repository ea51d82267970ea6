"""The speech module inside the trainer: lattices with the parameters of the moment, and nothing at the same time as anything."""

from collections import deque
from collections.abc import Sequence

import torch
from torch import nn

from asrtool.sequence.failures import Failures
from asrtool.sequence.module import SpeechModule
from asrtool.sequence.notes import SourceNotes
from asrtool.sequence.outer_source import Request, UtteranceOuter


class InlineSource:
    """An OuterSource without processes; what it gives depends on the order of the calls alone.

    When an utterance is taken that is not there yet, the next `batch_utterances` of the order are worked on with the parameters
    that the trainer's model has then.
    """

    def __init__(self, module: SpeechModule) -> None:
        self.module, self.options = module, module.options
        self.failures = Failures(self.options)
        self._notes = SourceNotes()
        self._order: deque[Request] = deque()
        self._ready: deque[UtteranceOuter] = deque()
        self._model: nn.Module | None = None
        self._step = 0
        self._flat = torch.zeros(module.layout.num_elements)

    def begin(self, order: Sequence[Request]) -> None:
        if self._model is None:
            raise ValueError("the trainer's parameters are published before it asks for utterances")
        self._order, self._ready = deque(order), deque()

    def publish(self, model: nn.Module, step: int) -> None:
        """The model is looked at when it is needed, and must be the one in training."""
        self._model, self._step = model, step

    def take(self, utterance: str) -> UtteranceOuter:
        if not self._ready:
            requests = [self._order.popleft() for _ in range(min(len(self._order), self.options.batch_utterances))]
            self._ready.extend(self._work(requests))
        if not self._ready or self._ready[0].name != utterance:
            expected = self._ready[0].name if self._ready else "nothing more"
            raise ValueError(f"{utterance} was taken, the order says {expected}")
        result = self._ready.popleft()
        if 0 < self.options.max_staleness < self._step - result.version:
            result = self._work([(result.name, result.shift)])[0]
            self._notes.count("recomputed")
        self._notes.taken(result, self._step - result.version)
        self.failures.judge(result)
        return result

    def notes(self) -> dict[str, float]:
        return self._notes.collect()

    def ahead(self) -> list[UtteranceOuter]:
        """What was made and not taken, for a checkpoint."""
        return list(self._ready)

    def take_over(self, results: Sequence[UtteranceOuter]) -> None:
        """After `begin`, when a training goes on: the results for the first of the order, as `ahead` gave them."""
        self._ready = deque(results)
        for _ in results:
            self._order.popleft()

    def close(self) -> None:
        self.failures.close()
        self.module.close()

    def _work(self, requests: list[Request]) -> list[UtteranceOuter]:
        if not requests:
            return []
        self.module.layout.pack(self._model, self._flat)
        self.module.set_parameters(self._flat, self._step)
        return self.module.outer_gradients(requests)
