"""The experiment directory before a training starts: who may use it, what was left behind, by which settings it was begun."""

import dataclasses
import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from asrtool.errors import AsrtoolError
from asrtool.io.config import load_config, save_config
from asrtool.parallel.protocol import Comm
from asrtool.train.config import TrainConfig
from asrtool.train.disk import writing
from asrtool.train.guard import be_killed_with_parent

WAIT_FOR_LOCK_S = 60.0
LEFT_BEHIND = (".final_*.tmp*", ".config.tmp*", ".run.tmp*", ".done.tmp*", "models/*/.*.tmp*")
FREE_TO_CHANGE = ("checkpoint", "tensorboard")
"""Settings that change nothing about the models. Those of parts that do the same in another way are in PARTS_FREE."""
PARTS_FREE = {"loader": ("prefetch",), "speech": ("num_processes", "queue_utterances", "max_failed", "min_counted", "max_deaths")}


def die_with_launcher() -> None:
    """A worker of torchrun is killed when torchrun is: it would train on, unseen, beside the run that takes its place."""
    if "TORCHELASTIC_RUN_ID" not in os.environ or sys.platform != "linux":
        return
    be_killed_with_parent()
    if os.getppid() == 1:
        raise AsrtoolError("the launcher of this worker has gone; start again")


@contextmanager
def locked(experiment: Path, rank: int) -> Iterator[None]:
    """Worker `rank` of this run is the only one in the directory; waits a while for one that is just ending.

    The lock goes with the process, however it ends.

    Raises:
        AsrtoolError: another training goes on there.
    """
    experiment.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + WAIT_FOR_LOCK_S
    with open(experiment / ".lock", "a") as file:
        while not _lock(file, rank):
            if time.monotonic() > deadline:
                raise AsrtoolError(f"{experiment}: another training goes on in this directory; wait for it or end it")
            time.sleep(0.1)
        yield


def _lock(file: TextIO, rank: int) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, rank)
    except BlockingIOError:
        return False
    return True


def remove_left_behind(experiment: Path) -> None:
    """Deletes the temporary files of a run that was killed while it wrote."""
    for pattern in LEFT_BEHIND:
        for path in experiment.glob(pattern):
            path.unlink(missing_ok=True)


def check_settings(experiment: Path, config: TrainConfig, comm: Comm) -> None:
    """Saves the settings of a new run; those of a run that goes on must be the same where they matter to the models."""
    path = experiment / "config.yaml"
    found = path.is_file()
    comm.barrier()
    if found:
        before, now = (_that_matter(settings) for settings in (load_config(type(config), path), config))
        different = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
        if different:
            shown = ", ".join(f"{key} ({before.get(key)}, now {now.get(key)})" for key in different)
            raise AsrtoolError(f"{path}: this run began with other settings of {shown}; use a new experiment directory or those")
    if comm.rank == 0:
        with writing(path):
            save_config(path, config)


def _that_matter(config: TrainConfig) -> dict[str, Any]:
    """Dotted key -> value of the settings that a run cannot change on its way."""
    settings = {key: value for key, value in dataclasses.asdict(config).items() if key not in FREE_TO_CHANGE}
    for name in settings.keys() & PARTS_FREE.keys():
        settings[name] = {key: value for key, value in settings[name].items() if key not in PARTS_FREE[name]}
    return dict(_flat(settings, ""))


def _flat(settings: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
