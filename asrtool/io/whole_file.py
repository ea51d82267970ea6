"""Whole files as bytes, gzipped or not."""

import gzip
import mmap
import zlib
from pathlib import Path

from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import atomic_path


def read_bytes(path: str | Path) -> bytes | mmap.mmap:
    """A file's content, unpacked when gzipped; plain files are mapped into memory and not copied.

    Raises:
        AsrtoolError: no such file, or a damaged .gz file.
    """
    try:
        with open(path, "rb") as file:
            if file.read(2) == b"\x1f\x8b":
                file.seek(0)
                with gzip.open(file) as unpacked:
                    return unpacked.read()
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if file.seek(0, 2) else b""
    except (FileNotFoundError, NotADirectoryError):
        raise AsrtoolError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise AsrtoolError(f"{path}: is a folder, expected a file") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise AsrtoolError(f"{path}: damaged .gz file ({error}); make it again") from None


def write_bytes(path: str | Path, data: bytes) -> None:
    """Writes a file whole or not at all; a .gz gets no time stamp, so that the same content gives the same bytes."""
    if str(path).endswith(".gz"):
        data = gzip.compress(data, compresslevel=6, mtime=0)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
