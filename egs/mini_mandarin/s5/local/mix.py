"""Turns one speaker's clean speech into recordings: room, noise, level; writes the wav files and a table of them."""

import os
import shutil
import wave
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from acoustics import (
    RATE_HZ,
    Difficulty,
    coloured_noise,
    draw_conditions,
    mean_power,
    resample,
    reverberate,
    room_response,
    scale_noise,
    to_int16,
)

from asrtool.io.atomic_file import write_text

UP = 320  # 22,050 Hz x 320 / 441 is 16,000 Hz
BABBLE_TALKERS = (3, 7)  # at least, fewer than


@dataclass(frozen=True)
class SpeakerJob:
    """What a worker needs.

    Attributes:
        name, resample_down: the speaker.
        utterances: (utterance id, seconds of silence before, seconds after) in the order they were spoken.
        spoken: the speaker's clean int16 samples at 22,050 Hz, one utterance after the other.
        counts: samples of each utterance in it; a speaker may have stopped before the end of `utterances`.
        others: the clean speech of the split's other speakers, for babble (the own one if alone).
        table: becomes the list of the recordings and their conditions.
        wav_dir: becomes <split>/wav/<speaker>, at once and whole, and last: where it is, the speaker is done.
        seed: of all that is random here.
    """

    name: str
    resample_down: int
    utterances: list[tuple[str, float, float]]
    spoken: Path
    counts: list[int]
    others: list[Path]
    table: Path
    wav_dir: Path
    seed: str
    difficulty: Difficulty = field(default_factory=Difficulty)


def mix_speaker(job: SpeakerJob) -> str:
    """Makes the recordings of one speaker; returns the speaker's name."""
    generator = np.random.Generator(np.random.PCG64(list(job.seed.encode())))
    spoken = np.fromfile(job.spoken, dtype=np.int16)
    others = [np.memmap(path, dtype=np.int16, mode="r") for path in job.others]
    temporary = job.wav_dir.with_name(f".{job.name}.tmp{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    rows, begin = [], 0
    for (utterance, before_s, after_s), count in zip(job.utterances, job.counts):
        clean = spoken[begin : begin + count].astype(np.float64) / 32768.0
        begin += count
        clean = resample(clean, UP, job.resample_down)
        samples, conditions = record(clean, before_s, after_s, others, generator, job.difficulty)
        write_wav(temporary / f"{utterance}.wav", samples)
        snr = "" if conditions.snr_db is None else f"{conditions.snr_db:.2f}"
        rt60 = "" if conditions.rt60_s is None else f"{conditions.rt60_s:.3f}"
        duration_s = len(samples) / RATE_HZ
        rows.append(f"{utterance}\t{job.name}\t{duration_s:.4f}\t{conditions.noise}\t{snr}\t{rt60}\t{conditions.level_db:.1f}\n")
    write_text(job.table, "".join(rows))
    try:
        os.replace(temporary, job.wav_dir)
    except OSError:  # a process left over from a killed run was quicker; its bytes are the same
        if not job.wav_dir.is_dir():
            raise
        shutil.rmtree(temporary)
    return job.name


def record(clean, before_s, after_s, others, generator, difficulty):
    """One utterance: clean [N] at 16 kHz -> (int16 samples with the silences around, its Conditions).

    The signal-to-noise ratio compares the power of the speech (in its room) while there is speech with the power of the noise.
    """
    conditions = draw_conditions(generator, difficulty)
    before, after = int(before_s * RATE_HZ), int(after_s * RATE_HZ)
    speech = np.concatenate([np.zeros(before), clean, np.zeros(after)])
    if conditions.rt60_s is not None:
        speech = reverberate(speech, room_response(generator, conditions.rt60_s, conditions.direct_to_reverberant_db))
    power = mean_power(speech[before : before + len(clean)])
    mixed = speech
    if conditions.snr_db is not None:
        if conditions.noise == "babble":
            noise = babble(others, len(speech), generator)
        else:
            noise = coloured_noise(generator, len(speech), conditions.noise)
        mixed = speech + scale_noise(power, noise, conditions.snr_db)
    floor = generator.standard_normal(len(speech)) * conditions.floor_lsb
    return to_int16(mixed, conditions.level_db, power, floor), conditions


def babble(others: list[np.ndarray], num_samples: int, generator: np.random.Generator) -> np.ndarray:
    """The sum of a few stretches of other people's speech at random places, each of the same power; [num_samples] at 16 kHz."""
    needed = num_samples * 441 // UP + 2
    total = np.zeros(needed)
    for _ in range(generator.integers(*BABBLE_TALKERS)):
        source = others[int(generator.integers(len(others)))]
        start = int(generator.integers(len(source)))
        stretch = np.take(source, np.arange(start, start + needed), mode="wrap").astype(np.float64)
        total += stretch / np.sqrt(max(mean_power(stretch), 1.0))
    return resample(total, UP, 441)[:num_samples]


def write_wav(path: Path, samples: np.ndarray) -> None:
    """int16 samples at 16 kHz as a RIFF file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(samples.tobytes())
