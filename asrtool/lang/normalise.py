"""Normalisation of text before it is scored or counted: a chain of named steps, applied to both sides.

Symbols such as <UNK>, [noise] or !SIL pass through untouched.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence

from asrtool.errors import AsrtoolError

SYMBOL = re.compile(r"<[^<>\s]+>|\[[^\[\]\s]+\]|![A-Z]+")
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}
_HANZI = "\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_LATIN = "0-9A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f"
_MARK = "\u2581"
_DIGITS = "零一二三四五六七八九"
_NUMBER = re.compile(r"(?<![A-Za-z\d.])(\d{1,3}(?:,\d{3})+|\d+)(?:\.(\d+))?(?:\s?(%))?(?![A-Za-z\d])(?=(\s*年)?)")
_MAX_CARDINAL_DIGITS = 8


def full_width(text: str) -> str:
    """Full-width letters, digits, punctuation and spaces to their ASCII forms."""
    return text.translate(_FULL_WIDTH)


def compose(text: str) -> str:
    """Unicode NFC: letters with their accents as one character."""
    return unicodedata.normalize("NFC", text)


def punctuation(text: str) -> str:
    """Punctuation and symbols to spaces; apostrophes between letters stay (and become ')."""
    text = re.sub(r"(?<=\w)[\u2019\u02bc](?=\w)", "'", text)
    return "".join(
        character if unicodedata.category(character)[0] not in "PS" or _is_apostrophe(text, place) else " "
        for place, character in enumerate(text)
    )


def _is_apostrophe(text: str, place: int) -> bool:
    return text[place] == "'" and text[place - 1 : place].isalpha() and text[place + 1 : place + 2].isalpha()


def latin_spaces(text: str) -> str:
    """Spaces between runs of Latin letters or digits and hanzi."""
    text = re.sub(f"(?<=[{_HANZI}])(?=[{_LATIN}])", " ", text)
    return re.sub(f"(?<=[{_LATIN}])(?=[{_HANZI}])", " ", text)


def digits(text: str) -> str:
    """Numbers to hanzi as they are read: 3.5% is 百分之三点五, 120 is 一百二十 (never 两).

    Digit by digit are years (four digits before 年), numbers that begin with 0 and those of more than eight digits. Digits beside
    Latin letters (mp3) stay.
    """
    return _NUMBER.sub(_read_number, text)


def digits_one_by_one(text: str) -> str:
    """Each digit to its hanzi: 120 is 一二零."""
    return re.sub(r"(?<![A-Za-z\d])\d+(?![A-Za-z\d])", lambda found: _one_by_one(found[0]), text)


def _read_number(found: re.Match) -> str:
    whole, decimals, percent, year = found[1].replace(",", ""), found[2], found[3], found[4]
    is_name = (len(whole) > 1 and whole[0] == "0") or len(whole) > _MAX_CARDINAL_DIGITS or (year and len(whole) == 4)
    text = _one_by_one(whole) if is_name and not decimals else read_cardinal(int(whole))
    if decimals:
        text += "点" + _one_by_one(decimals)
    return "百分之" + text if percent else text


def _one_by_one(text: str) -> str:
    return "".join(_DIGITS[int(digit)] for digit in text)


def read_cardinal(number: int) -> str:
    """A whole number from 0 up to 10**16 - 1 in hanzi; larger ones digit by digit."""
    if number == 0:
        return _DIGITS[0]
    if number >= 10**16:
        return _one_by_one(str(number))
    text, zero = "", False
    for power, unit in ((12, "万亿"), (8, "亿"), (4, "万"), (0, "")):
        group = number // 10**power % 10000
        if group:
            text += _DIGITS[0] if text and (zero or group < 1000) else ""
            # 万亿 before another 亿 is said once
            text += _read_group(group) + ("万" if unit == "万亿" and number // 10**8 % 10000 else unit)
        zero = group == 0
    return text[1:] if text.startswith("一十") else text


def _read_group(group: int) -> str:
    """1 to 9999."""
    text, zero = "", False
    for power, unit in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit = group // power % 10
        if digit:
            text += (_DIGITS[0] if zero and text else "") + _DIGITS[digit] + unit
        zero = digit == 0
    return text


def join_subwords(text: str) -> str:
    """Units of a sentencepiece model to words, each of which starts with the mark U+2581; text without the mark stays."""
    return text.replace(" ", "").replace(_MARK, " ") if _MARK in text else text


STEPS: dict[str, Callable[[str], str]] = {
    "full_width": full_width,
    "compose": compose,
    "case": str.lower,
    "lower": str.lower,
    "upper": str.upper,
    "punctuation": punctuation,
    "digits": digits,
    "digits_one_by_one": digits_one_by_one,
    "latin_spaces": latin_spaces,
    "subwords": join_subwords,
}


class Normaliser:
    """The steps of a chain in the order given; called with the words of an utterance it returns the new words.

    Put `full_width` and `digits` before `punctuation`, which takes the point of 3.5 away.

    Args:
        names: of `STEPS`, as a list or separated by commas; none: the words stay.

    Raises:
        AsrtoolError: a step that does not exist.
    """

    def __init__(self, names: str | Sequence[str] = ()) -> None:
        self.names = [name for name in (names.split(",") if isinstance(names, str) else names) if name]
        for name in self.names:
            if name not in STEPS:
                raise AsrtoolError(f"--normalise {name}: no such step; known: {', '.join(STEPS)}")
        self._known: dict[str, list[str]] = {}

    def __call__(self, words: Sequence[str]) -> list[str]:
        if not self.names:
            return list(words)
        line = " ".join(words)
        result = self._known.get(line)
        if result is None:
            if len(self._known) > 1 << 18:
                self._known.clear()
            result = self._known[line] = self._normalise(line)
        return result

    def _normalise(self, line: str) -> list[str]:
        result: list[str] = []
        stretch: list[str] = []
        for token in [*line.split(), None]:
            if token is not None and not SYMBOL.fullmatch(token):
                stretch.append(token)
                continue
            text = " ".join(stretch)
            for name in self.names:
                text = STEPS[name](text)
            result += text.split() + ([] if token is None else [token])
            stretch = []
        return result
