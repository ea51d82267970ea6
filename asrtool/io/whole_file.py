"""Whole files, and streams of bytes or text, gzipped or not."""

import gzip
import io
import mmap
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import atomic_path

_GZIP = b"\x1f\x8b"


@contextmanager
def opened(path: str | Path, missing: str = "no such file") -> Iterator[BinaryIO]:
    """A file to read bytes from, unpacked when gzipped.

    Args:
        missing: what an error says of a file that is not there.

    Raises:
        AsrtoolError: no such file, or (where it is read too) a damaged .gz file.
    """
    with ExitStack() as stack:
        try:
            raw = stack.enter_context(open(path, "rb"))
        except (OSError, ValueError) as error:
            raise cannot_open(path, error, missing) from None
        try:
            yield gzip.GzipFile(fileobj=raw) if raw.peek(2)[:2] == _GZIP else raw
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise AsrtoolError(f"{path}: damaged .gz file ({error}); make it again") from None


def cannot_open(path: str | Path, error: OSError | ValueError, missing: str = "no such file") -> AsrtoolError:
    """What to say of a file that cannot be opened; ValueError: a zero byte in its name."""
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return AsrtoolError(f"{path}: {missing}")
    if isinstance(error, IsADirectoryError):
        return AsrtoolError(f"{path}: is a folder, expected a file")
    return AsrtoolError(f"{path}: cannot be opened: {getattr(error, 'strerror', None) or error}")


def is_gzipped(path: str | Path) -> bool:
    """Whether a file's content, not its name, is that of a .gz."""
    with open(path, "rb") as file:
        return file.read(2) == _GZIP


@contextmanager
def opened_to_write(path: str | Path, level: int) -> Iterator[BinaryIO]:
    """A file to write bytes to, which appears whole or not at all, packed if its name ends in .gz.

    A .gz gets no time stamp and no name, so that the same content gives the same bytes.

    Args:
        level: of the packing, 1 (fast) to 9 (small).
    """
    with atomic_path(path) as temporary, open(temporary, "wb") as raw:
        if str(path).endswith(".gz"):
            with gzip.GzipFile(filename="", mode="wb", compresslevel=level, fileobj=raw, mtime=0) as packed:
                yield packed
        else:
            yield raw


@contextmanager
def text_to_write(path: str | Path, level: int = 9) -> Iterator[TextIO]:
    """As `opened_to_write`, for text: UTF-8 with Unix line ends."""
    with opened_to_write(path, level) as file, io.TextIOWrapper(file, encoding="utf-8", newline="\n") as text:
        yield text


def read_bytes(path: str | Path) -> bytes | mmap.mmap:
    """A file's content, unpacked when gzipped; plain files are mapped into memory and not copied.

    Raises:
        AsrtoolError: no such file, or a damaged .gz file.
    """
    with opened(path) as file:
        if isinstance(file, gzip.GzipFile):
            return file.read()
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if file.seek(0, 2) else b""


def read_text(path: str | Path, missing: str = "no such file", encoding: str = "utf-8") -> str:
    """A text file's content, with Unix line ends.

    Args:
        missing: what an error says of a file that is not there.
        encoding: utf-8, or utf-8-sig to pass over a byte order mark.

    Raises:
        AsrtoolError: no such file, or not UTF-8.
    """
    try:
        return Path(path).read_text(encoding=encoding)
    except UnicodeDecodeError as error:
        raise AsrtoolError(f"{path}: not UTF-8 at byte {error.start}; convert it") from None
    except (OSError, ValueError) as error:
        raise cannot_open(path, error, missing) from None


def text_lines(path: str | Path) -> Iterator[str]:
    """The lines of a text file, one after the other; raises as `read_text`."""
    try:
        file = open(path, encoding="utf-8")  # noqa: SIM115 - closed below
    except (OSError, ValueError) as error:
        raise cannot_open(path, error) from None
    with file:
        try:
            yield from file
        except UnicodeDecodeError:
            read_text(path)  # names the byte
            raise
        except OSError as error:
            raise cannot_open(path, error) from None


def write_bytes(path: str | Path, data: bytes) -> None:
    """Writes a file whole or not at all; a .gz gets no time stamp, so that the same content gives the same bytes."""
    if str(path).endswith(".gz"):
        data = gzip.compress(data, compresslevel=6, mtime=0)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
