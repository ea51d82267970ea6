"""A process beside the trainer that makes outer gradients: started by `worker_pool`, whose work it does until that is gone."""

import os
import signal
import threading
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np
import torch

from asrtool.criterion.sequence import SequenceOptions
from asrtool.errors import AsrtoolError
from asrtool.sequence.load_module import load_module
from asrtool.sequence.module import SpeechModule
from asrtool.sequence.numerators import check_numerator
from asrtool.sequence.options import SpeechOptions, SpeechPaths
from asrtool.sequence.outer_source import Request
from asrtool.sequence.shared_parameters import NOTHING, SharedParameters

READY, DONE, WRONG, BUG = "ready", "done", "wrong", "bug"
"""Messages to the trainer are (kind, what): READY None; DONE (ticket, [UtteranceOuter]); WRONG one line; BUG a traceback."""


@dataclass
class Setup:
    """What a process is told at its start. num_elements: of the shared parameters."""

    options: SpeechOptions
    paths: SpeechPaths
    criterion_options: SequenceOptions
    num_elements: int


@dataclass
class Work:
    """A batch of utterances; numerators: their alignments where the trainer has them (options.numerator "alignment")."""

    ticket: int
    requests: list[Request]
    numerators: list[np.ndarray | None] | None


class GivenNumerators:
    """Numerators that came with the utterances."""

    def __init__(self) -> None:
        self.by_name: dict[str, np.ndarray | None] = {}
        self.num_transition_ids = 0

    def __call__(self, utterance: str, loglikes: np.ndarray) -> np.ndarray:
        return check_numerator(self.by_name[utterance], len(loglikes), self.num_transition_ids)


def main(descriptors: list[str]) -> None:
    """Takes the numbers of open descriptors: the connection, the trainer's life line, the shared parameters."""
    talk, life, memory = map(int, descriptors)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the trainer, which then closes the line
    threading.Thread(target=_end_with_trainer, args=(life,), daemon=True).start()
    torch.set_num_threads(1)
    with Connection(talk) as line:
        try:
            _serve(line, memory)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return
        except AsrtoolError as error:
            line.send((WRONG, str(error)))
        except BaseException:
            line.send((BUG, traceback.format_exc()))
            raise


def _end_with_trainer(life: int) -> None:
    """The trainer never writes: reading ends when it has closed the line, or is dead."""
    os.read(life, 1)
    os._exit(0)


def _serve(line: Connection, memory: int) -> None:
    setup: Setup = line.recv()
    given = GivenNumerators() if setup.options.numerator == "alignment" else None
    module = load_module(setup.options, setup.paths, setup.criterion_options, numerators=given)
    if given is not None:
        given.num_transition_ids = module.tables.num_transition_ids
    if module.layout.num_elements != setup.num_elements:
        raise AsrtoolError(f"{setup.paths.model}: the file changed; start the training again")
    shared = SharedParameters(setup.num_elements, memory)
    flat = torch.zeros(setup.num_elements)
    line.send((READY, None))
    while True:
        work: Work = line.recv()
        if given is not None:
            given.by_name = dict(zip([name for name, _ in work.requests], work.numerators, strict=True))
        _fetch(module, shared, flat)
        line.send((DONE, (work.ticket, module.outer_gradients(work.requests))))


def _fetch(module: SpeechModule, shared: SharedParameters, flat: torch.Tensor) -> None:
    version = shared.read(flat)
    if version == NOTHING:
        raise ValueError("work came before parameters")
    module.set_parameters(flat, version)
