"""Word and character errors between a reference and a hypothesis (Levenshtein distance, all edits cost 1)."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import kaldialign

GAP = ""
"""Stands for no word in an alignment; a word is never empty."""

_LATIN = "0-9A-Za-z\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f"
_LATIN_RUN = re.compile(f"[{_LATIN}]+(?:'[{_LATIN}]+)*|[^\\s]")


@dataclass(frozen=True)
class ErrorCounts:
    """Insertions, deletions, substitutions against `total` reference tokens; counts of utterances add up with `+`."""

    insertions: int = 0
    deletions: int = 0
    substitutions: int = 0
    total: int = 0

    @property
    def errors(self) -> int:
        return self.insertions + self.deletions + self.substitutions

    @property
    def correct(self) -> int:
        """Reference tokens that were recognised."""
        return self.total - self.deletions - self.substitutions

    @property
    def rate(self) -> float:
        """Errors in % of the reference tokens; more than 100 is possible."""
        return 100.0 * self.errors / self.total if self.total else 0.0

    def __add__(self, other: "ErrorCounts") -> "ErrorCounts":
        return ErrorCounts(
            self.insertions + other.insertions,
            self.deletions + other.deletions,
            self.substitutions + other.substitutions,
            self.total + other.total,
        )


def count_errors(reference: Sequence[str], hypothesis: Sequence[str]) -> ErrorCounts:
    """The edits of a best alignment of `hypothesis` to `reference`; those that `align` shows."""
    edits = kaldialign.edit_distance(reference, hypothesis)
    return ErrorCounts(edits["ins"], edits["del"], edits["sub"], len(reference))


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs of tokens of a best alignment, in order; `GAP` in the first place is an insertion, in the second a deletion."""
    return kaldialign.align(reference, hypothesis, GAP)


def operation(pair: tuple[str, str]) -> str:
    """Kaldi's letter for a pair of an alignment: C(orrect), S(ubstitution), I(nsertion), D(eletion)."""
    reference, hypothesis = pair
    if reference == hypothesis:
        return "C"
    if reference == GAP:
        return "I"
    return "D" if hypothesis == GAP else "S"


def to_characters(words: Sequence[str], latin_words: bool = True) -> list[str]:
    """Words cut into characters for CER.

    Args:
        latin_words: runs of Latin letters and digits count as one token each, as in Kaldi's Mandarin recipes (the mixed error
            rate, MER, of code-switched speech); False cuts them into letters too.
    """
    return [token for word in words for token in _characters(word, latin_words)]


@lru_cache(1 << 16)
def _characters(word: str, latin_words: bool) -> tuple[str, ...]:
    word = unicodedata.normalize("NFC", word)
    return tuple(_LATIN_RUN.findall(word)) if latin_words else tuple(word)
