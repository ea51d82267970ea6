"""Fixtures that all kinds of tests share."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


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
