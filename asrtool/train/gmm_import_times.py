"""Phones with times: CTM files and folders of TextGrids (those of the Montreal Forced Aligner, say), utterance by utterance."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from asrtool.data.data_dir import DataDir
from asrtool.errors import AsrtoolError
from asrtool.io.ctm import read_ctm
from asrtool.io.textgrid import Interval, TextGrid, Tier, read_textgrid

PHONE_TIERS = ("phones", "phone", "segments", "segment", "phonemes", "mau")
WORD_TIERS = ("words", "word", "ort-mau", "orthography")


class TimedPhone(NamedTuple):
    """Seconds; position: "_B", "_I", "_E", "_S" within a word that is known, "" outside of words, None where nothing is known."""

    start_s: float
    end_s: float
    label: str
    position: str | None = None


@dataclass
class Timelines:
    """Phones by utterance or recording, in the order of time, and names of files that could not be read with the reason."""

    phones: dict[str, list[TimedPhone]] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)


def with_positions(phones: Sequence[Interval], words: Sequence[Interval]) -> list[TimedPhone]:
    """Where in its word each phone lies: that in which its middle is.

    Args:
        words: by time; only those with a label count.
    """
    owners, number = [], 0
    for phone in phones:
        middle = (phone.start_s + phone.end_s) / 2
        while number < len(words) and words[number].end_s <= middle:
            number += 1
        inside = number < len(words) and words[number].start_s <= middle and words[number].label.strip()
        owners.append(number if inside else None)
    result = []
    for index, (phone, owner) in enumerate(zip(phones, owners)):
        if owner is None:
            position = ""
        else:
            first = index == 0 or owners[index - 1] != owner
            last = index + 1 == len(owners) or owners[index + 1] != owner
            position = "_S" if first and last else "_B" if first else "_E" if last else "_I"
        result.append(TimedPhone(*phone, position))
    return result


def read_phone_ctm(path: Path, word_ctm: Path | None = None) -> Timelines:
    """Of a CTM file with a line a phone, by its first field; the channel is not looked at.

    Args:
        word_ctm: words with times, of which the phones are a part: they tell the positions.

    Raises:
        AsrtoolError: no such file, or lines of another form.
    """
    phones, words = _ctm_intervals(path), _ctm_intervals(word_ctm) if word_ctm else None
    found = Timelines()
    for name, intervals in phones.items():
        found.phones[name] = (
            with_positions(intervals, words.get(name, [])) if words is not None else [TimedPhone(*one) for one in intervals]
        )
    return found


def _ctm_intervals(path: Path) -> dict[str, list[Interval]]:
    intervals: dict[str, list[Interval]] = {}
    for entry in read_ctm(path, "utterance"):
        one = Interval(entry.start_s, entry.start_s + entry.duration_s, entry.word)
        intervals.setdefault(entry.recording, []).append(one)
    return {name: sorted(ones) for name, ones in intervals.items()}


def read_textgrids(folder: Path, data: DataDir, tier: str = "") -> Timelines:
    """Of all *.TextGrid in a folder and the folders in it.

    A file's utterance or recording is its name, or, where the data directory does not know that, its folder's name (the
    speaker), a dash or underscore, and its name.

    Args:
        tier: the tier of phones; default: one called phones or the like, or "<speaker> - phones".

    Raises:
        AsrtoolError: no such folder, or no TextGrid in it.
    """
    if not folder.exists():
        raise AsrtoolError(f"{folder}: no such folder")
    known = set(data.utt2spk) | {recording for recording, _, _ in data.segments.values()}
    paths = [folder] if folder.is_file() else sorted(path for path in folder.rglob("*") if path.suffix.lower() == ".textgrid")
    if not paths:
        raise AsrtoolError(f"{folder}: no *.TextGrid in it")
    found = Timelines()
    for path in paths:
        speaker, stem = path.parent.name, path.stem
        name = next((one for one in (stem, f"{speaker}-{stem}", f"{speaker}_{stem}") if one in known), stem)
        if name in found.phones:
            raise AsrtoolError(f"{path}: a second TextGrid for '{name}'; remove one")
        try:
            found.phones[name] = _phones_of(read_textgrid(path), path, tier)
        except AsrtoolError as error:
            found.wrong[name] = str(error)
    return found


def _phones_of(grid: TextGrid, path: Path, wanted: str) -> list[TimedPhone]:
    phones = [_find(grid, [wanted])] if wanted else [_find(grid, PHONE_TIERS)]
    words = [_find(grid, WORD_TIERS)]
    if phones[0] is None and not wanted:  # a tier of words and one of phones a speaker
        phones = [tier for tier in grid.tiers if tier.name.lower().endswith(" - phones")]
        words = [tier for tier in grid.tiers if tier.name.lower().endswith(" - words")]
    if not phones or phones[0] is None or any(tier.has_points for tier in phones):
        names = ", ".join(f"'{tier.name}'" for tier in grid.tiers) or "none"
        raise AsrtoolError(f"{path}: no tier {f'{wanted!r}' if wanted else 'of phones'} with intervals; its tiers: {names}")
    intervals = [one for tier in phones for one in tier.entries if one.end_s > one.start_s]
    if words == [None] or not words:
        return [TimedPhone(*one) for one in sorted(intervals)]
    return with_positions(sorted(intervals), sorted(one for tier in words for one in tier.labelled))


def _find(grid: TextGrid, names: Iterable[str]) -> Tier | None:
    return next((tier for name in names if (tier := grid.tier(name)) is not None), None)


def cut_segments(found: Timelines, data: DataDir) -> tuple[dict[str, list[TimedPhone]], list[str]]:
    """Phones by utterance, and the names that are neither utterances nor recordings of the data directory.

    Where a name is a recording's, each of its segments takes the phones whose middle lies within it.
    """
    utterances, used = {}, set()
    for utterance in data.utterances:
        if utterance in found.phones:
            utterances[utterance] = found.phones[utterance]
            used.add(utterance)
            continue
        recording, begin_s, end_s = data.segments.get(utterance, ("", 0.0, -1.0))
        if recording in found.phones:
            used.add(recording)
            utterances[utterance] = [
                one._replace(start_s=max(one.start_s - begin_s, 0.0), end_s=one.end_s - begin_s)
                for one in found.phones[recording]
                if begin_s <= (one.start_s + one.end_s) / 2 and (end_s < 0 or (one.start_s + one.end_s) / 2 < end_s)
            ]
    return utterances, sorted(set(found.phones) - used)
