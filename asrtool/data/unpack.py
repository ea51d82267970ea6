"""Unpacking of archives, whole or not at all: into a temporary folder, then renamed into place."""

import errno
import lzma
import os
import shutil
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

from asrtool.errors import AsrtoolError
from asrtool.io.progress import Meter, size


def unpack(archive: Path, directory: Path, provides: str | None = None) -> None:
    """Unpacks a .tar (.gz, .bz2, .xz) or .zip into `directory`; folders that are there already are merged.

    Args:
        provides: a path that must be in the archive; it appears in `directory` last of all.

    Raises:
        AsrtoolError: the archive is damaged, lacks `provides`, or there is no room. `directory` is then as it was.
    """
    temporary = directory / f".{archive.name}.unpacking"
    shutil.rmtree(temporary, ignore_errors=True)
    print(f"{archive}: unpacking to {directory}", file=sys.stderr)
    try:
        temporary.mkdir(parents=True)
        _extract(archive, temporary)
        if provides is not None and not (temporary / provides).exists():
            raise AsrtoolError(f"{archive}: holds no {provides}; is it the right archive?")
        _merge(temporary, directory, temporary / provides if provides else None)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise AsrtoolError(
                f"{directory}: {error.strerror} while {archive.name} was unpacked; make room and start again"
            ) from None
        if error.errno is not None:
            raise
        raise _damaged(archive, error) from None
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError) as error:
        raise _damaged(archive, error) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _damaged(archive: Path, error: Exception) -> AsrtoolError:
    why = str(error).partition("\n")[0]
    return AsrtoolError(f"{archive}: cannot be unpacked ({why}); is it complete? remove it and start again")


def _extract(archive: Path, directory: Path) -> None:
    meter = Meter(archive.stat().st_size, f"unpacking {archive.name}", unit=size)
    with open(archive, "rb") as file:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as packed:
                for entry in packed.infolist():
                    packed.extract(entry, directory)
                    meter.show(file.tell())
        else:
            file.seek(0)
            with tarfile.open(fileobj=file, mode="r:*") as tar:
                for member in tar:
                    tar.extract(member, directory, filter="data")
                    tar.members = []  # else it keeps a record of every member
                    meter.show(file.tell())
    meter.clear()


def _merge(source: Path, destination: Path, last: Path | None) -> None:
    """Moves what is in `source` to `destination`; `last`, or the folder that holds it, goes last."""
    entries = sorted(source.iterdir(), key=lambda entry: last is not None and last.is_relative_to(entry))
    for entry in entries:
        target = destination / entry.name
        if entry.is_dir() and not entry.is_symlink() and target.is_dir():
            _merge(entry, target, last)
        else:
            os.replace(entry, target)
