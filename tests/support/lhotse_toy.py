"""Small lhotse recordings and supervisions, and corpora that look like MUSAN and RIRS_NOISES, of noise."""

from pathlib import Path

import numpy as np
import soundfile

RATE = 16000


def write_noise(path: Path, num_samples: int, channels: int = 1, rate: int = RATE, level: float = 0.1, seed: int = 0) -> Path:
    """A 16-bit file of noise of less than half of the band, so that other speeds keep it."""
    random = np.random.default_rng([seed, num_samples])
    spectrum = np.fft.rfft(random.normal(size=(num_samples, channels)), axis=0)
    spectrum[num_samples // 5 :] = 0
    samples = np.fft.irfft(spectrum, num_samples, axis=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples * level / samples.std(), rate, subtype="PCM_16")
    return path


def make_musan(root: Path, rate: int = RATE) -> Path:
    for part, folders, number in (("noise", ["free-sound"], 4), ("music", ["fma"], 3), ("speech", ["librivox", "us-gov"], 3)):
        for folder in folders:
            for k in range(number):
                name = f"{part}-{folder}-{k:04d}.wav"
                write_noise(root / "musan" / part / folder / name, rate * (k + 1) // 4, rate=rate, seed=len(name) + k)
            (root / "musan" / part / folder / "LICENSE").write_text("none\n")
    return root / "musan"


def make_rirs(root: Path, rate: int = RATE) -> Path:
    """Impulse responses whose direct sound comes after 5 ms."""
    random = np.random.default_rng(7)
    for room in ("smallroom", "mediumroom", "largeroom"):
        folder = root / "RIRS_NOISES" / "simulated_rirs" / room / "Room001"
        folder.mkdir(parents=True)
        for k in range(2):
            response = random.normal(size=rate // 5) * np.exp(-np.arange(rate // 5) / (0.04 * rate)) * 0.2
            response[: rate // 200] = 0
            response[rate // 200] = 0.95
            soundfile.write(folder / f"Room001-{k:05d}.wav", np.clip(response, -0.9, 0.95), rate, subtype="PCM_16")
    return root / "RIRS_NOISES"
