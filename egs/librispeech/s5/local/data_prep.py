"""A Kaldi data directory of a part of LibriSpeech: `python local/data_prep.py [options] DIR/LibriSpeech/dev-clean data/dev_clean`

Utterances are named speaker-chapter-number as their files are, speakers speaker-chapter: who reads another book sounds otherwise,
and Kaldi's recipe does so. wav.scp names the flac files, which are read directly; utt2dur is what their headers say. What is not
used, and why, is in DATA_DIR/problems.txt.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from asrtool.arguments import parser
from asrtool.cli import guarded
from asrtool.data.data_dir import write_spk2utt, write_table
from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text

UTTERANCE = re.compile(r"(\d+)-(\d+)-\d+")
RATE_HZ = 16000
NUM_SHOWN = 5  # problems on the screen


@dataclass
class Part:
    """utterance -> flac file, seconds and text; left_out, mended: (what, why) of all that is not used or was set right."""

    audio: dict[str, str] = field(default_factory=dict)
    duration_s: dict[str, float] = field(default_factory=dict)
    text: dict[str, str] = field(default_factory=dict)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    mended: list[tuple[str, str]] = field(default_factory=list)


def read_genders(path: Path) -> dict[str, str]:
    """speaker -> m or f, of the lines "id | F | part | minutes | name" of SPEAKERS.TXT.

    Raises:
        AsrtoolError: no such file, or a line of another form.
    """
    if not path.is_file():
        raise AsrtoolError(f"{path}: no such file; fetch the corpus again, every archive has it")
    genders = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if line.strip() and not line.startswith(";"):
            fields = [column.strip() for column in line.split("|")]
            if len(fields) < 3 or not fields[0].isdigit() or fields[1] not in ("F", "M"):
                raise AsrtoolError(f"{path}: line {number}: expected 'speaker | F or M | part | ...', found '{line[:40]}'")
            genders[fields[0]] = fields[1].lower()
    return genders


def read_transcript(path: Path, prefix: str, part: Part) -> dict[str, str]:
    """utterance -> text of a chapter's file; what cannot be used goes to `part`."""
    texts: dict[str, str] = {}
    refused = set()
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        utterance, *words = line.split() or [""]
        text = " ".join(words)
        if not utterance:
            part.mended.append((f"{path}: line {number}", "empty line"))
        elif not UTTERANCE.fullmatch(utterance) or not utterance.startswith(prefix):
            part.left_out.append((utterance[:60], f"not an utterance of this chapter ({path}: line {number})"))
        elif not words:
            part.left_out.append((utterance, f"no text ({path}: line {number})"))
            refused.add(utterance)
        elif "\N{REPLACEMENT CHARACTER}" in text:
            part.left_out.append((utterance, f"text is not UTF-8 ({path}: line {number})"))
            refused.add(utterance)
        elif utterance in refused:
            part.mended.append((utterance, f"stands again ({path}: line {number})"))
        elif texts.get(utterance, text.upper()) != text.upper():
            part.left_out.append((utterance, f"stands twice, with different texts ({path}: line {number})"))
            refused.add(utterance)
        else:
            if utterance in texts:
                part.mended.append((utterance, f"stands twice, with the same text ({path}: line {number})"))
            elif text != text.upper():
                part.mended.append((utterance, "text made upper case"))
            texts[utterance] = text.upper()
    return {utterance: text for utterance, text in texts.items() if utterance not in refused}


def flac_duration_s(path: Path) -> float:
    """Seconds, from the header: bits 80 to 143 of its first block are rate (20), channels - 1 (3), bits - 1 (5) and samples (36).

    Raises:
        AsrtoolError: not a flac file, empty, or not 16 kHz and mono.
    """
    with open(path, "rb") as file:
        head = file.read(26)
    if not head:
        raise AsrtoolError(f"{path}: empty file")
    if len(head) < 26 or head[:4] != b"fLaC":
        raise AsrtoolError(f"{path}: not a flac file")
    packed = int.from_bytes(head[18:26], "big")
    rate, channels, samples = packed >> 44, (packed >> 41 & 7) + 1, packed & ((1 << 36) - 1)
    if rate != RATE_HZ or channels != 1:
        raise AsrtoolError(f"{path}: {rate} Hz and {channels} channel(s), expected {RATE_HZ} and 1")
    if samples == 0:
        raise AsrtoolError(f"{path}: no samples")
    return samples / rate


def chapters(directory: Path, part: Part) -> Iterator[tuple[str, str, Path]]:
    """(speaker, chapter, folder), sorted; anything else in the tree goes to `part`."""
    for speaker in sorted(directory.iterdir()):
        if not speaker.is_dir() or not speaker.name.isdigit():
            part.mended.append((str(speaker), "not a speaker's folder"))
            continue
        for chapter in sorted(speaker.iterdir()):
            if chapter.is_dir() and chapter.name.isdigit():
                yield speaker.name, chapter.name, chapter
            else:
                part.mended.append((str(chapter), "not a chapter's folder"))


def read_part(directory: Path) -> Part:
    """Everything of a part that has a flac file and a text.

    Raises:
        AsrtoolError: no such directory.
    """
    if not directory.is_dir():
        raise AsrtoolError(f"{directory}: no such directory; --corpus names the directory that holds LibriSpeech/")
    part = Part()
    for speaker, chapter, folder in chapters(directory, part):
        prefix = f"{speaker}-{chapter}-"
        audio = {file.stem: file for file in folder.iterdir() if file.suffix == ".flac"}
        transcript = folder / f"{speaker}-{chapter}.trans.txt"
        if not transcript.is_file():
            part.left_out += [(name, f"{transcript}: no such file") for name in sorted(audio)]
            continue
        known = len(part.left_out)
        texts = read_transcript(transcript, prefix, part)
        explained = {name for name, _ in part.left_out[known:]}
        for utterance in sorted(texts.keys() | audio.keys()):
            if utterance not in audio:
                part.left_out.append((utterance, f"{folder / utterance}.flac: no such file"))
            elif utterance in texts:
                try:
                    part.duration_s[utterance] = flac_duration_s(audio[utterance])
                except AsrtoolError as error:
                    part.left_out.append((utterance, str(error)))
                    continue
                part.audio[utterance], part.text[utterance] = str(audio[utterance]), texts[utterance]
            elif utterance not in explained:
                part.left_out.append((utterance, f"not in {transcript}"))
    return part


def report(part: Part, directory: Path, data: Path, max_failed: float) -> None:
    """Writes problems.txt, shows the first of them and the counts.

    Raises:
        AsrtoolError: nothing can be used, or a larger share than `max_failed` is left out.
    """
    lines = [f"left out: {name}: {why}" for name, why in part.left_out] + [f"mended: {name}: {why}" for name, why in part.mended]
    write_text(data / "problems.txt", "".join(f"{line}\n" for line in lines))
    for line in lines[:NUM_SHOWN]:
        print(f"WARNING: {line}", file=sys.stderr)
    if len(lines) > NUM_SHOWN:
        print(f"WARNING: {len(lines) - NUM_SHOWN} more in {data / 'problems.txt'}", file=sys.stderr)
    if not part.audio:
        raise AsrtoolError(f"{directory}: no utterances with flac file and text; is it a part of LibriSpeech?")
    missing = len({name for name, _ in part.left_out})
    if missing > max_failed * (missing + len(part.audio)):
        raise AsrtoolError(
            f"{directory}: {missing} of {missing + len(part.audio)} utterances cannot be used (allowed: {max_failed:.0%}), see "
            f"{data / 'problems.txt'}; fetch the part again, or raise --max-failed"
        )


def prepare(directory: Path, data: Path, max_failed: float, max_utterances: int) -> None:
    part = read_part(directory)
    genders = read_genders(directory.parent / "SPEAKERS.TXT")
    report(part, directory, data, max_failed)
    names = sorted(part.audio)
    if 0 < max_utterances < len(names):  # spread evenly, as asrtool subset-data-dir --even
        names = [names[index * len(names) // max_utterances] for index in range(max_utterances)]
    speakers = {name: name.rpartition("-")[0] for name in names}
    readers = {speaker: speaker.partition("-")[0] for speaker in speakers.values()}
    for reader in readers.values():
        if reader not in genders:
            raise AsrtoolError(
                f"{directory.parent}/SPEAKERS.TXT: {reader}: missing, but {directory} has recordings; fetch it again"
            )
    write_table(data / "wav.scp", {name: part.audio[name] for name in names})
    write_table(data / "utt2dur", {name: f"{part.duration_s[name]:.3f}" for name in names})
    write_table(data / "text", {name: part.text[name] for name in names})
    write_table(data / "spk2gender", {speaker: genders[reader] for speaker, reader in readers.items()})
    write_spk2utt(data / "spk2utt", speakers)
    write_table(data / "utt2spk", speakers)
    hours = sum(part.duration_s[name] for name in names) / 3600
    print(
        f"{data}: {hours:.2f} h, {len(names)} utterances, {len(readers)} chapters of {len(set(readers.values()))} speakers; "
        f"{len({name for name, _ in part.left_out})} left out",
        file=sys.stderr,
    )


def main(arguments: list[str]) -> int:
    options = parser("data_prep.py", __doc__)
    options.add_argument("--max-failed", type=float, default=0.01, help="share of utterances that may be unusable (default 0.01)")
    options.add_argument("--max-utts", type=int, default=0, help="only so many, spread evenly (default 0: all)")
    options.add_argument("part", type=Path)
    options.add_argument("data", type=Path)
    given = options.parse_args(arguments)
    prepare(given.part.resolve(), given.data, given.max_failed, given.max_utts)
    return 0


if __name__ == "__main__":
    sys.exit(guarded("data_prep.py", main, sys.argv[1:]))
