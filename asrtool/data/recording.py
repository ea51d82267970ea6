"""Recordings that are read at another speed or volume than they have on disk.

A data directory says so in the files reco2speed and reco2vol ("recording factor" lines, one for each recording of wav.scp).
Kaldi says it by sox at the end of a wav.scp entry; such entries are understood, and sox is not run for them.
"""

import re
from dataclasses import dataclass
from typing import Self

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.io.audio import read_wav_and_rate, read_wav_header
from asrtool.io.resample import change_speed, num_samples_at

MIN_FACTOR, MAX_FACTOR = 0.01, 100.0
_FILE = r"""(?P<file>[^\s'"`$|;&<>()*?\\]+)"""
# what utils/perturb_data_dir_speed.sh and utils/data/perturb_data_dir_volume.sh write, after a file or another command
_SOX_SPEED = re.compile(rf"(?:(?P<pipe>.*\|)\s*)?sox\s+-t\s+wav\s+{_FILE}\s+-t\s+wav\s+-\s+speed\s+(?P<factor>\S+)\s*\|")
_SOX_VOLUME = re.compile(rf"(?:(?P<pipe>.*\|)\s*)?sox\s+--vol\s+(?P<factor>\S+)\s+-t\s+wav\s+{_FILE}\s+-t\s+wav\s+-\s*\|")


def parse_factor(text: str, where: str) -> float:
    """A speed or volume factor; `where` (file and recording) is named in errors."""
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not MIN_FACTOR <= factor <= MAX_FACTOR:
        raise AsrtoolError(f"{where}: expected a factor from {MIN_FACTOR} to {MAX_FACTOR:g}, found '{text[:40]}'")
    return factor


@dataclass(frozen=True)
class Recording:
    """One entry of wav.scp.

    Attributes:
        entry: a file, or a command ending in | that prints one.
        speed: 1.1 is faster, higher and shorter.
        volume: factor on the samples, after the change of speed.
    """

    entry: str
    speed: float = 1.0
    volume: float = 1.0

    @classmethod
    def parse(cls, entry: str, speed: float = 1.0, volume: float = 1.0, where: str = "wav.scp") -> Self:
        """Takes sox's speed and --vol off the end of an entry, as often as they stand there."""
        entry = entry.strip()
        while entry.endswith("|"):
            is_speed = _SOX_SPEED.fullmatch(entry)
            match = is_speed or _SOX_VOLUME.fullmatch(entry)
            if match is None or (match["file"] == "-") != bool(match["pipe"]):
                break
            factor = parse_factor(match["factor"], f"{where}: {entry}")
            speed, volume = (speed * factor, volume) if is_speed else (speed, volume * factor)
            entry = match["pipe"].strip() if match["pipe"] else match["file"]
        return cls(entry, speed, volume)

    def read(self, rate: int | None = None) -> tuple[np.ndarray, int, int]:
        """Samples (float32 [num_samples] on the scale of 16-bit integers), the rate in Hz, and how many samples were cut off.

        Only where speed or volume change are samples cut off at 16 bits, after each of the two, as sox does.

        Raises:
            AsrtoolError: see `read_wav`.
        """
        samples, rate = read_wav_and_rate(self.entry, rate)
        clipped = 0
        if self.speed != 1:
            samples, clipped = clip(change_speed(samples, self.speed))
        if self.volume != 1:
            samples, more = clip(samples * np.float32(self.volume))
            clipped += more
        return samples, rate, clipped

    def duration_s(self) -> float:
        """Seconds at this speed; from the header where it is a wav file."""
        header = None if self.entry.endswith("|") else read_wav_header(self.entry)
        if header is None:
            samples, rate, _ = self.read()
            return len(samples) / rate
        return num_samples_at(header.num_samples, self.speed) / header.rate


def clip(samples: np.ndarray) -> tuple[np.ndarray, int]:
    """Samples in [-32768, 32767] and how many were not."""
    clipped = np.clip(samples, -32768, 32767)
    return clipped, int(np.count_nonzero(clipped != samples))
