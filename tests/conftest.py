"""Fixtures that all kinds of tests share."""

import os
import sys
from pathlib import Path

import pytest
import torch

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "tests" / "support"))  # modules that tests of several folders import


def shared_path(*parts: str) -> Path:
    """A reference file or folder outside the repository: skipped where absent, a failure under CI=true."""
    path = Path(os.environ.get("ASRTOOL_SHARED", REPOSITORY.parent / "shared")).joinpath(*parts)
    if not path.exists():
        message = f"{path} is absent: set ASRTOOL_SHARED to the folder that holds the reference files"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def kaldi_reference() -> Path:
    """The folder of files that Kaldi wrote."""
    return shared_path("kaldi")


@pytest.fixture(scope="session")
def speech_data() -> Path:
    """The folder of compressed corpora with unpack.py."""
    return shared_path("data")


@pytest.fixture
def one_thread():
    """Tiny operations on several threads of a busy machine only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
