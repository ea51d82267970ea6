"""Checks of a data directory: every finding is one line that names file, key and mend."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from asrtool.data.data_dir import (
    ALL_TABLES,
    FACTOR_FILES,
    MAX_OVERSHOOT_S,
    RECORDING_FILES,
    SPEAKER_FILES,
    parse_segment,
    speakers_utterances,
)
from asrtool.data.recording import parse_factor
from asrtool.errors import AsrtoolError
from asrtool.io.audio import read_wav_header

_FIX = "run utils/fix_data_dir.sh"


@dataclass
class Findings:
    """Errors make a directory unfit; warnings do not."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def validate(
    directory: str | Path,
    text: bool = True,
    feats: bool = True,
    wav: bool = True,
    rate: int | None = None,
    prefix_is_error: bool = False,
) -> Findings:
    """Checks a data directory.

    Args:
        directory: with at least utt2spk.
        text: whether the file text must be there.
        feats: whether feats.scp must be there.
        wav: whether the wav files are looked at (their headers and sizes; pipes are not run).
        rate: the sampling rate in Hz that they must have; None takes the first file's.
        prefix_is_error: whether a speaker id that does not begin its utterance ids is an error.
    """
    directory, findings = Path(directory), Findings()
    errors = findings.errors
    if not directory.is_dir():
        raise AsrtoolError(f"{directory}: no such data directory")
    tables = {}
    for name in (*ALL_TABLES, "spk2utt"):
        if (directory / name).is_file():
            tables[name] = _checked_table(directory / name, errors)
    required = ["utt2spk", "spk2utt"] + ["text"] * text + ["feats.scp"] * feats
    for name in required:
        if name not in tables:
            errors.append(f"{directory}/{name}: no such file; {_FIX if name == 'spk2utt' else _mend(name)}")
    if "wav.scp" not in tables and "feats.scp" not in tables:
        errors.append(f"{directory}/wav.scp: no such file; a data directory needs wav.scp or feats.scp")
    if "utt2spk" in tables:
        _check_speakers(directory, tables, findings, prefix_is_error)
        _check_keys(directory, tables, errors)
    errors += [f"{directory}/text: {key}: empty transcript; {_FIX}" for key, words in tables.get("text", {}).items() if not words]
    factors = {name: dict(_checked_factors(directory / name, tables.get(name, {}), errors)) for name in FACTOR_FILES}
    durations = _wav_durations(directory, tables.get("wav.scp", {}), rate, errors) if wav else {}
    durations = {key: duration_s / factors["reco2speed"].get(key, 1.0) for key, duration_s in durations.items()}
    errors += _segment_errors(directory, tables, durations)
    errors += _frame_errors(directory, tables)
    return findings


def _mend(name: str) -> str:
    mends = {
        "feats.scp": "make features first (steps/make_fbank.sh), or say --feats false",
        "text": "write it, or say --text false",
    }
    return mends.get(name, "the corpus's preparation must write it")


def _checked_table(path: Path, errors: list[str]) -> dict[str, str]:
    """Key -> value (the first where a key occurs twice); checks form, order and coding of the file."""
    try:
        content = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        errors.append(f"{path}: not UTF-8 at byte {error.start}; convert it (iconv -t utf-8)")
        return {}
    if not content:
        errors.append(f"{path}: empty file; remove it or fill it")
        return {}
    if not content.endswith("\n"):
        errors.append(f"{path}: the last line has no line end; it may be truncated; {_FIX}")
    if "\r" in content:
        errors.append(f"{path}: Windows line ends; {_FIX}")
    table: dict[str, str] = {}
    previous, sorted_so_far = "", True
    for number, line in enumerate(content.removesuffix("\n").split("\n"), 1):
        fields = line.split(None, 1)
        if not fields or line[0] in " \t":
            errors.append(f"{path}: line {number}: empty, or begins with a space; {_FIX}")
            continue
        key = fields[0]
        if len(fields) == 1 and path.name != "text":
            errors.append(f"{path}: line {number}: {key}: expected 'key value'; {_FIX}")
        if key in table:
            errors.append(f"{path}: line {number}: {key}: occurs twice; {_FIX}")
            continue
        if key < previous and sorted_so_far:
            sorted_so_far = False
            errors.append(f"{path}: line {number}: {key}: not sorted (LC_ALL=C: '{previous}' stands before it); {_FIX}")
        previous = key
        table[key] = fields[1].strip() if len(fields) > 1 else ""
    return table


def _check_speakers(directory: Path, tables: dict, findings: Findings, prefix_is_error: bool) -> None:
    utt2spk, spk2utt = tables["utt2spk"], tables.get("spk2utt")
    without_prefix = [key for key, speaker in utt2spk.items() if not key.startswith(speaker)]
    for key, speaker in utt2spk.items():
        if len(speaker.split()) != 1:
            findings.errors.append(f"{directory}/utt2spk: {key}: expected one speaker, found '{speaker[:60]}'; mend the line")
    if without_prefix:
        key = without_prefix[0]
        message = (
            f"{directory}/utt2spk: {key}: does not begin with its speaker id '{utt2spk[key]}' "
            f"(nor do {len(without_prefix) - 1} others); name utterances <speaker>-<utterance>"
        )
        (findings.errors if prefix_is_error else findings.warnings).append(message)
    if spk2utt is not None:
        expected = speakers_utterances(utt2spk)
        for speaker in sorted(set(expected) | set(spk2utt)):
            if sorted(expected.get(speaker, [])) != sorted(spk2utt.get(speaker, "").split()):
                findings.errors.append(f"{directory}/spk2utt: {speaker}: does not agree with utt2spk; {_FIX}")


def _check_keys(directory: Path, tables: dict, errors: list[str]) -> None:
    """Every file must have the same utterances, recordings or speakers as utt2spk."""
    utterances = set(tables["utt2spk"])
    recordings = utterances
    if "segments" in tables:
        recordings = {line.split()[0] for line in tables["segments"].values() if line}
    for name, table in tables.items():
        if name in ("utt2spk", "spk2utt", "vad.scp", "utt2uniq", "utt2lang"):
            continue
        expected = (
            set(tables["utt2spk"].values()) if name in SPEAKER_FILES else recordings if name in RECORDING_FILES else utterances
        )
        for kind, keys in (("missing here", expected - set(table)), ("not in utt2spk or segments", set(table) - expected)):
            if keys:
                errors.append(f"{directory}/{name}: {min(keys)}: {kind} (and {len(keys) - 1} more); {_FIX}")


def _wav_durations(directory: Path, wav_scp: dict[str, str], rate: int | None, errors: list[str]) -> dict[str, float]:
    """Recording -> seconds of the plain wav files, from their headers."""
    durations = {}
    first = "asked for"
    for recording, entry in wav_scp.items():
        if entry.endswith("|"):
            continue
        try:
            header = read_wav_header(entry)
        except (AsrtoolError, OSError) as error:
            errors.append(f"{directory}/wav.scp: {recording}: {error}")
            continue
        if header is None:
            continue
        if rate is None:
            rate, first = header.rate, f"that of '{recording}'"
        if header.rate != rate:
            errors.append(f"{directory}/wav.scp: {recording}: {entry}: {header.rate} Hz, not {rate} ({first}); resample it")
        if header.channels != 1:
            errors.append(f"{directory}/wav.scp: {recording}: {entry}: {header.channels} channels; choose one by a pipe")
        if header.num_samples == 0:
            errors.append(f"{directory}/wav.scp: {recording}: {entry}: no samples; remove it and {_FIX}")
        durations[recording] = header.num_samples / max(header.rate, 1)
    return durations


def _checked_factors(path: Path, table: dict[str, str], errors: list[str]) -> Iterator[tuple[str, float]]:
    for key, value in table.items():
        try:
            yield key, parse_factor(value, f"{path}: {key}")
        except AsrtoolError as error:
            errors.append(f"{error}; mend the line")


def _segment_errors(directory: Path, tables: dict, durations: dict[str, float]) -> Iterator[str]:
    for key, line in tables.get("segments", {}).items():
        try:
            recording, start_s, end_s = parse_segment(directory / "segments", key, line)
        except AsrtoolError as error:
            yield str(error)
            continue
        duration_s = durations.get(recording, float("inf"))
        if start_s >= duration_s or end_s > duration_s + MAX_OVERSHOOT_S:
            yield f"{directory}/segments: {key}: {start_s}-{end_s} s is not in '{recording}' of {duration_s:.2f} s; mend it"


def _frame_errors(directory: Path, tables: dict) -> Iterator[str]:
    for key, value in tables.get("utt2num_frames", {}).items():
        if not value.isdecimal() or int(value) == 0:
            yield f"{directory}/utt2num_frames: {key}: expected a positive number, found '{value[:40]}'; make the features again"
