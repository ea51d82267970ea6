"""Files of a training that cannot be written: one line that names the file and the mend."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from asrtool.errors import AsrtoolError


def reason(error: BaseException) -> str:
    """Why a file could not be written. torch's archive writer hides the cause, or keeps it as the context of its own error."""
    for cause in (error, error.__cause__, error.__context__):
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return "the disk is full, or the file too large for the limits of this process"


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Turns what goes wrong while `path` is written into an AsrtoolError."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "unexpected pos" not in str(error) and "iostream" not in str(error):
            raise  # not torch's archive writer: a bug
        raise AsrtoolError(
            f"{path}: cannot be written ({reason(error)}); make space there, then start again: training goes on from the last "
            "checkpoint"
        ) from error


def sync_folder(folder: Path) -> None:
    """Waits until the names in a folder are on the disk, where the file system can do that."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
