"""Fetches and unpacks an archive with a corpus: `python local/download.py URL DIR`; a broken download goes on."""

import http.client
import os
import shutil
import sys
import tarfile
import urllib.error
import urllib.request
import zlib
from pathlib import Path

from asrtool.arguments import parser
from asrtool.cli import guarded
from asrtool.errors import AsrtoolError

TIMEOUT_S = 60
CHUNK_BYTES = 1 << 20
CORPUS = "speechocean762"
BY_HAND = "or fetch it elsewhere, unpack it, and pass its parent directory as --corpus"


def download(url: str, archive: Path) -> None:
    """Fetches `url` to `archive`; what an earlier try left in <archive>.part is kept and continued.

    Raises:
        AsrtoolError: the server cannot be reached, refuses, or breaks off.
    """
    part = archive.with_name(archive.name + ".part")
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            continues = response.status == 206
            length = response.headers.get("Content-Length")
            total = None if length is None else int(length) + (have if continues else 0)
            with open(part, "ab" if continues else "wb") as file:
                shutil.copyfileobj(response, file, CHUNK_BYTES)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # 416: nothing is left to fetch
            raise AsrtoolError(f"{url}: the server answers {error.code} {error.reason}; try later, {BY_HAND}") from None
        total = have
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise AsrtoolError(
            f"{url}: cannot be fetched ({reason}); start again when there is internet, it goes on, {BY_HAND}"
        ) from None
    size = part.stat().st_size
    if total is not None and size != total:
        raise AsrtoolError(f"{url}: the connection broke after {size} of {total} bytes; start again, it goes on")
    os.replace(part, archive)


def unpack(archive: Path, directory: Path) -> None:
    """Unpacks to <directory>/speechocean762, whole or not at all."""
    temporary = directory / f".{CORPUS}.unpacking"
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(temporary, filter="data")
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        why = str(error).partition("\n")[0]
        mend = "is there room?" if getattr(error, "errno", None) else "remove it and start again"
        raise AsrtoolError(f"{archive}: cannot be unpacked ({why}); {mend}") from None
    if not (temporary / CORPUS).is_dir():
        shutil.rmtree(temporary)
        raise AsrtoolError(f"{archive}: holds no directory {CORPUS}; is it the right archive?")
    os.replace(temporary / CORPUS, directory / CORPUS)
    shutil.rmtree(temporary)


def fetch_corpus(url: str, directory: Path) -> None:
    if (directory / CORPUS).is_dir():
        print(f"{directory / CORPUS}: is there already", file=sys.stderr)
        return
    directory.mkdir(parents=True, exist_ok=True)
    archive = directory / url.rpartition("/")[2]
    if not archive.is_file():
        print(f"{url} -> {archive}", file=sys.stderr)
        download(url, archive)
    unpack(archive, directory)


def main(arguments: list[str]) -> int:
    options = parser("download.py", __doc__)
    options.add_argument("url")
    options.add_argument("directory", type=Path)
    given = options.parse_args(arguments)
    fetch_corpus(given.url, given.directory)
    return 0


if __name__ == "__main__":
    sys.exit(guarded("download.py", main, sys.argv[1:]))
