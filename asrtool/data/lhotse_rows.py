"""Utterances out of a lhotse manifest, and the tables of a data directory that they make."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from asrtool.data.lhotse_sound import Sound

KALDI = "kaldi"  # key of a supervision's custom field: file name -> line, for what lhotse has no field for
CARRIED_BY_UTTERANCE = ("utt2dur", "utt2uniq", "vad.scp")
CARRIED_BY_SPEAKER = ("cmvn.scp", "spk2warp", "trans.scp")
CARRIED_BY_RECORDING = ("reco2dur", "reco2file_and_channel")
_SAME_S = 2e-4  # times are the same if they differ by less: files are written with four decimals


@dataclass(frozen=True, slots=True)
class Row:
    """One utterance.

    Attributes:
        name: its id; own: the same without a speaker put before it.
        recording, channel: in the manifest; recording_id: in the data directory.
        start_s, end_s: in the recording.
        carried: the lines that a data directory had for it, where it came out of one.
    """

    name: str
    own: str
    recording: str
    channel: int
    recording_id: str
    start_s: float
    end_s: float
    speaker: str
    text: str | None
    language: str | None
    gender: str | None
    carried: dict[str, str] | None


def seconds(value: float) -> str:
    """The shortest decimal within a billionth of a second."""
    return f"{value:.9f}".rstrip("0").rstrip(".")


def utterance_tables(rows: Mapping[str, Row]) -> dict[str, dict[str, str]]:
    """utt2spk, text, utt2lang and what was carried along; text and utt2lang have lines where there is something to say."""
    tables = {
        "utt2spk": {row.name: row.speaker for row in rows.values()},
        "text": {row.name: row.text for row in rows.values() if row.text is not None},
        "utt2lang": {row.name: str(row.language) for row in rows.values() if row.language not in (None, "")},
        "utt2dur": {},
    }
    for row in rows.values():
        if row.carried is None:
            tables["utt2dur"][row.name] = f"{row.end_s - row.start_s:.4f}"
            continue
        for name in CARRIED_BY_UTTERANCE:
            if name in row.carried:
                tables.setdefault(name, {})[row.name] = row.carried[name]
        if "utt2dur" in row.carried and not _close(row.carried["utt2dur"], row.end_s - row.start_s, 0.06):
            tables["utt2dur"][row.name] = f"{row.end_s - row.start_s:.4f}"
        for name in CARRIED_BY_SPEAKER:
            if name in row.carried:
                tables.setdefault(name, {})[row.speaker] = row.carried[name]
    return {name: table for name, table in tables.items() if table}


def recording_tables(rows: Mapping[str, Row], sounds: Mapping[str, Sound]) -> dict[str, dict[str, str]]:
    """wav.scp, segments unless every utterance is a recording, reco2dur, and factors where there are any."""
    segmented = _needs_segments(rows.values(), sounds)
    faster = any(sounds[row.recording].speed != 1 for row in rows.values())
    louder = any(sounds[row.recording].volume != 1 for row in rows.values())
    names = ("wav.scp", "reco2dur", "reco2speed", "reco2vol", "segments", "reco2file_and_channel")
    tables: dict[str, dict[str, str]] = {name: {} for name in names}
    for row in rows.values():
        name, sound = (row.recording_id if segmented else row.name), sounds[row.recording]
        tables["wav.scp"][name] = sound.entries[row.channel]
        if faster:
            tables["reco2speed"][name] = f"{sound.speed:.9g}"
        if louder:
            tables["reco2vol"][name] = f"{sound.volume:.6g}"
        carried = row.carried or {}
        if row.carried is None:
            tables["reco2dur"][name] = f"{sound.duration_s:.4f}"
            if len(sound.entries) > 1:
                tables["reco2file_and_channel"][name] = f"{row.recording.replace(' ', '_')} {row.channel + 1}"
        if "reco2dur" in carried:
            same = _close(carried["reco2dur"], sound.duration_s, 0.06)
            tables["reco2dur"][name] = carried["reco2dur"] if same else f"{sound.duration_s:.4f}"
        if "reco2file_and_channel" in carried:
            tables["reco2file_and_channel"][name] = carried["reco2file_and_channel"]
        if segmented:
            tables["segments"][row.name] = _segment(row, sound)
    if len(tables["reco2file_and_channel"]) < len(tables["wav.scp"]):  # a file that not all recordings have is none
        del tables["reco2file_and_channel"]
    return {name: table for name, table in tables.items() if table}


def _needs_segments(rows: Iterable[Row], sounds: Mapping[str, Sound]) -> bool:
    taken = set()
    for row in rows:
        sound = sounds[row.recording]
        if (row.carried and "segments" in row.carried) or row.start_s > 0 or row.end_s < sound.duration_s - 1.5 / sound.rate:
            return True
        if row.recording_id != row.own or (row.recording, row.channel) in taken:
            return True
        taken.add((row.recording, row.channel))
    return False


def _segment(row: Row, sound: Sound) -> str:
    """As it was written where it says the same."""
    written = (row.carried or {}).get("segments")
    if written:
        recording, start, end, *_ = [*written.split(), "", "", ""]
        ends_with = end == "-1" or _close(end, row.end_s, _SAME_S) or (_number(end) > row.end_s >= sound.duration_s)
        if recording == row.recording_id and _close(start, row.start_s, _SAME_S) and ends_with:
            return written
    return f"{row.recording_id} {seconds(row.start_s)} {seconds(row.end_s)}"


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _close(text: str, value: float, within: float) -> bool:
    return abs(_number(text) - value) <= within


def gender_table(rows: Mapping[str, Row]) -> tuple[dict[str, str], str | None]:
    """spk2gender (m and f, from whatever begins so), or none and why: every speaker must have one, and one only."""
    genders: dict[str, str] = {}
    for row in rows.values():
        letter = str(row.gender or "").strip().lower()[:1]
        if letter not in ("m", "f"):
            continue
        if genders.setdefault(row.speaker, letter) != letter:
            return {}, f"speaker {row.speaker} has two genders; spk2gender is left out"
    missing = {row.speaker for row in rows.values()} - genders.keys()
    if genders and missing:
        return {}, f"{len(missing)} speakers, {min(missing)} first, have no gender; spk2gender is left out"
    return genders, None


def carried_lines(names: Iterable[str], key: str, tables: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """The lines of these files for one key."""
    return {name: tables[name][key] for name in names if name in tables and key in tables[name]}
