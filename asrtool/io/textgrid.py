"""Praat's TextGrid files: tiers of labelled intervals and of labelled points.

A reader of Praat's text files heeds nothing but free-standing numbers, quoted strings and flags such as <exists>, so that the
long and the short form are read alike (Praat's manual, "TextGrid file formats").
"""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text
from asrtool.io.whole_file import read_bytes

_NUMBER = r"(?<!\S)([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?!\S)"
_TOKEN = re.compile(rf'"([^"]*(?:""[^"]*)*)"|{_NUMBER}|(?<!\S)![^\n]*|(")')
_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xfe\xff": "utf-16", b"\xff\xfe": "utf-16"}
_LONGEST_S = 1e12  # of times: infinity, which a damaged file may have, is no number to reckon with
_TOLERANCE_S = 1e-6
"""Times of neighbours that differ by no more are the same: programs round them."""


class Interval(NamedTuple):
    """A stretch of time, in seconds, and what it is called; "" where it is nothing."""

    start_s: float
    end_s: float
    label: str


class Point(NamedTuple):
    """A moment, in seconds, and what it is called."""

    time_s: float
    label: str


@dataclass
class Tier:
    """Its entries in the order of time: Intervals that do not overlap, or Points."""

    name: str
    entries: list[Interval] | list[Point] = field(default_factory=list)

    @property
    def has_points(self) -> bool:
        return bool(self.entries) and isinstance(self.entries[0], Point)

    @property
    def labelled(self) -> list[Interval] | list[Point]:
        """Those whose label is not empty or blank."""
        return [entry for entry in self.entries if entry.label.strip()]


@dataclass
class TextGrid:
    """Tiers of a recording that begins at start_s and ends at end_s, seconds."""

    end_s: float
    tiers: list[Tier] = field(default_factory=list)
    start_s: float = 0.0

    def tier(self, *names: str) -> Tier | None:
        """The first tier of one of these names, capitals or not; None where there is none."""
        wanted = {name.lower() for name in names}
        return next((tier for tier in self.tiers if tier.name.strip().lower() in wanted), None)


class _Tokens:
    """What a reader heeds of a file, one after another."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self._text = path, text
        self._at = 0
        self._found = self._scan()

    def _scan(self) -> Iterator[str | float]:
        for match in _TOKEN.finditer(self._text):
            self._at = match.start()
            string, number, quotation_mark = match.groups()
            if string is not None:
                yield string.replace('""', '"')
            elif number is not None:
                yield min(max(float(number), -_LONGEST_S), _LONGEST_S)
            elif quotation_mark:
                raise self.error("a quotation mark that is never closed")

    def error(self, message: str) -> AsrtoolError:
        line = self._text.count("\n", 0, self._at) + 1
        return AsrtoolError(f"{self.path}: line {line}: {message}; make the file again, or save it as text in Praat")

    def string(self, what: str) -> str:
        found = next(self._found, None)
        if not isinstance(found, str):
            raise self.error(f"truncated: {what} is due" if found is None else f"expected {what}, found the number {found:g}")
        return found

    def number(self, what: str) -> float:
        found = next(self._found, None)
        if not isinstance(found, float):
            raise self.error(f"truncated: {what} is due" if found is None else f"expected {what}, found '{found[:40]}'")
        return found

    def count(self, what: str) -> int:
        found = self.number(what)
        if found < 0 or found != int(found):
            raise self.error(f"expected {what}, found {found:g}")
        return int(found)


def read_textgrid(path: str | Path) -> TextGrid:
    """Reads a file in Praat's long or short text form; UTF-8 or UTF-16.

    Raises:
        AsrtoolError: no such file, another kind of file, damaged, or times that run backwards.
    """
    path = Path(path)
    tokens = _Tokens(path, _decoded(path))
    kind = tokens.string('"ooTextFile"')
    if kind != "ooTextFile" or tokens.string('"TextGrid"') not in ("TextGrid", "Praat TextGrid"):
        raise AsrtoolError(f"{path}: not a TextGrid in Praat's text form; save it in Praat as a text file")
    grid = TextGrid(start_s=tokens.number("xmin"), end_s=tokens.number("xmax"))
    for _ in range(tokens.count("the number of tiers")):
        grid.tiers.append(_read_tier(tokens))
    return grid


def _decoded(path: Path) -> str:
    data = bytes(read_bytes(path))
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    if data.startswith(b"ooBinaryFile"):
        raise AsrtoolError(f"{path}: in Praat's binary form; save it in Praat as a text file")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise AsrtoolError(f"{path}: not {encoding.upper()} at byte {error.start}; convert it") from None


def _read_tier(tokens: _Tokens) -> Tier:
    kind = tokens.string("the class of a tier")
    if kind not in ("IntervalTier", "TextTier"):
        raise tokens.error(f"expected the class of a tier, IntervalTier or TextTier, found '{kind[:40]}'")
    tier = Tier(tokens.string("the name of a tier"))
    tokens.number("xmin of a tier")
    tokens.number("xmax of a tier")
    before = -math.inf
    for _ in range(tokens.count("the number of entries")):
        start_s = tokens.number("a time")
        end_s = tokens.number("a time") if kind == "IntervalTier" else start_s
        label = tokens.string("a label")
        if start_s < before - _TOLERANCE_S or end_s < start_s - _TOLERANCE_S:
            raise tokens.error(f"tier '{tier.name[:40]}': times run backwards at {start_s:g} s")
        before = end_s
        tier.entries.append(Interval(start_s, end_s, label) if kind == "IntervalTier" else Point(start_s, label))
    return tier


def filled_tier(name: str, intervals: Iterable[Interval], end_s: float, start_s: float = 0.0) -> Tier:
    """A tier without gaps, as Praat demands it: empty intervals stand where none is given.

    Args:
        intervals: by time; one that begins before the last has ended begins at that end.
        end_s: the end of the recording.
    """
    entries, now = [], start_s
    for one in intervals:
        if one.start_s > now + _TOLERANCE_S:
            entries.append(Interval(now, one.start_s, ""))
            now = one.start_s
        if one.end_s > now:
            entries.append(Interval(now, one.end_s, one.label))
            now = one.end_s
    if end_s > now + _TOLERANCE_S or not entries:
        entries.append(Interval(now, max(end_s, now), ""))
    return Tier(name, entries)


def write_textgrid(path: str | Path, grid: TextGrid) -> None:
    """Writes the long form as Praat does, in UTF-8, whole or not at all; times with up to 15 digits that count."""
    write_text(path, format_textgrid(grid))


def format_textgrid(grid: TextGrid) -> str:
    """The text of the long form."""
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", *_span("", grid), "tiers? <exists> "]
    lines += [f"size = {len(grid.tiers)} ", "item []: "]
    for number, tier in enumerate(grid.tiers, 1):
        points = tier.has_points
        lines += [f"    item [{number}]:", f'        class = "{"TextTier" if points else "IntervalTier"}" ']
        lines += [f"        name = {_quoted(tier.name)} ", *_span("        ", grid)]
        word = "points" if points else "intervals"
        lines.append(f"        {word}: size = {len(tier.entries)} ")
        for index, entry in enumerate(tier.entries, 1):
            lines.append(f"        {word} [{index}]:")
            if points:
                times, mark = [f"number = {_time(entry.time_s)}"], "mark"
            else:
                times, mark = [f"xmin = {_time(entry.start_s)}", f"xmax = {_time(entry.end_s)}"], "text"
            lines += [f"            {line} " for line in (*times, f"{mark} = {_quoted(entry.label)}")]
    return "\n".join(lines) + "\n"


def _span(indent: str, grid: TextGrid) -> list[str]:
    return [f"{indent}xmin = {_time(grid.start_s)} ", f"{indent}xmax = {_time(grid.end_s)} "]


def _time(value: float) -> str:
    return format(value, ".15g")


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
