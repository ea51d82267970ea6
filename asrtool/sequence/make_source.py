"""The source of outer gradients that the settings ask for."""

import torch

from asrtool.criterion.sequence import SequenceOptions
from asrtool.sequence.inline_source import InlineSource
from asrtool.sequence.load_module import load_module
from asrtool.sequence.options import SpeechOptions, SpeechPaths
from asrtool.sequence.outer_source import OuterSource
from asrtool.sequence.process_source import ProcessSource


def make_source(
    options: SpeechOptions, paths: SpeechPaths, criterion_options: SequenceOptions, device: str | torch.device = "cpu"
) -> OuterSource:
    """One for each trainer.

    Args:
        device: of the forward pass where the trainer does it itself (num_processes 0); processes work on the CPU.

    Raises:
        AsrtoolError: files that are missing, damaged or do not fit each other.
    """
    if options.num_processes == 0:
        return InlineSource(load_module(options, paths, criterion_options, device))
    return ProcessSource(options, paths, criterion_options)
