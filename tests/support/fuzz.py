"""Reads damaged files by the hundred: each must read, or be refused with one line that names the file.

Anything else is a failure: another exception, a warning, more than LIMIT_S seconds of processor time or MEMORY bytes.
"""

import contextlib
import os
import re
import resource
import signal
import traceback
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from mutate import mutated

from asrtool.errors import AsrtoolError

LIMIT_S = 4.0
MEMORY = 512 << 20


@dataclass(frozen=True)
class Target:
    """A kind of file.

    Attributes:
        name: of the kind.
        seeds: sound files of the kind.
        read: reads the file at a path, and uses what it read.
        file: the file's name, with the suffix that the reader looks at.
        beside: sound files that must stand in the same folder.
        names: what a refusal may have instead of the file's path; {folder} is its folder (a file that does not agree with it).
        forbidden: bytes that never stand in a damaged file ("|" would be run by the shell).
    """

    name: str
    seeds: tuple[bytes, ...]
    read: Callable[[Path], object]
    file: str = "damaged"
    beside: dict[str, bytes] = field(default_factory=dict)
    names: str = "{folder}/damaged"
    forbidden: bytes = b""


@dataclass
class Outcome:
    """How many damaged files were read and how many were refused; failures: (input's number, what happened, its bytes)."""

    read: int = 0
    refused: int = 0
    failures: list[tuple[int, str, bytes]] = field(default_factory=list)
    messages: set[str] = field(default_factory=set)


class TooSlowError(BaseException):
    """Not an Exception, lest a reader catch it."""


def _too_slow(*_) -> None:
    raise TooSlowError(f"more than {LIMIT_S} s")


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Limits memory to what the process has and MEMORY more, and makes warnings errors."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = pages * resource.getpagesize() + MEMORY
    before = signal.signal(signal.SIGVTALRM, _too_slow)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
        with warnings.catch_warnings(), open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
            warnings.simplefilter("error")
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGVTALRM, before)


def fuzz(
    target: Target, num_inputs: int, directory: Path, first: int = 0, started: Callable[[int], None] = lambda _: None
) -> Outcome:
    """Reads `num_inputs` damaged files; input n is the same in every run.

    Args:
        started: told the number of each input before it is read.
    """
    path = directory / target.file
    for name, data in target.beside.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(data)
    for data in target.seeds:  # sound files must read; this compiles kernels too, before memory is limited
        path.write_bytes(data)
        target.read(path)
    outcome = Outcome()
    with guarded():
        for number in range(first, first + num_inputs):
            started(number)
            data = damaged(target, number)
            path.write_bytes(data)
            said = _reads(target, path)
            if said is None:
                outcome.read += 1
            elif not said.startswith("FAILED"):
                outcome.refused += 1
                outcome.messages.add(re.sub(r"[0-9]+", "0", said))
            else:
                outcome.failures.append((number, said, data))
    path.unlink()
    return outcome


def damaged(target: Target, number: int) -> bytes:
    """The bytes of input `number`."""
    random = Random(zlib.crc32(target.name.encode()) << 32 | number)
    data = mutated(random.choice(target.seeds), random, random.choice(target.seeds))
    return data.translate(None, target.forbidden) if target.forbidden else data


def _reads(target: Target, path: Path) -> str | None:
    """None where the file reads, the refusal where it is refused, else "FAILED" and why."""
    signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT_S)
    try:
        target.read(path)
    except AsrtoolError as error:
        message = str(error)
        if not any(name in message for name in (str(path), target.names.format(folder=path.parent))):
            return f"FAILED: the refusal does not name the file: {message}"
        if len(re.findall(r"[\n\r\0]", message)) or len(message) > 1000:
            return f"FAILED: the refusal is not one short line: {message[:3000]!r}"
        return message
    except (Exception, TooSlowError) as error:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if "asrtool" in frame.filename] or frames
        where = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(ours[-3:]))
        return f"FAILED: {type(error).__name__}: {str(error)[:200]} at {where}"
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    return None
