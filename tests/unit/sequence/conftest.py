"""The tiny speech task, made once, and modules over it."""

from dataclasses import replace

import pytest
import torch
from speech_toy import make_speech_toy

from asrtool.criterion.sequence import SequenceOptions
from asrtool.sequence.load_module import load_module
from asrtool.sequence.options import SpeechOptions


@pytest.fixture(scope="session")
def speech_toy(tmp_path_factory):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield make_speech_toy(tmp_path_factory.mktemp("speech") / "toy")
    torch.set_num_threads(before)


@pytest.fixture
def make_module(speech_toy):
    """make_module(criterion, paths={...}, **SpeechOptions): a speech module of the task's files."""

    def make(criterion="smbr", paths=None, **options):
        usual = SpeechOptions(min_counted=1000)
        return load_module(replace(usual, **options), speech_toy.paths(**(paths or {})), SequenceOptions(criterion))

    return make
