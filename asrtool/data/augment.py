"""Noise, music, babble and reverberation put on a recording, by lhotse, from the corpora MUSAN and RIRS_NOISES.

What is drawn for a recording depends on the seed, the kind, the recording's name and the list of the corpus's files alone.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from asrtool.data.lhotse_lines import lhotse, reason
from asrtool.errors import AsrtoolError

KINDS = ("reverb", "noise", "music", "babble")
MUSAN_PARTS = {"noise": "noise", "music": "music", "babble": "speech"}
_DRAWS = 20  # so many times silence may be drawn


@dataclass(frozen=True)
class AugmentOptions:
    """What is put on, and how loud.

    Attributes:
        kinds: of `KINDS`; each makes one copy of every utterance.
        musan, rirs: where the corpora are.
        noise_snrs, music_snrs, babble_snrs: ratios of speech to noise in dB, "15:10:5" (one is drawn) or "5..15" (uniform).
        num_babble: how many talk, as the ratios; each has a ratio of his own.
        rooms: folders of simulated_rirs.
        seed: of all that is drawn.
        audio_format: flac or wav.
    """

    kinds: tuple[str, ...] = KINDS
    musan: str | None = None
    rirs: str | None = None
    noise_snrs: str = "15:10:5:0"
    music_snrs: str = "15:10:8:5"
    babble_snrs: str = "20:17:15:13"
    num_babble: str = "3:4:5:6:7"
    rooms: tuple[str, ...] = ("smallroom", "mediumroom")
    seed: int = 0
    audio_format: str = "flac"

    def __post_init__(self) -> None:
        unknown = [kind for kind in self.kinds if kind not in KINDS]
        if unknown or not self.kinds or len(set(self.kinds)) < len(self.kinds):
            raise AsrtoolError(f"--kinds '{' '.join(self.kinds)}': expected some of {', '.join(KINDS)}, each once")
        for name in ("noise_snrs", "music_snrs", "babble_snrs", "num_babble"):
            drawer(getattr(self, name), f"--{name.replace('_', '-')}")
        if any(part < 1 or part % 1 for part in drawer(self.num_babble, "--num-babble")[1]):
            raise AsrtoolError(f"--num-babble {self.num_babble}: expected whole numbers above 0")


def drawer(text: str, option: str) -> tuple[Callable[[random.Random], float], list[float]]:
    """What draws one of "1:2:3", or out of the range "1..3"; and the numbers that were read."""
    try:
        values = [float(part) for part in text.split(".." if ".." in text else ":")]
    except ValueError:
        values = []
    if not values or not np.isfinite(values).all() or (".." in text and (len(values) != 2 or values[0] > values[1])):
        raise AsrtoolError(f"{option} {text}: expected numbers as 15:10:5, or a range as 5..15")
    if ".." in text:
        return lambda rng: rng.uniform(*values), values
    return lambda rng: rng.choice(values), values


class Augmenter:
    """Changes recordings; one for each kind and corpus."""

    def __init__(self, options: AugmentOptions) -> None:
        lhotse()
        self.options = options
        self.files = {kind: _files(options, kind) for kind in options.kinds}

    def __call__(self, kind: str, name: str, samples: np.ndarray, rate: int) -> tuple[np.ndarray, dict[str, Any]]:
        """The changed recording, as long as it was, and what was done to it.

        Args:
            kind: one of the options' kinds.
            name: of the recording.
            samples: float32 [num_samples] on the scale of 16-bit integers.
            rate: in Hz.

        Returns:
            Float32 [num_samples]; where a sample would not fit 16 bits the whole is made less loud. A silent recording
            comes back as it is.

        Raises:
            AsrtoolError: a file of the corpus that cannot be read, or is nothing but silence wherever one looks.
        """
        if not np.any(samples):
            return samples, {"silent": True}
        rng = random.Random(f"{self.options.seed} {kind} {name}")
        speech = (samples / np.float32(32768))[None]
        if kind == "reverb":
            changed, record = self._reverberated(rng, speech, rate)
        else:
            changed, record = self._mixed(rng, kind, speech, rate)
        peak = float(np.abs(changed).max()) * 32768
        gain = min(1.0, 32767 / peak)
        return changed[0] * np.float32(32768 * gain), record | {"gain": round(gain, 6)}

    def _mixed(self, rng: random.Random, kind: str, speech: np.ndarray, rate: int) -> tuple[np.ndarray, dict[str, Any]]:
        from lhotse.audio.mixer import AudioMixer

        options = self.options
        number = int(drawer(options.num_babble, "")[0](rng) + 0.5) if kind == "babble" else 1
        draw_snr, _ = drawer({"noise": options.noise_snrs, "music": options.music_snrs, "babble": options.babble_snrs}[kind], "")
        mixer, added = AudioMixer(speech, rate), []
        files, heard = self.files[kind], set()
        for _ in range(number):
            others = [path for path in files if path not in heard] or files  # nobody talks twice, as long as there are others
            noise, pieces = self._noise(rng, others, kind == "babble", speech.shape[1], rate)
            heard.add(Path(pieces[0][0]))
            snr = round(draw_snr(rng), 3)
            mixer.add_to_mix(noise, snr=snr)
            added.append({"snr": snr, "pieces": pieces})
        return mixer.mixed_audio, {"added": added}

    @staticmethod
    def _noise(
        rng: random.Random, files: list[Path], same: bool, num_samples: int, rate: int
    ) -> tuple[np.ndarray, list[list[Any]]]:
        """Float32 [1, num_samples] out of one of the files; where it is shorter, then out of others, or the same again."""
        for _ in range(_DRAWS):
            noise, pieces, filled = np.zeros((1, num_samples), np.float32), [], 0
            while filled < num_samples:
                path = Path(pieces[0][0]) if same and pieces else rng.choice(files)
                recording = _corpus_recording(path, rate)
                take = min(num_samples - filled, recording.num_samples)
                start = rng.randint(0, recording.num_samples - take)
                noise[0, filled : filled + take] = _load(recording, path, start, take)
                pieces.append([str(path), start])
                filled += take
            if np.mean(noise.astype(np.float64) ** 2) > 1e-12:
                return noise, pieces
        raise AsrtoolError(f"{path}: nothing but silence was drawn from it and its like, {_DRAWS} times; is the corpus whole?")

    def _reverberated(self, rng: random.Random, speech: np.ndarray, rate: int) -> tuple[np.ndarray, dict[str, Any]]:
        """Convolved with an impulse response whose peak is at time 0; as loud as before."""
        from lhotse.augmentation import ReverbWithImpulseResponse

        for _ in range(_DRAWS):
            path = rng.choice(self.files["reverb"])
            recording = _corpus_recording(path, rate)
            if np.any(_load(recording, path, 0, recording.num_samples)):
                return ReverbWithImpulseResponse(rir=recording)(speech, rate), {"rir": str(path)}
        raise AsrtoolError(f"{path.parent}: {_DRAWS} impulse responses were drawn, all silent; is the corpus whole?")


def _files(options: AugmentOptions, kind: str) -> list[Path]:
    """The corpus's files for one kind, sorted."""
    option, root = ("--rirs", options.rirs) if kind == "reverb" else ("--musan", options.musan)
    if root is None:
        raise AsrtoolError(f"kind {kind} needs {option} DIR; give it, or leave {kind} out of --kinds")
    below, inner = ("simulated_rirs", "RIRS_NOISES") if kind == "reverb" else (MUSAN_PARTS[kind], "musan")
    folders = [folder for folder in (Path(root) / below, Path(root) / inner / below) if folder.is_dir()]
    if not folders:
        raise AsrtoolError(f"{option} {root}: no folder {below} in it; expected the unpacked corpus {inner}")
    if kind != "reverb":
        files = sorted(folders[0].rglob("*.wav"))
    else:
        absent = [room for room in options.rooms if not (folders[0] / room).is_dir()]
        if absent:
            raise AsrtoolError(f"{folders[0] / absent[0]}: no such folder; mend --rooms")
        files = sorted(path for room in options.rooms for path in (folders[0] / room).rglob("*.wav"))
    if not files:
        raise AsrtoolError(f"{folders[0]}: no .wav files in it; is the corpus whole?")
    return files


@lru_cache(maxsize=4096)
def _corpus_recording(path: Path, rate: int) -> Any:
    """lhotse's recording of a file, at another rate if need be; its header is read."""
    from lhotse import Recording

    try:
        recording = Recording.from_file(path).resample(rate)
    except Exception as error:  # lhotse raises what its audio libraries raise
        raise _damaged(path, error) from None
    if recording.num_samples == 0:
        raise AsrtoolError(f"{path}: holds no samples; remove it")
    return recording


def _load(recording: Any, path: Path, start: int, number: int) -> np.ndarray:
    """Float32 [number] of the first channel."""
    rate = recording.sampling_rate
    try:
        audio = recording.load_audio(channels=recording.channel_ids[0], offset=start / rate, duration=number / rate)
    except Exception as error:
        raise _damaged(path, error) from None
    audio = np.asarray(audio, np.float32)[0, :number]
    if not np.isfinite(audio).all():
        raise AsrtoolError(f"{path}: NaN or infinity in its samples; remove it")
    return np.pad(audio, (0, number - len(audio)))


def _damaged(path: Path, error: Exception) -> AsrtoolError:
    why = f"{type(error).__name__}: {reason(error)}"
    return AsrtoolError(f"{path}: cannot be read ({why}); unpack the corpus again, or remove the file")
