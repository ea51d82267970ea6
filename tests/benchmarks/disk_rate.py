"""Rates at which a disk gives what is not in the page cache: in large runs, through a memory map, and in single utterances.

usage: disk_rate.py [FOLDER [GIGABYTES]]     prints NAME ours=... reference=... ratio=... unit=...

Writes a file (2 GB into the temporary folder without arguments) and drops it from the page cache before each measurement. The
reference is the rate of 8 MB reads, front to back. "map" reads front to back through a memory map, as the archives are read;
"random" reads 12 kB, an utterance of 400 frames of 28 bytes, from random places. A virtual disk may have caches of its own.
"""

import mmap
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

BLOCK = 8 << 20
UTTERANCE = 12 << 10
RANDOM_READS = 2000


def drop(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def in_blocks(path: Path) -> int:
    total = 0
    with open(path, "rb", buffering=0) as file:
        while block := file.read(BLOCK):
            total += len(block)
    return total


def mapped(path: Path) -> int:
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return sum(len(data[first : first + UTTERANCE]) for first in range(0, len(data), UTTERANCE))


def at_random(path: Path) -> int:
    places = random.Random(0)
    size = path.stat().st_size
    with open(path, "rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        return sum(len(os.pread(file.fileno(), UTTERANCE, places.randrange(size - UTTERANCE))) for _ in range(RANDOM_READS))


def rate(path: Path, read: Callable[[Path], int]) -> float:
    """MB a second."""
    drop(path)
    start = time.perf_counter()
    return read(path) / 1e6 / (time.perf_counter() - start)


def main() -> None:
    folder = sys.argv[1] if len(sys.argv) > 1 else None
    num_blocks = int(1e9 * float(sys.argv[2] if len(sys.argv) > 2 else 2)) // BLOCK
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        path = Path(temporary) / "data"
        with open(path, "wb") as file:
            for _ in range(num_blocks):
                file.write(os.urandom(BLOCK))
        reference = rate(path, in_blocks)
        for name, read in (("disk_blocks_again", in_blocks), ("disk_map", mapped), ("disk_random", at_random)):
            ours = rate(path, read)
            print(f"{name} ours={ours:.0f} reference={reference:.0f} ratio={ours / reference:.3f} unit=MB/s", flush=True)


if __name__ == "__main__":
    main()
