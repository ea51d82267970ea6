"""Results on disk: a TextGrid or JSON file a recording, or CTM files of all."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from asrtool.forced_alignment.times import AlignedUtterance, PhoneTime, WordTime
from asrtool.io.atomic_file import write_text
from asrtool.io.ctm import CtmWord, write_ctm
from asrtool.io.textgrid import Interval, TextGrid, filled_tier, write_textgrid

FORMATS = ("textgrid", "ctm", "json")
DIGITS = 3  # of a second


def by_recording(results: Iterable[AlignedUtterance]) -> dict[str, list[AlignedUtterance]]:
    """Recording -> its utterances in the order of time."""
    found: dict[str, list[AlignedUtterance]] = {}
    for one in results:
        found.setdefault(one.recording, []).append(one)
    return {name: sorted(found[name], key=lambda one: one.start_s) for name in sorted(found)}


def write_results(
    directory: Path, results: Iterable[AlignedUtterance], formats: Iterable[str], textgrid_confidence: bool = True
) -> None:
    """Writes RECORDING.TextGrid, RECORDING.json, words.ctm and phones.ctm into a folder, as asked for."""
    recordings = by_recording(results)
    formats = set(formats)
    for name, utterances in recordings.items():
        if "textgrid" in formats:
            write_textgrid(directory / f"{name}.TextGrid", textgrid(utterances, textgrid_confidence))
        if "json" in formats:
            content = {"recording": name, "utterances": [record(one) for one in utterances]}
            write_text(directory / f"{name}.json", json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    if "ctm" in formats:
        everything = [word for utterances in recordings.values() for one in utterances for word in _ctm_words(one)]
        write_ctm(directory / "words.ctm", (line for line, _ in everything), DIGITS)
        write_ctm(directory / "phones.ctm", (phone for _, phones in everything for phone in phones), DIGITS)


def textgrid(utterances: list[AlignedUtterance], confidence: bool) -> TextGrid:
    """Tiers "words" and "phones" of a recording, "SPEAKER - " before them where several people speak; and of confidences."""
    end_s = max(one.end_s for one in utterances)
    speakers = list(dict.fromkeys(one.speaker for one in utterances))
    grid = TextGrid(end_s)
    for speaker in speakers:
        own = [one for one in utterances if one.speaker == speaker]
        words: list[WordTime | PhoneTime] = [word for one in own for word in one.words]
        phones: list[WordTime | PhoneTime] = [phone for word in words for phone in word.phones]
        prefix = f"{speaker} - " if len(speakers) > 1 else ""
        for name, entries in (("words", words), ("phones", phones)):
            grid.tiers.append(filled_tier(f"{prefix}{name}", (_interval(one) for one in entries), end_s))
        for name, entries in (("word", words), ("phone", phones)) if confidence else ():
            intervals = (_interval(one)._replace(label=f"{one.confidence:.2f}") for one in entries)
            grid.tiers.append(filled_tier(f"{prefix}{name} confidence", intervals, end_s))
    return grid


def _interval(one: WordTime | PhoneTime) -> Interval:
    label = one.word if isinstance(one, WordTime) else one.phone
    return Interval(round(one.start_s, 4), round(one.end_s, 4), label)


def _ctm_words(utterance: AlignedUtterance) -> list[tuple[CtmWord, list[CtmWord]]]:
    """(line of the word, lines of its phones)."""

    def line(label: str, one: WordTime | PhoneTime) -> CtmWord:
        start_s, end_s = round(one.start_s, DIGITS), round(one.end_s, DIGITS)
        return CtmWord(utterance.recording, "1", start_s, end_s - start_s, label, one.confidence)

    return [(line(word.word, word), [line(phone.phone, phone) for phone in word.phones]) for word in utterance.words]


def record(utterance: AlignedUtterance) -> dict:
    """As JSON has it: times and confidences rounded."""
    return _rounded(asdict(utterance) | {"confidence": utterance.confidence})


def _rounded(value):
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list) else value


def parse_record(content: dict) -> AlignedUtterance:
    """What `record` gave."""
    words = [WordTime(**(word | {"phones": [PhoneTime(**phone) for phone in word["phones"]]})) for word in content["words"]]
    pauses = [PhoneTime(**one) for one in content["pauses"]]
    rest = {key: value for key, value in content.items() if key not in ("words", "pauses", "confidence")}
    return AlignedUtterance(**rest, words=words, pauses=pauses)
