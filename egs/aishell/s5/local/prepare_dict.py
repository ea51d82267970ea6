"""The dictionary of AISHELL-1: `python local/prepare_dict.py LEXICON TRAIN_TEXT DICT_DIR`.

LEXICON is resource_aishell's (`word phone phone ...`; vowels end in their tone: `啊 aa a1`). Words of the training transcripts
that it does not hold are, with --oov

- split (the default): into its longest words; characters that are left are pronounced. DICT_DIR/split.txt has them, one
  `word part part ...` a line, for the transcripts;
- pronounce: added to the dictionary, character by character;
- unknown: left to stand for the unknown word.

A character that is no entry of its own is read as most often in the words of the lexicon that hold it (their vowels tell the
syllables apart); where none does, by its pinyin, Latin letters and digits as Mandarin speakers name them, each syllable as most
often in the lexicon.
"""

import re
import sys
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path

from asrtool.arguments import parser
from asrtool.cli import guarded
from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text
from asrtool.io.whole_file import read_text

UNKNOWN = "<SPOKEN_NOISE>"  # as in Kaldi's recipe
SILENCE_WORDS = ("SIL", "<SIL>", "!SIL", UNKNOWN)  # of the lexicon: their phone is the silence phone
OOV_CHOICES = ("split", "pronounce", "unknown")
PHONE = re.compile(r"([^\d]+)(\d?)")

Pronunciation = tuple[str, ...]
Lexicon = dict[str, list[Pronunciation]]


def read_lexicon(path: Path) -> tuple[Lexicon, str]:
    """The words with their pronunciations in the file's order, each once, and the silence phone.

    Raises:
        AsrtoolError: no such file, not UTF-8, a word without phones, something that is no phone, no or several silence phones.
    """
    missing = "no such file; it is in resource_aishell.tgz (run.sh --download true)"
    lines = read_text(path, missing, "utf-8-sig").splitlines()
    words: Lexicon = {}
    silence: set[str] = set()
    for number, line in enumerate(lines, 1):
        word, *phones = line.split() or [""]
        if not word:
            continue
        if not phones:
            raise AsrtoolError(f"{path}: line {number}: {word}: no phones; mend or remove the line")
        for phone in phones:
            if not PHONE.fullmatch(phone):
                raise AsrtoolError(
                    f"{path}: line {number}: {word}: '{phone}' is no phone with at most one digit, its tone; mend the line"
                )
        if word in SILENCE_WORDS:
            silence.update(phones)
            continue
        pronunciations = words.setdefault(unicodedata.normalize("NFKC", word).upper(), [])
        if tuple(phones) not in pronunciations:
            pronunciations.append(tuple(phones))
    if len(silence) != 1:
        raise AsrtoolError(
            f"{path}: {len(silence)} silence phones ({' '.join(sorted(silence))}); expected one, that of the word SIL"
        )
    if not words:
        raise AsrtoolError(f"{path}: no words; fetch the file again")
    return words, silence.pop()


def syllables(phones: Pronunciation) -> list[Pronunciation]:
    """Parted after each phone with a tone."""
    parts: list[Pronunciation] = []
    start = 0
    for end, phone in enumerate(phones, 1):
        if phone[-1].isdigit():
            parts.append(phones[start:end])
            start = end
    return parts if start == len(phones) else [*parts, phones[start:]]


class Readings:
    """The pronunciation of single characters."""

    def __init__(self, lexicon: Lexicon) -> None:
        self.lexicon = lexicon
        self.in_words: dict[str, Counter[Pronunciation]] = defaultdict(Counter)
        for word, pronunciations in lexicon.items():
            for pronunciation in pronunciations:
                parts = syllables(pronunciation)
                if len(parts) == len(word) and not word.isascii():
                    for character, part in zip(word, parts):
                        self.in_words[character][part] += 1
        self.by_syllable: dict[str, Counter[Pronunciation]] = {}

    def character(self, character: str) -> Pronunciation | None:
        if character in self.lexicon:
            return self.lexicon[character][0]
        if character in self.in_words:
            return self.in_words[character].most_common(1)[0][0]
        return self._by_pinyin(character)

    def word(self, word: str) -> Pronunciation | None:
        """None: a character has no reading."""
        parts = [self.character(character) for character in word]
        return None if None in parts else tuple(phone for part in parts for phone in part)

    def _by_pinyin(self, character: str) -> Pronunciation | None:
        if not self.by_syllable:
            for known, counts in self.in_words.items():
                for syllable in _pinyin(known):
                    self.by_syllable.setdefault(syllable, Counter()).update(counts)
        found = [self.by_syllable.get(syllable) for syllable in _pinyin(character)]
        if not found or None in found:
            return None
        return tuple(phone for counts in found for phone in counts.most_common(1)[0][0])


def _pinyin(character: str) -> list[str]:
    from asrtool.lang.pinyin import word_syllables

    try:
        return word_syllables(character)[0]
    except ValueError:
        return []


def handle_unknown(lexicon: Lexicon, text: Path, choice: str) -> tuple[Lexicon, dict[str, str], Counter[str], int]:
    """Entries to add, word -> its parts, the words that are not in the lexicon with their counts, and the number of all words."""
    try:
        words = Counter(word for line in text.read_text(encoding="utf-8").splitlines() for word in line.split()[1:])
    except FileNotFoundError:
        raise AsrtoolError(f"{text}: no such file; prepare the data first") from None
    unknown = Counter({word: count for word, count in words.items() if word not in lexicon})
    added: Lexicon = {}
    split: dict[str, str] = {}
    if unknown and choice != "unknown":
        readings = Readings(lexicon)
        if choice == "split":
            from asrtool.lang.segment import Segmenter

            segmenter = Segmenter(dict.fromkeys(lexicon, 1.0))
            split = {word: parts for word in sorted(unknown) if " " in (parts := segmenter(word).strip())}
        for part in sorted({part for word in unknown for part in split.get(word, word).split()} - set(lexicon)):
            if reading := readings.word(part):
                added[part] = [reading]
    return added, split, unknown, sum(words.values())


def phone_sets(lexicon: Lexicon) -> tuple[list[str], list[str]]:
    """Lines of nonsilence_phones.txt, the tones of a vowel on one (they share a tree root), and of extra_questions.txt."""
    by_base: dict[str, list[str]] = defaultdict(list)
    by_tone: dict[str, list[str]] = defaultdict(list)
    for phone in sorted({phone for readings in lexicon.values() for reading in readings for phone in reading}):
        base, tone = PHONE.fullmatch(phone).groups()
        by_base[base].append(phone)
        by_tone[tone].append(phone)
    several = [" ".join(phones) for phones in by_base.values() if len(phones) > 1]
    return [" ".join(phones) for phones in by_base.values()], [
        " ".join(phones) for _, phones in sorted(by_tone.items())
    ] + several


def prepare(path: Path, text: Path, dictionary: Path, choice: str) -> None:
    lexicon, silence = read_lexicon(path)
    added, split, unknown, num_words = handle_unknown(lexicon, text, choice)
    lexicon |= added
    sets, questions = phone_sets(lexicon)
    entries = [f"{UNKNOWN} {silence}"] + [f"{word} {' '.join(reading)}" for word in sorted(lexicon) for reading in lexicon[word]]
    files = {
        "lexicon": entries, "silence_phones": [silence], "optional_silence": [silence], "nonsilence_phones": sets,
        "extra_questions": [silence, *questions], "split": [f"{word} {parts}" for word, parts in split.items()],
        "oov": [f"{word} {count}" for word, count in unknown.most_common()], "vocabulary": sorted(lexicon),
    }  # fmt: skip
    (dictionary / "lexiconp.txt").unlink(missing_ok=True)  # of an earlier run, it would go before lexicon.txt
    for name, lines in files.items():
        write_text(dictionary / f"{name}.txt", "".join(f"{line}\n" for line in lines))
    silent = sum(word not in lexicon and word not in split for word in unknown)
    num_phones = 1 + sum(len(line.split()) for line in sets)
    print(f"{dictionary}: {len(lexicon)} words, {len(entries)} pronunciations, {num_phones} phones", file=sys.stderr)
    print(
        f"{unknown.total()} of {num_words} words of {text} are not in {path.name} (oov.txt): "
        f"{len(split)} split, {len(added)} pronounced, {silent} left as {UNKNOWN}",
        file=sys.stderr,
    )


def main(arguments: list[str]) -> int:
    options = parser("prepare_dict.py", __doc__)
    options.add_argument("lexicon", type=Path)
    options.add_argument("text", type=Path, help="text of the training data")
    options.add_argument("dictionary", type=Path)
    options.add_argument("--oov", choices=OOV_CHOICES, default="split", help="what becomes of words that are not in the lexicon")
    given = options.parse_args(arguments)
    prepare(given.lexicon, given.text, given.dictionary, given.oov)
    return 0


if __name__ == "__main__":
    sys.exit(guarded("prepare_dict.py", main, sys.argv[1:]))
