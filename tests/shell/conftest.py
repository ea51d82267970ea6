"""Fixtures of the shell tests."""

import sys
from pathlib import Path

import pytest


@pytest.fixture
def recipe(tmp_path, repository) -> Path:
    """A recipe directory with the steps and a path.sh that installs nothing."""
    for name in ("steps", "utils"):
        (tmp_path / name).symlink_to(repository / name)
    (tmp_path / "path.sh").write_text(f"export PATH={Path(sys.executable).parent}:$PATH LC_ALL=C.UTF-8\n")
    return tmp_path
