"""Texts by utterance: Kaldi's "utterance words" lines, and NIST's trn and stm (sctk/doc/infmts.htm).

A trn names the utterance in brackets after its words, an stm gives the time of each utterance. For ctm see `io.ctm`.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text
from asrtool.io.ctm import CtmWord
from asrtool.io.whole_file import read_text as read_whole_text

Texts = dict[str, list[str]]
IGNORED_SEGMENT = "IGNORE_TIME_SEGMENT_IN_SCORING"
_TRN_LINE = re.compile(r"(.*?)\s*\(([^()\s]+)\)")


class StmSegment(NamedTuple):
    """A line of an stm; times in seconds."""

    recording: str
    channel: str
    speaker: str
    start_s: float
    end_s: float
    words: list[str]
    label: str = "<O>"


def _lines(path: str | Path, comment: str | None = None) -> list[tuple[int, str]]:
    text = read_whole_text(path, "no such file; decode first", "utf-8-sig")
    lines = ((number, line.strip()) for number, line in enumerate(text.split("\n"), 1))
    return [(number, line) for number, line in lines if not (comment and (line.startswith(comment) or not line))]


def read_text(path: str | Path) -> Texts:
    """Reads a Kaldi text: an utterance and its words a line.

    Raises:
        AsrtoolError: no such file, or an utterance twice.
    """
    text: Texts = {}
    lines = _lines(path)
    if lines and not lines[-1][1]:
        lines.pop()
    for _, line in lines:
        utterance, *words = line.split() or [""]
        if not utterance or utterance in text:
            raise AsrtoolError(f"{path}: {utterance or 'an empty line'}: each utterance must stand once; decode again")
        text[utterance] = words
    return text


def write_kaldi_text(path: str | Path, texts: Mapping[str, list[str]]) -> None:
    """A Kaldi text, sorted by utterance."""
    write_text(Path(path), "".join(" ".join([utterance, *texts[utterance]]) + "\n" for utterance in sorted(texts)))


def write_trn(path: str | Path, texts: Mapping[str, list[str]], utt2spk: Mapping[str, str] | None = None) -> None:
    """A trn, sorted by utterance: "words (speaker-utterance)", the speaker only where the id does not begin with it.

    So `sclite -i spu_id` finds the speakers, and the ids are those of the data directory where these begin with the speaker.
    """
    write_text(Path(path), "".join(f"{' '.join([*texts[u], f'({_trn_id(u, utt2spk or {})})'])}\n" for u in sorted(texts)))


def _trn_id(utterance: str, utt2spk: Mapping[str, str]) -> str:
    speaker = utt2spk.get(utterance, utterance)
    return utterance if utterance == speaker or utterance.startswith((f"{speaker}-", f"{speaker}_")) else f"{speaker}-{utterance}"


def read_trn(path: str | Path) -> Texts:
    """Reads a trn; lines that begin with ;; are comments.

    Raises:
        AsrtoolError: a line without an id in brackets at its end, an id twice, or alternatives in braces (not supported).
    """
    texts: Texts = {}
    for number, line in _lines(path, ";;"):
        found = _TRN_LINE.fullmatch(line)
        if found is None:
            raise AsrtoolError(f"{path}: line {number}: expected 'words (utterance)', found '{line[:60]}'")
        if found[2] in texts:
            raise AsrtoolError(f"{path}: line {number}: {found[2]}: the utterance occurs before")
        words = found[1].split()
        if "{" in words:
            raise AsrtoolError(f"{path}: line {number}: {found[2]}: alternatives in braces are not supported; keep one of them")
        texts[found[2]] = words
    return texts


def write_stm(path: str | Path, segments: Iterable[StmSegment]) -> None:
    """An stm, sorted by recording, channel and time."""
    rows = sorted(segments, key=lambda segment: segment[:2] + segment[3:5])
    times = (f"{row.start_s:.3f} {row.end_s:.3f}" for row in rows)
    write_text(Path(path), "".join(f"{' '.join([*row[:3], time, row.label, *row.words])}\n" for row, time in zip(rows, times)))


def read_stm(path: str | Path) -> list[StmSegment]:
    """Reads an stm; the label in <> may be missing.

    Raises:
        AsrtoolError: a line of another form, or a segment that ends before it starts.
    """
    segments = []
    for number, line in _lines(path, ";;"):
        fields = line.split()
        start_s, end_s = (_number(path, number, field) for field in [*fields, "", "", ""][3:5])
        if not 0 <= start_s <= end_s:
            raise AsrtoolError(f"{path}: line {number}: the segment {start_s}-{end_s} s ends before it starts")
        has_label = len(fields) > 5 and fields[5].startswith("<") and fields[5].endswith(">") and fields[5] != "<unk>"
        words = fields[6 if has_label else 5 :]
        segments.append(StmSegment(*fields[:3], start_s, end_s, words, fields[5] if has_label else "<O>"))
    return segments


def ctm_to_texts(words: Iterable[CtmWord], segments: Iterable[StmSegment]) -> tuple[Texts, Texts, int]:
    """Texts of the segments of an stm, to be scored: each word of a ctm goes to the segment that its middle lies in.

    Segments with the text IGNORE_TIME_SEGMENT_IN_SCORING are left out. Where segments overlap, the one that starts last takes
    the word.

    Returns:
        references and hypotheses by "recording_channel_start" (in 1/100 s, 7 digits, as Kaldi names utterances), and the number
        of words outside all segments, which are not scored.
    """
    references, hypotheses, starts = {}, {}, {}
    for segment in sorted(segments, key=lambda segment: segment[:2] + segment[3:5]):
        name = f"{segment.recording}_{segment.channel}_{round(segment.start_s * 100):07d}"
        starts.setdefault(segment[:2], []).append((segment.start_s, segment.end_s, name))
        if segment.words != [IGNORED_SEGMENT]:
            if name in references:
                raise AsrtoolError(
                    f"the stm has two segments of '{segment.recording}' that start at {segment.start_s} s; mend it"
                )
            references[name], hypotheses[name] = segment.words, []
    outside = 0
    for word in sorted(words, key=lambda word: word[:3]):
        middle = word.start_s + 0.5 * word.duration_s
        there = starts.get(word[:2], [])
        index = bisect_right(there, middle, key=lambda entry: entry[0]) - 1
        if index < 0 or middle >= there[index][1]:
            outside += 1
        elif there[index][2] in hypotheses:
            hypotheses[there[index][2]].append(word.word)
    return references, hypotheses, outside


def _number(path: str | Path, number: int, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise AsrtoolError(f"{path}: line {number}: expected a number, found '{text[:40]}'") from None
