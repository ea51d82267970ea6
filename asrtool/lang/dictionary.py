"""A dictionary directory, Kaldi's data/local/dict: the lexicon and the lists of phones, read and checked."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from asrtool.errors import AsrtoolError
from asrtool.lang.silence_probs import NUM_SILENCE_FIELDS, SilenceProbs, check_silence_fields, finite_number

FORBIDDEN_WORDS = ("<eps>", "<s>", "</s>", "#0")
POSITION_SUFFIXES = ("_B", "_E", "_I", "_S")


class Pronunciation(NamedTuple):
    """A line of the lexicon; `probability_text` is the probability as the file spells it, and so are `silence_texts`, the
    fields of lexiconp_silprob.txt about silence (see `silence_probs`), empty for other lexicons."""

    word: str
    probability_text: str
    phones: tuple[str, ...]
    silence_texts: tuple[str, ...] = ()


@dataclass
class Dictionary:
    """What prepare-lang starts from.

    Attributes:
        entries: the lexicon in the order of the file.
        silence_phones, nonsilence_phones: one list a line; the phones of a line share a root of the decision tree.
        optional_silence: the phone that may stand between words.
        extra_questions: sets of phones the decision tree may ask about besides the automatic ones.
        silence_probs: of silence at the ends of an utterance, where the entries have silence probabilities too.
    """

    path: Path
    entries: list[Pronunciation]
    silence_phones: list[list[str]]
    nonsilence_phones: list[list[str]]
    optional_silence: str
    extra_questions: list[list[str]]
    silence_probs: SilenceProbs | None = None

    @classmethod
    def load(cls, directory: str | Path) -> "Dictionary":
        """Reads lexiconp_silprob.txt with silprob.txt (else lexiconp.txt, else lexicon.txt), silence_phones.txt,
        nonsilence_phones.txt, optional_silence.txt and, where there is one, extra_questions.txt.

        Raises:
            AsrtoolError: a file is missing or empty, or a line does not fit; names the file and the line.
        """
        directory = Path(directory)
        if not directory.is_dir():
            raise AsrtoolError(f"{directory}: no such dictionary directory")
        seen: dict[str, str] = {}
        silence = _read_phones(directory / "silence_phones.txt", seen)
        nonsilence = _read_phones(directory / "nonsilence_phones.txt", seen)
        optional = _read_optional_silence(directory / "optional_silence.txt", {phone for line in silence for phone in line})
        questions_path = directory / "extra_questions.txt"
        questions = []
        if questions_path.exists():
            for number, fields in _lines(questions_path):
                _check_phones(questions_path, number, fields, seen)
                questions.append(fields)
        entries = _read_lexicons(directory, seen)
        silence_probs = SilenceProbs.read(directory / "silprob.txt") if entries[0].silence_texts else None
        return cls(directory, entries, silence, nonsilence, optional, questions, silence_probs)

    def words(self) -> list[str]:
        """The words of the lexicon in the C locale's order."""
        return sorted({entry.word for entry in self.entries})  # code points sort as UTF-8 bytes do


def read_lexicon(path: Path, with_probabilities: bool, with_silence: bool = False) -> list[tuple[int, Pronunciation]]:
    """The (line number, entry) pairs of a lexicon.txt, lexiconp.txt or (with_silence) lexiconp_silprob.txt; phones are not
    checked against lists."""
    entries: list[tuple[int, Pronunciation]] = []
    first_line: dict[tuple, int] = {}
    for number, (word, *phones) in _lines(path):
        where = f"{path}: line {number}"
        if word in FORBIDDEN_WORDS:
            raise AsrtoolError(f"{where}: the word '{word}' is reserved; remove the line")
        probability = "1.0"
        if with_probabilities:
            probability = phones.pop(0) if phones else ""
            if not _is_probability(probability):
                raise AsrtoolError(f"{where}: word '{word}': expected a probability in (0, 1], found '{probability}'")
        silence_texts = ()
        if with_silence:
            silence_texts, phones = tuple(phones[:NUM_SILENCE_FIELDS]), phones[NUM_SILENCE_FIELDS:]
            check_silence_fields(silence_texts, f"{where}: word '{word}'")
        if not phones:
            raise AsrtoolError(f"{where}: word '{word}': empty pronunciation; give it phones or remove the line")
        key = (word, *phones)
        if key in first_line:
            raise AsrtoolError(f"{where}: word '{word}': the same entry stands at line {first_line[key]}; remove one")
        first_line[key] = number
        entries.append((number, Pronunciation(word, probability, tuple(phones), silence_texts)))
    if not entries:
        raise AsrtoolError(f"{path}: no entries")
    return entries


LEXICONS = (("lexicon.txt", False, False), ("lexiconp.txt", True, False), ("lexiconp_silprob.txt", True, True))


def _read_lexicons(directory: Path, known_phones: dict[str, str]) -> list[Pronunciation]:
    """The entries of the lexicon that says most; all that are there must have the same entries in the same order."""
    found = [
        (directory / name, read_lexicon(directory / name, probabilities, silence))
        for name, probabilities, silence in LEXICONS
        if (directory / name).exists()
    ]
    if not found:
        raise AsrtoolError(f"{directory}: neither lexicon.txt nor lexiconp.txt")
    for path, entries in found:
        for number, entry in entries:
            _check_phones(path, number, entry.phones, known_phones, f"word '{entry.word}': ")
    for (path, entries), (other_path, others) in pairwise(found):
        for (number, entry), (_, other) in zip(entries, others):
            if (entry.word, entry.phones) != (other.word, other.phones):
                raise AsrtoolError(f"{path}: line {number}: differs from {other_path}; remove the old one")
        if len(entries) != len(others):
            raise AsrtoolError(f"{path}: {len(entries)} entries, {other_path} has {len(others)}; remove the old one")
    return [entry for _, entry in found[-1][1]]


def _read_phones(path: Path, seen: dict[str, str]) -> list[list[str]]:
    """Lines of phones; `seen` (phone -> file and line) gains them."""
    lines = []
    for number, phones in _lines(path):
        for phone in phones:
            if phone in seen:
                raise AsrtoolError(f"{path}: line {number}: phone '{phone}' occurs before ({seen[phone]})")
            if phone.startswith("#") or phone == "<eps>" or phone.endswith(POSITION_SUFFIXES):
                raise AsrtoolError(f"{path}: line {number}: phone '{phone}': names with # or in _B, _E, _I, _S are reserved")
            seen[phone] = f"{path.name}, line {number}"
        lines.append(phones)
    if not lines:
        raise AsrtoolError(f"{path}: no phones")
    return lines


def _read_optional_silence(path: Path, silence_phones: set[str]) -> str:
    phones = [phone for _, fields in _lines(path) for phone in fields]
    if len(phones) != 1:
        raise AsrtoolError(f"{path}: expected one phone, found {len(phones)}")
    if phones[0] not in silence_phones:
        raise AsrtoolError(f"{path}: phone '{phones[0]}' is not in silence_phones.txt")
    return phones[0]


def _check_phones(path: Path, number: int, phones, known: dict[str, str], what: str = "") -> None:
    for phone in phones:
        if phone not in known:
            raise AsrtoolError(
                f"{path}: line {number}: {what}phone '{phone}' is in neither silence_phones.txt nor nonsilence_phones.txt"
            )


def _is_probability(text: str) -> bool:
    return 0.0 < finite_number(text) <= 1.0


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number, fields) of a text file without blank lines."""
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise AsrtoolError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise AsrtoolError(f"{path}: not UTF-8 at byte {error.start}") from None
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    for number, line in enumerate(lines, 1):
        if "\r" in line:
            raise AsrtoolError(f"{path}: line {number}: carriage return; convert the file to Unix line ends")
        fields = line.split()
        if not fields:
            raise AsrtoolError(f"{path}: line {number}: blank line")
        yield number, fields
