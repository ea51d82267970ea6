"""Where a model comes from: command, versions, seed and commit of a run, as EXP/run.json."""

import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asrtool import __version__
from asrtool.io.atomic_file import write_text


def commit() -> str | None:
    """The git commit of the toolkit, "-dirty" added when files differ from it; None outside a git repository."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def write_record(path: Path, seed: int, **more: Any) -> None:
    """Writes the record of this run."""
    record = {
        "command": sys.argv,
        "commit": commit(),
        "seed": seed,
        "versions": {
            "asrtool": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        "machine": platform.platform(),
        "threads": torch.get_num_threads(),
        **more,
    }
    write_text(path, json.dumps(record, indent=1) + "\n")
