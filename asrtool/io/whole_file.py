"""Files as bytes, gzipped or not."""

import gzip
import mmap
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import atomic_path


@contextmanager
def opened(path: str | Path) -> Iterator[BinaryIO]:
    """A file to read bytes from, unpacked when gzipped.

    Raises:
        AsrtoolError: no such file, or (where it is read too) a damaged .gz file.
    """
    try:
        with open(path, "rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            yield gzip.GzipFile(fileobj=raw) if packed else raw
    except (FileNotFoundError, NotADirectoryError):
        raise AsrtoolError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise AsrtoolError(f"{path}: is a folder, expected a file") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise AsrtoolError(f"{path}: damaged .gz file ({error}); make it again") from None


def read_bytes(path: str | Path) -> bytes | mmap.mmap:
    """A file's content, unpacked when gzipped; plain files are mapped into memory and not copied.

    Raises:
        AsrtoolError: no such file, or a damaged .gz file.
    """
    with opened(path) as file:
        if isinstance(file, gzip.GzipFile):
            return file.read()
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if file.seek(0, 2) else b""


def write_bytes(path: str | Path, data: bytes) -> None:
    """Writes a file whole or not at all; a .gz gets no time stamp, so that the same content gives the same bytes."""
    if str(path).endswith(".gz"):
        data = gzip.compress(data, compresslevel=6, mtime=0)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
