"""The words that are to be aligned, with pronunciations: from the dictionary, guessed, or as noise; as a small lang directory."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from asrtool.errors import AsrtoolError
from asrtool.forced_alignment.lexicon import Lexicon, Word
from asrtool.forced_alignment.phone_table import PhoneTable
from asrtool.fst.lexicon_fst import LexiconArcs, OptionalSilence, write_lexicon_fst
from asrtool.io.atomic_file import write_text
from asrtool.io.symbols import SymbolTable

UNKNOWN = "<unk>"
GUESSES = 3  # pronunciations of a word that the dictionary lacks

Guess = Callable[[str, int], list[tuple[list[str], float]]]
"""(word, how many) -> (phones, probability) each; G2p.pronounce."""


@dataclass
class Vocabulary:
    """The words of a corpus as the model is to hear them.

    Attributes:
        pronunciations: a word's symbol -> (phone ids, probability) of each of its pronunciations.
        unknown: words that are in no dictionary -> how often they occur.
        guessed: those of them that a model of letters and phones has pronounced.
    """

    phones: PhoneTable
    lexicon: Lexicon
    guess: Guess | None = None
    pronunciations: dict[str, list[tuple[tuple[int, ...], float]]] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)
    guessed: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._noise = tuple(self.phones.spell((self.phones.spoken_noise,)) or [self.phones.symbols.id(self.phones.spoken_noise)])
        self.pronunciations[UNKNOWN] = [(self._noise, 1.0)]

    def add(self, words: Iterable[Word]) -> list[str]:
        """The symbols of words, which get pronunciations.

        Raises:
            AsrtoolError: a word of the dictionary whose every pronunciation has a phone that the model lacks.
        """
        symbols = []
        for word in words:
            if word.entry:
                symbol = word.entry
                if symbol not in self.pronunciations:
                    self.pronunciations[symbol] = self._spell(symbol)
            else:
                symbol = word.label
                self.unknown[symbol] = self.unknown.get(symbol, 0) + 1
                if symbol not in self.pronunciations:
                    self.pronunciations[symbol] = self._guess(symbol)
            symbols.append(symbol)
        return symbols

    def _spell(self, word: str) -> list[tuple[tuple[int, ...], float]]:
        found, entries = [], self.lexicon.entries[word]
        for phones, probability in entries.items():
            ids = self.phones.spell(phones)
            if ids is not None:
                found.append((tuple(ids), probability))
        if not found:
            phone = self.phones.lacks(next(iter(entries)))
            raise AsrtoolError(
                f"{self.lexicon.name}: the word '{word}': the model has no phone '{phone}' ({self.phones.name}); "
                "take the dictionary that the model was trained with, or train a model with train-aligner"
            )
        return found

    def _guess(self, word: str) -> list[tuple[tuple[int, ...], float]]:
        found = []
        for phones, probability in self.guess(word, GUESSES) if self.guess else []:
            ids = self.phones.spell(tuple(phones))
            if ids:
                self.guessed.setdefault(word, []).append(" ".join(phones))
                found.append((tuple(ids), max(probability, 1e-3)))
        return found or [(self._noise, 1.0)]

    def write_lang(self, directory: Path, silence_probability: float) -> None:
        """What a TrainingGraphCompiler reads: L.fst, words.txt, phones.txt, oov.int."""
        words = SymbolTable.from_symbols(["<eps>", *sorted(self.pronunciations)])
        entries = [
            LexiconArcs(words.id(word), -math.log(probability), phones)
            for word, found in sorted(self.pronunciations.items())
            for phones, probability in found
        ]
        silence = self.phones.symbols.id(self.phones.silence)
        directory.mkdir(parents=True, exist_ok=True)
        write_lexicon_fst(directory / "L.fst", entries, OptionalSilence(silence_probability, silence))
        words.write(directory / "words.txt")
        self.phones.symbols.write(directory / "phones.txt")
        write_text(directory / "oov.int", f"{words.id(UNKNOWN)}\n")
