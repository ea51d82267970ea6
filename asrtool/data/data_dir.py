"""Kaldi's data directory: one text file a property, "key value" lines sorted by key in C locale."""

import math
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from asrtool.data.recording import Recording, parse_factor
from asrtool.data.texts import Texts
from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text
from asrtool.io.kaldi_table import MatrixReader, read_scp
from asrtool.io.whole_file import read_text

# the files of a data directory by what their first column names
UTTERANCE_FILES = ("utt2spk", "text", "segments", "feats.scp", "utt2num_frames", "utt2dur", "vad.scp", "utt2lang", "utt2uniq")
SPEAKER_FILES = ("cmvn.scp", "spk2gender", "spk2warp", "trans.scp")
FACTOR_FILES = ("reco2speed", "reco2vol")  # see asrtool/data/recording.py
RECORDING_FILES = ("wav.scp", "reco2dur", "reco2file_and_channel", *FACTOR_FILES)  # by utterance where there are no segments
COPIED_FILES = ("frame_shift", "global_cmvn")
ALL_TABLES = UTTERANCE_FILES + SPEAKER_FILES + RECORDING_FILES

MAX_OVERSHOOT_S = 0.5  # a segment may end so much after its recording (extract-segments --max-overshoot)


@dataclass
class DataDir:
    """The files of a data directory in memory; features stay on disk.

    Attributes:
        path: the directory.
        utt2spk: utterance -> speaker, in file order.
        wav_scp: recording (without segments: utterance) -> file or "command |".
        text: utterance -> words.
        segments: utterance -> (recording, start in s, end in s; -1 is the end of the recording), at the recording's new speed.
        reco2speed, reco2vol: recording -> factor, where the files are there.
        clipped: recording -> samples that a new speed or volume cut off, of those read so far.
    """

    path: Path
    utt2spk: dict[str, str]
    wav_scp: dict[str, str] = field(default_factory=dict)
    text: Mapping[str, list[str]] = field(default_factory=dict)
    segments: dict[str, tuple[str, float, float]] = field(default_factory=dict)
    reco2speed: dict[str, float] = field(default_factory=dict)
    reco2vol: dict[str, float] = field(default_factory=dict)
    clipped: dict[str, int] = field(default_factory=dict)

    @classmethod
    def load(cls, path: str | Path, job: int = 1, num_jobs: int = 1) -> Self:
        """Reads a directory; utt2spk must be there, the others may be. The text is read when it is asked for.

        Args:
            job, num_jobs: only the job-th (from 1) of so many runs of the utterances, with their recordings.

        Raises:
            AsrtoolError: no directory or utt2spk, a key that occurs twice, or a line of another form.
        """
        path = Path(path)
        if not path.is_dir():
            raise AsrtoolError(f"{path}: no such data directory")
        if not (path / "utt2spk").is_file():
            raise AsrtoolError(f"{path}/utt2spk: no such file; is {path} a data directory?")
        utt2spk = read_scp(path / "utt2spk")
        for utterance, speaker in utt2spk.items():
            if len(speaker.split()) != 1:
                raise AsrtoolError(f"{path}/utt2spk: {utterance}: expected one speaker, found '{speaker[:60]}'")
        keep = None
        if num_jobs > 1:
            names = list(utt2spk)[(job - 1) * len(utt2spk) // num_jobs : job * len(utt2spk) // num_jobs]
            utt2spk = {name: utt2spk[name] for name in names}
            keep = utt2spk.keys()
        lines = _optional(path / "segments", keep)
        segments = {key: parse_segment(path / "segments", key, line) for key, line in lines.items()}
        if num_jobs > 1 and segments:
            keep = {recording for recording, _, _ in segments.values()}
        factors = [
            {key: parse_factor(value, f"{path / name}: {key}") for key, value in _optional(path / name, keep).items()}
            for name in FACTOR_FILES
        ]
        return cls(path, utt2spk, _optional(path / "wav.scp", keep), Texts(path / "text"), segments, *factors)

    @property
    def utterances(self) -> list[str]:
        return list(self.utt2spk)

    def speaker(self, utterance: str) -> str:
        """By utt2spk.

        Raises:
            AsrtoolError: the utterance is not in it.
        """
        if utterance not in self.utt2spk:
            raise AsrtoolError(f"{self.path}/utt2spk: {utterance}: not in it; run utils/fix_data_dir.sh")
        return self.utt2spk[utterance]

    @cached_property
    def spk2utt(self) -> dict[str, list[str]]:
        """Speaker -> utterances, both in the order of utt2spk."""
        return speakers_utterances(self.utt2spk)

    def file(self, name: str) -> Path:
        """A file that must be there."""
        path = self.path / name
        if not path.is_file():
            mends = {
                "feats.scp": "make features first (steps/make_fbank.sh)",
                "cmvn.scp": "run steps/compute_cmvn_stats.sh first",
            }
            raise AsrtoolError(f"{path}: no such file; {mends.get(name, 'is the data directory complete?')}")
        return path

    @cached_property
    def feats(self) -> MatrixReader:
        return MatrixReader(self.file("feats.scp"))

    @cached_property
    def cmvn(self) -> MatrixReader:
        """Speaker -> Kaldi's statistics, float64 [2, D + 1]."""
        return MatrixReader(self.file("cmvn.scp"), dtype=np.float64)

    @cached_property
    def utt2num_frames(self) -> dict[str, int]:
        """Utterance -> frames; read from feats.scp where the file is missing (slow)."""
        path = self.path / "utt2num_frames"
        if not path.is_file():
            return {utterance: len(matrix) for utterance, matrix in self.feats.items()}
        return {utterance: _number(int, path, utterance, value, 0) for utterance, value in read_scp(path).items()}

    @cached_property
    def utt2dur(self) -> dict[str, float]:
        """Utterance -> seconds: from utt2dur, else from segments or the headers of the wav files."""
        path = self.path / "utt2dur"
        if path.is_file():
            return {utterance: _number(float, path, utterance, value, 0) for utterance, value in read_scp(path).items()}
        return {utterance: self._duration_s(utterance) for utterance in self.utterances}

    def _duration_s(self, utterance: str) -> float:
        _, start_s, end_s = self.segments.get(utterance, (utterance, 0.0, -1.0))
        return (self.recording(utterance).duration_s() if end_s < 0 else end_s) - start_s

    @property
    def frame_shift_s(self) -> float:
        """From the file frame_shift; 0.01 s without it."""
        path = self.path / "frame_shift"
        if not path.is_file():
            return 0.01
        shift_s = _number(float, path, "frame_shift", read_text(path).strip())
        if shift_s <= 0:
            raise AsrtoolError(f"{path}: a frame shift of {shift_s} s; write the seconds from frame to frame, 0.01 say")
        return shift_s

    def recording(self, utterance: str) -> Recording:
        """What an utterance is, or is cut out of.

        Raises:
            AsrtoolError: not in wav.scp, or not in reco2speed or reco2vol where these are there.
        """
        name = self.segments[utterance][0] if utterance in self.segments else utterance
        if name not in self.wav_scp:
            raise AsrtoolError(f"{self.path}/wav.scp: {utterance}: recording '{name}' is not in it; run utils/fix_data_dir.sh")
        factors = []
        for file, table in zip(FACTOR_FILES, (self.reco2speed, self.reco2vol), strict=True):
            if table and name not in table:
                raise AsrtoolError(f"{self.path}/{file}: {utterance}: recording '{name}' is not in it; add it (1: as it is)")
            factors.append(table.get(name, 1.0))
        return Recording.parse(self.wav_scp[name], *factors, f"{self.path}/wav.scp: {name}")

    def audio(self, utterance: str, rate: int) -> np.ndarray:
        """The samples of one utterance, float32 on the scale of 16-bit integers.

        Raises:
            AsrtoolError: see `Recording.read`; or a segment outside its recording.
        """
        recording, start_s, end_s = self.segments.get(utterance, (utterance, 0.0, -1.0))
        cached = self.__dict__.get("_last_recording", (None, None))  # segments of one recording follow each other
        if cached[0] != (recording, rate):
            try:
                samples, _, clipped = self.recording(utterance).read(rate)
            except AsrtoolError as error:
                raise AsrtoolError(f"{self.path}/wav.scp: {recording}: {error}") from None
            cached = self.__dict__["_last_recording"] = ((recording, rate), samples)
            if clipped:
                self.clipped[recording] = clipped
        samples = cached[1]
        if not self.segments:
            return samples
        duration_s = len(samples) / rate
        if start_s >= duration_s or end_s > duration_s + MAX_OVERSHOOT_S:
            raise AsrtoolError(
                f"{self.path}/segments: {utterance}: {start_s}-{end_s} s is not in '{recording}' of {duration_s:.2f} s; mend it"
            )
        return samples[int(start_s * rate + 0.5) : len(samples) if end_s < 0 else int(end_s * rate + 0.5)]


def _optional(path: Path, keep: Container[str] | None = None) -> dict[str, str]:
    return read_scp(path, keep=keep) if path.is_file() else {}


def _number(kind: type, path: Path, key: str, value: str, least: float = -math.inf) -> float | int:
    try:
        number = kind(value)
        if not (math.isfinite(number) and number >= least):
            raise ValueError
        return number
    except (ValueError, OverflowError):
        raise AsrtoolError(f"{path}: {key}: expected a number, found '{value[:40]}'") from None


def parse_segment(path: Path, utterance: str, line: str) -> tuple[str, float, float]:
    """(recording, start in s, end in s) of a segments line less its key."""
    fields = line.split()
    if len(fields) not in (3, 4):
        raise AsrtoolError(f"{path}: {utterance}: expected 'utterance recording start end', found '{utterance} {line[:60]}'")
    start_s, end_s = (_number(float, path, utterance, value) for value in fields[1:3])
    if start_s < 0 or (end_s <= start_s and end_s != -1):
        raise AsrtoolError(f"{path}: {utterance}: the segment {start_s}-{end_s} s is empty or negative; mend or remove it")
    return fields[0], start_s, end_s


def speakers_utterances(utt2spk: Mapping[str, str]) -> dict[str, list[str]]:
    """Speaker -> utterances."""
    speakers: dict[str, list[str]] = {}
    for utterance, speaker in utt2spk.items():
        speakers.setdefault(speaker, []).append(utterance)
    return speakers


def write_table(path: Path, table: Mapping[str, str]) -> None:
    """Writes "key value" lines sorted by key (code points sort as UTF-8 bytes do, that is as LC_ALL=C)."""
    write_text(path, "".join(f"{key} {table[key]}".rstrip() + "\n" for key in sorted(table)))


def write_spk2utt(path: Path, utt2spk: Mapping[str, str]) -> None:
    """spk2utt from utt2spk."""
    write_table(path, {speaker: " ".join(sorted(names)) for speaker, names in speakers_utterances(utt2spk).items()})


def write_data_dir(directory: Path, tables: Mapping[str, Mapping[str, str]], frame_shift: Path | None = None) -> None:
    """Makes a directory of these tables (name -> key -> value) and spk2utt alone; utt2spk, which makes it one, comes last.

    Raises:
        AsrtoolError: the directory has features, which would no longer be those of its utterances.
    """
    if (directory / "feats.scp").is_file():
        raise AsrtoolError(f"{directory}/feats.scp: is there already; remove {directory} or give another directory")
    for name in ("utt2spk", "spk2utt", *ALL_TABLES, *COPIED_FILES):
        (directory / name).unlink(missing_ok=True)
    for name, table in tables.items():
        if name != "utt2spk":
            write_table(directory / name, table)
    if frame_shift is not None:
        write_text(directory / "frame_shift", frame_shift.read_text())
    write_spk2utt(directory / "spk2utt", tables["utt2spk"])
    write_table(directory / "utt2spk", tables["utt2spk"])


def select(source: Path, destination: Path, utterances: Iterable[str]) -> None:
    """Writes the part of a data directory that belongs to some utterances; `destination` may be `source`."""
    keep = set(utterances)
    tables = {name: read_scp(source / name, allow_empty=True) for name in ALL_TABLES if (source / name).is_file()}
    if "utt2spk" not in tables:
        raise AsrtoolError(f"{source}/utt2spk: no such file; is {source} a data directory?")
    utt2spk = {key: value for key, value in tables["utt2spk"].items() if key in keep}
    if not utt2spk:
        raise AsrtoolError(f"{destination}: no utterance of {source} is left for it")
    speakers = set(utt2spk.values())
    recordings = (
        {tables["segments"][key].split()[0] for key in utt2spk if key in tables["segments"]} if "segments" in tables else keep
    )
    for name, table in tables.items():
        kept_keys = speakers if name in SPEAKER_FILES else recordings if name in RECORDING_FILES else keep
        write_table(destination / name, {key: value for key, value in table.items() if key in kept_keys})
    write_spk2utt(destination / "spk2utt", utt2spk)
    for name in COPIED_FILES:
        if (source / name).is_file() and source != destination:
            (destination / name).write_bytes((source / name).read_bytes())
