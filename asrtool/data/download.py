"""Fetching large files: goes on after a break, tries mirrors, verifies. Unpacking is in asrtool/data/unpack.py.

A file appears under its name when it is whole and its checksum is right; until then it is <name>.part.
"""

import contextlib
import errno
import hashlib
import http.client
import os
import re
import shutil
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from asrtool import __version__
from asrtool.errors import AsrtoolError
from asrtool.io.progress import Meter, size

TIMEOUT_S = 60
CHUNK_BYTES = 1 << 20
LONGEST_WAIT_S = 30.0
_LATER = (408, 425, 429, 500, 502, 503, 504)  # what a server answers that may serve the file later
_HEX_DIGITS = {"md5": 32, "sha256": 64}


class _NotHere(Exception):
    """An address does not serve the file; another may."""


class _Broken(Exception):
    """An address cannot be reached, or the connection broke; trying again may help."""


def file_name(url: str) -> str:
    """The name under which an address is kept: what follows its last slash.

    Raises:
        AsrtoolError: no http, https or file address, or one that ends with a slash.
    """
    parts = urllib.parse.urlsplit(url)
    name = urllib.parse.unquote(parts.path.rpartition("/")[2])
    if parts.scheme not in ("http", "https", "file") or name in ("", ".", ".."):
        raise AsrtoolError(f"{url}: expected http://, https:// or file:// and a file's name at the end")
    return name


def addresses(url: str, mirrors: Sequence[str]) -> list[str]:
    """The address and its mirrors; a mirror stands for everything up to the last slash."""
    last = url.rpartition("/")[2]
    return list(dict.fromkeys([url, *(f"{mirror.rstrip('/')}/{last}" for mirror in mirrors)]))


def parse_checksum(text: str) -> tuple[str, str]:
    """(kind, digits) of "md5:HEX" or "sha256:HEX".

    Raises:
        AsrtoolError: another form.
    """
    kind, _, digits = text.strip().lower().partition(":")
    if kind not in _HEX_DIGITS or not re.fullmatch(f"[0-9a-f]{{{_HEX_DIGITS[kind]}}}", digits):
        raise AsrtoolError(f"--checksum '{text}': expected md5: and 32, or sha256: and 64 hexadecimal digits")
    return kind, digits


def verify(path: Path, checksum: str) -> None:
    """Compares a file with its checksum ("md5:HEX"); a file that is another is set aside as <name>.bad.

    Raises:
        AsrtoolError: it is another.
    """
    kind, expected = parse_checksum(checksum)
    digest = hashlib.new(kind, usedforsecurity=False)
    meter = Meter(path.stat().st_size, f"checksum of {path.name}", unit=size)
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            meter.show(file.tell())
    meter.clear()
    if digest.hexdigest() != expected:
        bad = path.with_name(path.name + ".bad")
        os.replace(path, bad)
        raise AsrtoolError(
            f"{path}: its {kind} is {digest.hexdigest()}, not {expected}; it is set aside as {bad.name}: start again, or give "
            "another address or checksum"
        )
    print(f"{path}: {kind} is right", file=sys.stderr)


def fetch(url: str, directory: Path, mirrors: Sequence[str] = (), tries: int = 4, wait_s: float = 1.0) -> Path:
    """Fetches `url` to a file in `directory`, unless it is there; what an earlier try left in <name>.part is continued.

    Args:
        mirrors: addresses of folders that hold the same file, tried in turn.
        tries: rounds through all addresses without a byte of progress before it gives up.
        wait_s: pause after the first such round; it doubles.

    Raises:
        AsrtoolError: no address serves the file, or there is no room for it.
    """
    path = directory / file_name(url)
    if path.is_file():
        print(f"{path}: is there already", file=sys.stderr)
        return path
    directory.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    sources = dict.fromkeys(addresses(url, mirrors), "")  # address -> what went wrong there last
    in_vain = 0
    while sources:
        before = _length(part)
        for source in list(sources):
            try:
                _fetch_from(source, part)
                os.replace(part, path)
                part.with_name(part.name + ".size").unlink(missing_ok=True)
                return path
            except _NotHere as error:
                if len(sources) == 1:
                    raise AsrtoolError(f"{source}: {error}; give another address, or fetch it by hand to {path}") from None
                print(f"{source}: {error}; the next address", file=sys.stderr)
                del sources[source]
            except _Broken as error:
                sources[source] = str(error)
                print(f"{source}: {error}", file=sys.stderr)
        in_vain = 0 if _length(part) > before else in_vain + 1
        if in_vain >= tries:
            break
        time.sleep(min(wait_s * 2 ** max(in_vain - 1, 0), LONGEST_WAIT_S))
    source, why = next(iter(sources.items()))
    raise AsrtoolError(f"{source}: {why}; start again later, it goes on where it was, or fetch it by hand to {path}")


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _fetch_from(url: str, part: Path) -> None:
    """Makes `part` whole from one address.

    Raises:
        _NotHere, _Broken: see there.
        AsrtoolError: no room.
    """
    known = part.with_name(part.name + ".size")  # of the whole file, as the address said that began it
    have = _length(part)
    with _open(url, have) as (stream, start, total):
        if total is not None and have and known.is_file() and known.read_text() != str(total):
            part.unlink()
            known.unlink()
            raise _Broken(f"the file there has {total} bytes, not those of the file that was begun; starting anew")
        if stream is None:
            return
        if start < have:
            print(f"{url}: the server does not go on in the middle; starting anew", file=sys.stderr)
        if total is not None:
            known.write_text(str(total))
        _check_room(part, total, start)
        print(f"{url} -> {part.parent}" + (f", from {size(start)} on" if start else ""), file=sys.stderr)
        _copy(stream, part, start, total)
    have = _length(part)
    if total is not None and have != total:
        raise _Broken(f"the connection broke after {have} of {total} bytes")


def _check_room(part: Path, total: int | None, start: int) -> None:
    free = shutil.disk_usage(part.parent).free + _length(part) - start
    if total is not None and total - start > free:
        raise AsrtoolError(
            f"{part.parent}: {size(free)} are free, {size(total - start)} are still to come; make room there and start again"
        )


def _copy(stream: BinaryIO, part: Path, start: int, total: int | None) -> None:
    """Appends `stream` to the first `start` bytes of `part`."""
    meter = Meter(total, part.name.removesuffix(".part"), start=start, unit=size)
    try:
        with open(part, "r+b" if start else "wb") as file:
            file.seek(start)
            while True:
                try:
                    chunk = stream.read(CHUNK_BYTES)
                except (OSError, http.client.HTTPException) as error:
                    raise _Broken(f"the connection broke after {file.tell()} bytes ({_reason(error)})") from None
                if not chunk:
                    break
                file.write(chunk)
                meter.show(file.tell())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise AsrtoolError(f"{part}: {error.strerror}; make room there and start again, it goes on where it was") from None
        raise
    finally:
        meter.clear()


@contextlib.contextmanager
def _open(url: str, offset: int):
    """Yields (stream, first byte of the stream, length of the whole or None); the stream is None where nothing is left."""
    with contextlib.ExitStack() as stack:
        yield (_open_file if url.startswith("file:") else _open_http)(url, offset, stack)


def _open_file(url: str, offset: int, stack: contextlib.ExitStack) -> tuple[BinaryIO | None, int, int]:
    path = Path(urllib.request.url2pathname(urllib.parse.urlsplit(url).path))
    try:
        stream = stack.enter_context(path.open("rb"))
    except OSError as error:
        raise _NotHere(f"{error.strerror}") from None
    total = path.stat().st_size
    if offset > total:
        offset = 0
    stream.seek(offset)
    return stream, offset, total


def _open_http(url: str, offset: int, stack: contextlib.ExitStack) -> tuple[BinaryIO | None, int, int | None]:
    headers = {"User-Agent": f"asrtool/{__version__}", "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    try:
        response = stack.enter_context(urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S))
    except urllib.error.HTTPError as error:
        whole = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", "")) if error.code == 416 else None
        if whole and int(whole[1]) == offset:
            return None, offset, offset
        if error.code == 416:  # more is here than there is to fetch, or the server does not say
            return _open_http(url, 0, stack)
        answer = f"the server answers {error.code} {error.reason}"
        raise _Broken(answer) if error.code in _LATER else _NotHere(answer) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _Broken(f"cannot be fetched ({_reason(error)})") from None
    length = response.headers.get("Content-Length", "")
    total = int(length) if length.isdigit() else None
    if response.status != 206:
        return response, 0, total
    part = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", ""))
    if part and int(part[1]) != offset:
        return _open_http(url, 0, stack)
    if part and part[3] != "*":
        return response, offset, int(part[3])
    return response, offset, None if total is None else total + offset


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error or type(error).__name__)
