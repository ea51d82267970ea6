"""Mends a data directory: sorts, drops what occurs twice or is incomplete, writes spk2utt anew."""

import sys
from pathlib import Path

from asrtool.data.data_dir import ALL_TABLES, FACTOR_FILES, parse_segment, select, write_table
from asrtool.errors import AsrtoolError
from asrtool.io.audio import read_wav_header


def fix(directory: str | Path) -> tuple[int, int]:
    """Mends a directory in place; the files as they were stay in DIR/.backup.

    An utterance stays if every file by utterance has it, its transcript is not empty, and its recording is there,
    whole and, for segments, in wav.scp. Of a key that occurs twice the first line stays.

    Returns:
        Utterances before and after.

    Raises:
        AsrtoolError: no utt2spk, or no utterance left.
    """
    directory = Path(directory)
    if not (directory / "utt2spk").is_file():
        raise AsrtoolError(f"{directory}/utt2spk: no such file; is {directory} a data directory?")
    tables = {name: _first_of_each(directory / name) for name in ALL_TABLES if (directory / name).is_file()}
    _back_up(directory)
    keep = set(tables["utt2spk"])
    before = len(keep)
    wavs = _good_recordings(directory, tables["wav.scp"]) if "wav.scp" in tables else None
    for name in ("text", "feats.scp", "utt2num_frames", "utt2dur"):
        if name in tables:
            complete = {key for key, value in tables[name].items() if value}
            _report(directory / name, keep - complete, "no entry, or an empty one")
            keep &= complete
    if "segments" in tables:
        keep = {key for key in keep if _segment_fits(directory, key, tables["segments"].get(key), wavs)}
    elif wavs is not None:
        _report(directory / "wav.scp", keep - set(tables["wav.scp"]), "not in it")
        keep &= wavs
    for name in FACTOR_FILES:
        if name in tables:
            segments = tables.get("segments", {})
            named = {key for key in keep if (segments[key].split()[0] if segments else key) in tables[name]}
            _report(directory / name, keep - named, "its recording is not in it")
            keep = named
    if not keep:
        raise AsrtoolError(f"{directory}: no utterance is complete; the files do not name the same utterances")
    for name, table in tables.items():  # sorted and free of doubles first; select reads them again
        write_table(directory / name, {key: value for key, value in table.items() if value})
    select(directory, directory, keep)
    return before, len(keep)


def _first_of_each(path: Path) -> dict[str, str]:
    try:
        lines = path.read_bytes().decode("utf-8").replace("\r", "\n").split("\n")
    except UnicodeDecodeError as error:
        raise AsrtoolError(f"{path}: not UTF-8 at byte {error.start}; convert it (iconv -t utf-8)") from None
    table: dict[str, str] = {}
    for fields in (line.split(None, 1) for line in lines):
        if not fields:
            continue
        value = fields[1].strip() if len(fields) > 1 else ""
        if table.setdefault(fields[0], value) != value:
            print(f"WARNING: {path}: {fields[0]}: occurs twice with other content; the first is kept", file=sys.stderr)
    return table


def _back_up(directory: Path) -> None:
    backup = directory / ".backup"
    backup.mkdir(exist_ok=True)
    for name in (*ALL_TABLES, "spk2utt"):
        if (directory / name).is_file():
            (backup / name).write_bytes((directory / name).read_bytes())


def _good_recordings(directory: Path, wav_scp: dict[str, str]) -> set[str]:
    good = set()
    for recording, entry in wav_scp.items():
        try:
            if not entry or (not entry.endswith("|") and (header := read_wav_header(entry)) and header.num_samples == 0):
                raise AsrtoolError(f"{entry}: no samples")
            good.add(recording)
        except (AsrtoolError, OSError) as error:
            print(f"WARNING: {directory}/wav.scp: {recording}: left out: {error}", file=sys.stderr)
    return good


def _segment_fits(directory: Path, utterance: str, line: str | None, recordings: set[str] | None) -> bool:
    try:
        if line is None:
            raise AsrtoolError(f"{directory}/segments: {utterance}: not in it")
        recording = parse_segment(directory / "segments", utterance, line)[0]
        if recordings is not None and recording not in recordings:
            raise AsrtoolError(f"{directory}/segments: {utterance}: recording '{recording}' is not in wav.scp or unusable")
    except AsrtoolError as error:
        print(f"WARNING: left out: {error}", file=sys.stderr)
        return False
    return True


def _report(path: Path, dropped: set[str], why: str) -> None:
    if dropped:
        more = f" (and {len(dropped) - 1} more)" if len(dropped) > 1 else ""
        print(f"WARNING: {path}: {min(dropped)}: left out: {why}{more}", file=sys.stderr)
