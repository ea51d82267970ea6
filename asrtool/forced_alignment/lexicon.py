"""A pronouncing dictionary, and how the words of a transcript are looked up in it."""

import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from asrtool.errors import AsrtoolError
from asrtool.io.whole_file import read_text
from asrtool.lang.dictionary import FORBIDDEN_WORDS

_NUMBER = re.compile(r"\d*\.\d+(?:[eE]-?\d+)?|\d(?:\.\d+)?[eE]-?\d+|[01]")
_APOSTROPHES = str.maketrans({"\u2019": "'", "\u2018": "'", "\u02bc": "'", "\uff07": "'"})

Pronunciations = dict[tuple[str, ...], float]
"""Phones -> probability."""


class Word(NamedTuple):
    """A word of a transcript: as it stands there, without punctuation, and the entry it was found under ("": in none)."""

    label: str
    entry: str


@dataclass
class Lexicon:
    """Word -> its pronunciations.

    Attributes:
        name: of the file, for messages.
    """

    entries: dict[str, Pronunciations]
    name: str = "lexicon"
    _folded: dict[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._folded = {}
        for word in self.entries:
            self._folded.setdefault(word.casefold(), word)

    @classmethod
    def read(cls, path: str | Path) -> "Lexicon":
        """Reads "word phones" lines, with up to four probabilities after the word, of which the first counts (the Montreal
        Forced Aligner's, and Kaldi's lexicon.txt and lexiconp.txt); or a dictionary directory with one of the latter.

        Raises:
            AsrtoolError: no such file, not UTF-8, or a line without phones.
        """
        path = Path(path)
        if path.is_dir():
            found = [path / name for name in ("lexiconp.txt", "lexicon.txt") if (path / name).is_file()]
            if not found:
                raise AsrtoolError(f"{path}: neither lexicon.txt nor lexiconp.txt; name a dictionary file")
            path = found[0]
        entries: dict[str, Pronunciations] = {}
        for number, line in enumerate(read_text(path, "no such dictionary", "utf-8-sig").splitlines(), 1):
            word, *rest = line.split() or [""]
            if not word:
                continue
            probability, phones = _split(rest)
            if not phones or word in FORBIDDEN_WORDS:
                why = "no phones" if not phones else f"'{word}' is reserved"
                raise AsrtoolError(f"{path}: line {number}: {why}; expected 'word [probability] phones', mend or remove the line")
            held = entries.setdefault(word.translate(_APOSTROPHES), {})
            held[phones] = max(held.get(phones, 0.0), probability)
        if not entries:
            raise AsrtoolError(f"{path}: empty; expected lines 'word [probability] phones'")
        return cls(entries, str(path))

    @property
    def phones(self) -> list[str]:
        """All phones, in the order of their names."""
        return sorted({phone for one in self.entries.values() for phones in one for phone in phones})

    def words_of(self, text: str) -> list[Word]:
        """The words of a transcript.

        A word is looked up as it stands, without the punctuation around it, in other capitals, and last in parts at its hyphens;
        what has neither letters nor digits and is no entry is left out.
        """
        found = []
        for token in unicodedata.normalize("NFC", text).translate(_APOSTROPHES).split():
            entry = self._find(token)
            bare = token if entry else _strip(token)
            entry = entry or self._find(bare)
            parts = [part for part in bare.split("-") if part]
            if not entry and len(parts) > 1 and all(self._find(part) for part in parts):
                found += [Word(part, self._find(part)) for part in parts]
            elif bare:
                found.append(Word(bare, entry))
        return found

    def _find(self, word: str) -> str:
        return word if word in self.entries else self._folded.get(word.casefold(), "")


def _split(fields: list[str]) -> tuple[float, tuple[str, ...]]:
    """(probability, phones) of what follows the word."""
    numbers = 0
    while numbers < min(4, len(fields) - 1) and _NUMBER.fullmatch(fields[numbers]):
        numbers += 1
    probability = float(fields[0]) if numbers else 1.0
    return (min(probability, 1.0) if probability > 0 else 1e-3), tuple(fields[numbers:])


def _strip(token: str) -> str:
    """Without what is no letter, mark or digit at its ends."""
    kept = [index for index, character in enumerate(token) if unicodedata.category(character)[0] in "LMN"]
    if not kept:
        return ""
    first, last = kept[0], kept[-1] + 1
    return token[first:last]
