"""Recordings whose phone times are known: each phone is noise in bands of its own, each speaker moves them a little."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy import signal

from asrtool.io.audio import write_wav

RATE_HZ = 16000
BANDS_HZ = {"AA": (500, 1100), "IY": (280, 2400), "UW": (320, 800), "S": (5200, 6800), "F": (1500, 4000), "M": (200, 1400)}
DICTIONARY = {"see": "S IY", "moose": "M UW S", "far": "F AA", "mama": "M AA M AA", "foo": "F UW", "seam": "S IY M"}
NOISE = 120.0  # of 32,768


@dataclass
class Spoken:
    """samples float32 on the 16-bit scale; phones and words: (label, start in s, end in s)."""

    samples: np.ndarray
    phones: list[tuple[str, float, float]] = field(default_factory=list)
    words: list[tuple[str, float, float]] = field(default_factory=list)


def speak(words: list[str], random: np.random.Generator, scale: float = 1.0) -> Spoken:
    """Words with pauses before, after and sometimes between them; `scale` of the speaker's frequencies."""
    spoken = Spoken(np.zeros(0, np.float32))
    parts, now = [], 0

    def add(samples: np.ndarray) -> tuple[float, float]:
        nonlocal now
        begin, now = now, now + len(samples)
        parts.append(samples)
        return begin / RATE_HZ, now / RATE_HZ

    for number, word in enumerate(words):
        if number == 0 or random.random() < 0.4:
            add(np.zeros(int(random.uniform(0.12, 0.3) * RATE_HZ)))
        first = len(spoken.phones)
        for phone in DICTIONARY[word].split():
            size = int(random.uniform(0.07, 0.15) * RATE_HZ)
            spoken.phones.append((phone, *add(_phone(phone, size, random, scale))))
        spoken.words.append((word, spoken.phones[first][1], spoken.phones[-1][2]))
    add(np.zeros(int(random.uniform(0.15, 0.3) * RATE_HZ)))
    samples = np.concatenate(parts)
    spoken.samples = (samples + NOISE * random.standard_normal(len(samples))).astype(np.float32)
    return spoken


def _phone(phone: str, size: int, random: np.random.Generator, scale: float) -> np.ndarray:
    total = np.zeros(size)
    for centre in BANDS_HZ[phone]:
        low, high = 0.85 * scale * centre, min(1.15 * scale * centre, 7900)
        sections = signal.butter(2, (low, high), "bandpass", fs=RATE_HZ, output="sos")
        band = signal.sosfilt(sections, random.standard_normal(size + 400))[400:]
        total += band / np.sqrt(np.mean(band**2))
    return 1500 * total


def write_corpus(root: Path, num_speakers: int = 3, num_utterances: int = 12, seed: int = 1) -> dict[str, Spoken]:
    """root/SPEAKER/NAME.wav and .lab (or .txt) and root.dict; recording -> what was said when."""
    found = {}
    for speaker in range(num_speakers):
        folder = root / f"speaker{speaker}"
        folder.mkdir(parents=True)
        random = np.random.default_rng([seed, speaker])
        for number in range(num_utterances):
            words = random.choice(list(DICTIONARY), size=int(random.integers(3, 6))).tolist()
            spoken = speak(words, random, 1 + 0.04 * (speaker - 1))
            write_wav(str(folder / f"u{number:02d}.wav"), spoken.samples, RATE_HZ)
            suffix = ".lab" if number % 2 else ".txt"
            text = " ".join(words)
            (folder / f"u{number:02d}{suffix}").write_text(f"{text.capitalize()}.\n" if number % 3 == 0 else f"{text}\n")
            found[f"speaker{speaker}/u{number:02d}"] = spoken
    write_dictionary(root.with_suffix(".dict"))
    return found


def write_dictionary(path: Path) -> Path:
    """In the Montreal Forced Aligner's form, with a probability."""
    path.write_text("".join(f"{word}\t0.99\t{phones}\n" for word, phones in DICTIONARY.items()))
    return path
