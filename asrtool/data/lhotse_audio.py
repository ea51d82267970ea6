"""Audio that lhotse reads or makes (perturbed, mixed, padded, out of archives), written as files of 16 bits."""

import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from asrtool.data.lhotse_lines import lhotse, reason
from asrtool.data.lhotse_sound import Sound
from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import atomic_path
from asrtool.io.audio import write_wav

FORMATS = ("flac", "wav")


def write_audio(path: Path, samples: np.ndarray, rate: int) -> int:
    """Writes mono samples (on the scale of 16-bit integers), whole or not at all; returns how many had to be cut off.

    The suffix, .wav or .flac, says the format.
    """
    rounded = np.rint(samples)
    clipped = np.clip(rounded, -32768, 32767)
    with atomic_path(path) as temporary:
        if path.suffix == ".wav":
            write_wav(str(temporary), clipped, rate)
        else:
            import soundfile

            soundfile.write(temporary, clipped.astype(np.int16), rate, "PCM_16", format="FLAC")
    return int(np.count_nonzero(clipped != rounded))


def file_name(name: str) -> str:
    """A file name for an id; ids with slashes and the like are escaped."""
    return quote(name, safe="!#$&'()+,;=@[]{} ~").replace(" ", "_").replace(".", "%2E", name.startswith("."))


def materialise(item: dict[str, Any], folder: Path, audio_format: str, rate: int | None, mark: int) -> Sound:
    """Writes FOLDER/ID.FORMAT (ID_CHANNEL.FORMAT where there are several) of a recording or mixed cut.

    Args:
        item: as it stands in the manifest.
        rate: to which it is resampled, in Hz; None leaves it.

    Raises:
        AsrtoolError: lhotse is missing, or cannot read the audio.
    """
    lhotse()
    from lhotse.serialization import deserialize_item

    name = item["id"]
    try:
        source = deserialize_item(_copy(item))
        if rate is not None:
            source = source.resample(rate)
        audio = np.asarray(source.load_audio())
        channels = list(getattr(source, "channel_ids", range(len(audio))))
    except Exception as error:  # lhotse raises whatever its audio libraries raise
        raise AsrtoolError(f"its audio cannot be read ({type(error).__name__}: {reason(error)})") from None
    if not np.isfinite(audio).all():
        raise AsrtoolError("NaN or infinity in its samples")
    entries, clipped = {}, 0
    for channel, samples in zip(channels, audio):
        suffix = f"_{channel}" if len(channels) > 1 else ""
        path = folder / f"{file_name(name)}{suffix}.{audio_format}"
        clipped += write_audio(path, samples * np.float32(32768), int(source.sampling_rate))
        entries[channel] = str(path)
    if clipped:
        print(f"WARNING: {name}: {clipped} samples were cut off at 16 bits", file=sys.stderr)
    return Sound(entries, 1.0, 1.0, int(source.sampling_rate), audio.shape[1] / source.sampling_rate, mark)


def _copy(item: Any) -> Any:
    """lhotse empties the dictionaries that it reads."""
    if isinstance(item, dict):
        return {key: _copy(value) for key, value in item.items()}
    return [_copy(value) for value in item] if isinstance(item, list) else item
