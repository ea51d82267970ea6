"""Waveforms from files and from wav.scp's pipes, on the scale of 16-bit integers (Kaldi's)."""

import io
import re
import struct
import subprocess
from dataclasses import dataclass

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.io.whole_file import cannot_open

# sizes that programs write into a header when they do not know yet how much follows (sox and ffmpeg into a pipe)
_UNKNOWN_FRAMES = 1 << 48  # so many samples, or more, stand for the same
_BLOCK = 1 << 20
_MISSING = "no such wav file; mend wav.scp"
_UNKNOWN_SIZES = (0, 0x7FFFF000, 0x7FFFFFFF, 0x7FFFFFDB, 0xFFFFFFFF)


def read_wav(path_or_scp_entry: str, rate: int | None) -> np.ndarray:
    """The samples of one mono file: float32 [num_samples] in [-32768, 32767].

    Args:
        path_or_scp_entry: a file, or a command ending in | that prints one (run by the shell).
        rate: the sampling rate in Hz that the file must have; None takes any.

    Raises:
        AsrtoolError: missing, truncated, of another rate, not mono, empty, or not audio.
    """
    return read_wav_and_rate(path_or_scp_entry, rate)[0]


def read_wav_and_rate(path_or_scp_entry: str, rate: int | None = None) -> tuple[np.ndarray, int]:
    """Samples as `read_wav` gives them, and the sampling rate in Hz."""
    name = str(path_or_scp_entry).strip()
    data = _content(name)
    samples, file_rate = _riff_samples(name, data) if data[:4] == b"RIFF" else _other_samples(name, data)
    if rate is not None and file_rate != rate:
        raise AsrtoolError(f"{name}: sampling rate is {file_rate} Hz, expected {rate}; resample it or set --sample-frequency")
    if len(samples) == 0:
        raise AsrtoolError(f"{name}: holds no samples; leave it out")
    return samples, file_rate


def _content(name: str) -> bytes:
    if not name.endswith("|"):
        try:
            with open(name, "rb") as file:
                return file.read()
        except (OSError, ValueError) as error:
            raise cannot_open(name, error, _MISSING) from None
    finished = subprocess.run(name[:-1], shell=True, capture_output=True, check=False)
    if finished.returncode != 0 or not finished.stdout:
        said = finished.stderr.decode("utf-8", "replace").strip().splitlines()
        why = f": {said[-1]}" if said else ""
        raise AsrtoolError(f"'{name}': the command failed with status {finished.returncode}{why}; mend wav.scp")
    return finished.stdout


@dataclass(frozen=True)
class WavHeader:
    """What a wav header says. Coding 1 is PCM; `start` and `num_bytes` are those of the samples."""

    rate: int
    channels: int
    coding: int
    bits: int
    start: int
    num_bytes: int

    @property
    def num_samples(self) -> int:
        return self.num_bytes * 8 // max(self.bits * self.channels, 1)


def read_wav_header(path: str) -> WavHeader | None:
    """The checked header of a wav file, its samples not read; None for another kind of audio file.

    Raises:
        AsrtoolError: no such file, a damaged header, or fewer samples than the header promises.
    """
    try:
        with open(path, "rb") as file:
            prefix = file.read(4096)
            if prefix[:4] != b"RIFF":
                return None
            total = file.seek(0, 2)
            if b"data" not in prefix:
                file.seek(0)
                prefix = file.read()
    except (OSError, ValueError) as error:
        raise cannot_open(path, error, _MISSING) from None
    return _parse_header(str(path), prefix, total)


def read_header(path: str) -> tuple[int, int, int]:
    """Sampling rate in Hz, channels, and samples of each, as the header of an audio file of any kind says.

    Raises:
        AsrtoolError: see `read_wav_header`; or not an audio file.
    """
    if header := read_wav_header(path):
        return header.rate, header.channels, header.num_samples
    import soundfile

    try:
        info = soundfile.info(path)
    except soundfile.LibsndfileError as error:
        raise AsrtoolError(f"{path}: not an audio file that can be read ({_one_line(error)})") from None
    return info.samplerate, info.channels, info.frames


def _parse_header(name: str, data: bytes, total: int) -> WavHeader:
    """Walks the chunks up to the samples; `total` is the size of the whole file, `data` may be its beginning only."""
    position, fmt = 12, None
    if total < 44 or data[8:12] != b"WAVE":
        raise AsrtoolError(f"{name}: truncated or damaged wav header; make the file again")
    while position + 8 <= len(data):
        chunk, size = data[position : position + 4], struct.unpack_from("<I", data, position + 4)[0]
        position += 8
        if chunk == b"data":
            break
        if chunk == b"fmt " and size >= 16 and position + 16 <= len(data):
            fmt = struct.unpack_from("<HHIIHH", data, position)
            if fmt[0] == 0xFFFE and size >= 26:  # WAVE_FORMAT_EXTENSIBLE: the coding proper comes later
                fmt = (*struct.unpack_from("<H", data, position + 24), *fmt[1:])
        position += size + size % 2
    else:
        raise AsrtoolError(f"{name}: truncated or damaged wav file: no data chunk; make the file again")
    if fmt is None:
        raise AsrtoolError(f"{name}: damaged wav header: no fmt chunk; make the file again")
    available = total - position
    if size > available and size not in _UNKNOWN_SIZES:
        raise AsrtoolError(
            f"{name}: truncated: the header promises {size} bytes of samples, {available} are there; copy it again"
        )
    coding, channels, rate, _, _, bits = fmt
    if rate == 0:
        raise AsrtoolError(f"{name}: damaged wav header: a sampling rate of 0 Hz; make the file again")
    return WavHeader(rate, channels, coding, bits, position, available if size in _UNKNOWN_SIZES else size)


def _riff_samples(name: str, data: bytes) -> tuple[np.ndarray, int]:
    """16-bit PCM straight from the bytes; other codings through soundfile once the sizes are known to fit."""
    header = _parse_header(name, data, len(data))
    if (header.coding, header.bits, header.channels) != (1, 16, 1):
        return _other_samples(name, data)
    return np.frombuffer(data, "<i2", header.num_bytes // 2, header.start).astype(np.float32), header.rate


def _other_samples(name: str, data: bytes) -> tuple[np.ndarray, int]:
    """FLAC, Ogg and the other codings that soundfile reads."""
    import soundfile  # only where it is needed: most corpora are 16-bit wav

    blocks = []
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            rate, promised = file.samplerate, file.frames
            while len(block := file.read(_BLOCK, dtype="float32", always_2d=True)):  # the header may promise anything
                blocks.append(block)
    except soundfile.LibsndfileError as error:
        raise AsrtoolError(f"{name}: not an audio file that can be read ({_one_line(error)})") from None
    samples = np.concatenate(blocks) if blocks else np.zeros((0, 1), np.float32)
    if len(samples) < promised < _UNKNOWN_FRAMES:
        raise AsrtoolError(f"{name}: truncated: the header promises {promised} samples, {len(samples)} are there; copy it again")
    if not np.isfinite(samples).all():
        raise AsrtoolError(f"{name}: NaN or infinity in its samples; make the file again")
    if samples.shape[1] != 1:
        raise AsrtoolError(
            f"{name}: has {samples.shape[1]} channels, expected one; choose one in wav.scp, e.g. 'sox ... remix 1 |'"
        )
    with np.errstate(over="ignore"):
        return samples[:, 0] * np.float32(32768), rate


def _one_line(error: Exception) -> str:
    return re.sub(r"<_io.BytesIO[^>]*>", "it", " ".join(str(error).split()))


def write_wav(path: str, samples: np.ndarray, rate: int) -> None:
    """Writes 16-bit mono PCM; samples on the scale of 16-bit integers are rounded and clipped."""
    data = np.clip(np.rint(samples), -32768, 32767).astype("<i2").tobytes()
    header = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16, b"data", len(data)
    )
    with open(path, "wb") as file:
        file.write(header + data)
