"""Word and character errors between a reference and a hypothesis (Levenshtein distance, all edits cost 1)."""

import unicodedata
from dataclasses import dataclass

import kaldialign


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


def count_errors(reference: list[str], hypothesis: list[str]) -> ErrorCounts:
    """The edits of a best alignment of `hypothesis` to `reference`."""
    edits = kaldialign.edit_distance(reference, hypothesis)
    return ErrorCounts(edits["ins"], edits["del"], edits["sub"], len(reference))


def to_characters(words: list[str]) -> list[str]:
    """Words cut into characters for CER; runs of Latin letters or digits stay whole, as in Kaldi's Mandarin recipes."""
    characters: list[str] = []
    for word in words:
        run = ""
        for character in unicodedata.normalize("NFC", word):
            if character.isascii() and character.isalnum():
                run += character
                continue
            characters += [run] if run else []
            characters.append(character)
            run = ""
        characters += [run] if run else []
    return characters
