"""Mandarin pronunciations: hanzi to pinyin syllables (pypinyin) to phones, initials and finals with tone.

A syllable is an initial, where it has one, and a final with its tone 1-4 or 5 (neutral): 北京 is `b ei3 j ing1`. Finals are
spelled in full, so that a syllable without initial has the same final as one with: `you3` is `iou3`, `wei4` is `uei4`, `yuan2`
is `van2`. ü is v; the i of zi, ci, si is `ii`, that of zhi, chi, shi, ri is `iii`.
"""

import re
import unicodedata
from functools import cache
from pathlib import Path

from pypinyin import Style, pinyin
from pypinyin.contrib.tone_convert import to_finals, to_initials

from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text
from asrtool.lm.text import decode

TONES = "12345"
SILENCE, SPOKEN_NOISE = "SIL", "SPN"
NOT_WORDS = ("<eps>", "<s>", "</s>", "#0", "!SIL")

# Letters and digits as Mandarin speakers name them, in pinyin.
SPELLED = {
    "A": "ei1", "B": "bi4", "C": "sei1", "D": "di4", "E": "yi4", "F": "ai2 fu5", "G": "ji4", "H": "ai1 chi5", "I": "ai4",
    "J": "zhei4", "K": "kei4", "L": "ai2 lou5", "M": "ai2 mu5", "N": "en1", "O": "ou1", "P": "pi4", "Q": "kiu1", "R": "a4 er5",
    "S": "ai2 si5", "T": "ti4", "U": "you1", "V": "wei1", "W": "da2 bu5 liu5", "X": "ai2 ke5 si5", "Y": "wai4", "Z": "zei4",
    "0": "ling2", "1": "yi1", "2": "er4", "3": "san1", "4": "si4", "5": "wu3", "6": "liu4", "7": "qi1", "8": "ba1", "9": "jiu3",
}  # fmt: skip
# Interjections without a vowel, and finals pypinyin leaves alone
IRREGULAR = {
    "n": ("", "en"), "ng": ("", "eng"), "m": ("m", "u"), "hm": ("h", "en"), "hng": ("h", "eng"), "ê": ("", "ei"),
    "kiu": ("k", "iou"),
}  # fmt: skip
_PARTS = re.compile(r"[\u3007\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+|.")


@cache
def syllable_phones(syllable: str) -> tuple[str, ...]:
    """The phones of a syllable written with a tone number (`bei3`, `nv3`, `er2`).

    Raises:
        ValueError: not a syllable of Mandarin.
    """
    base, tone = syllable[:-1], syllable[-1:]
    if tone not in TONES or not base:
        raise ValueError(f"'{syllable}' is not a syllable with a tone")
    if base in IRREGULAR:
        initial, final = IRREGULAR[base]
    else:
        initial = to_initials(base, strict=True)
        final = to_finals(base, strict=True, v_to_u=False)
        if not final or not final.isascii() or not final.isalpha():
            raise ValueError(f"'{syllable}' is not a syllable of Mandarin")
    if final == "i" and initial in ("z", "c", "s"):
        final = "ii"
    elif final == "i" and initial in ("zh", "ch", "sh", "r"):
        final = "iii"
    return (initial, final + tone) if initial else (final + tone,)


def word_syllables(word: str, heteronyms: bool = False) -> list[list[str]]:
    """The readings of a word, each a list of syllables with tone numbers.

    Args:
        word: hanzi; Latin letters and digits, also full-width, are spelled.
        heteronyms: all readings of a word of a single character, not only the most frequent.

    Raises:
        ValueError: holds a character without a reading; the message names it.
    """
    readings: list[list[str]] = [[]]
    for part in _PARTS.findall(unicodedata.normalize("NFKC", word)):
        if len(part) == 1 and part.upper() in SPELLED:
            choices = [SPELLED[part.upper()].split()]
        else:
            several = heteronyms and len(word) == 1
            found = pinyin(part, style=Style.TONE3, neutral_tone_with_five=True, heteronym=several, errors="ignore")
            if len(found) != len(part):  # characters without a reading were left out
                wrong = next(character for character in part if not pinyin(character, errors="ignore"))
                raise ValueError(f"no reading of the character '{wrong}'")
            choices = [[syllable] for syllable in found[0]] if several else [[options[0] for options in found]]
        readings = [reading + choice for reading in readings for choice in choices]
    return readings


def word_phones(word: str, heteronyms: bool = False) -> list[tuple[str, ...]]:
    """The pronunciations of a word; errors as `word_syllables`."""
    readings = {}
    for syllables in word_syllables(word, heteronyms):
        readings[tuple(phone for syllable in syllables for phone in syllable_phones(syllable))] = None
    return list(readings)


def make_dict(words_path: str | Path, dict_dir: str | Path, oov_word: str = "<UNK>", heteronyms: bool = False) -> int:
    """Writes a dictionary directory for the words of a list (the first field of each line; symbols that are no words left out).

    Returns:
        the number of words.

    Raises:
        AsrtoolError: an empty list, or a word without a reading.
    """
    entries: dict[str, list[tuple[str, ...]]] = {}
    for number, line in enumerate(decode(words_path).split("\n"), 1):
        word = next(iter(line.split()), "")
        if not word or word in NOT_WORDS or word == oov_word or word in entries:
            continue
        try:
            entries[word] = word_phones(word, heteronyms)
        except ValueError as error:
            raise AsrtoolError(f"{words_path}: line {number}: word '{word}': {error}; remove it or spell it in hanzi") from None
    if not entries:
        raise AsrtoolError(f"{words_path}: no words")
    used = {phone for readings in entries.values() for reading in readings for phone in reading}
    initials = sorted(phone for phone in used if phone[-1] not in TONES)
    finals = sorted({phone[:-1] for phone in used if phone[-1] in TONES})
    dict_dir = Path(dict_dir)
    lexicon = [f"!SIL {SILENCE}", f"{oov_word} {SPOKEN_NOISE}"]
    lexicon += [f"{word} {' '.join(reading)}" for word in sorted(entries) for reading in entries[word]]
    _write_lines(dict_dir / "silence_phones.txt", [SILENCE, SPOKEN_NOISE])
    _write_lines(dict_dir / "optional_silence.txt", [SILENCE])
    # the tones of a final share a tree root; the questions below tell them apart
    _write_lines(dict_dir / "nonsilence_phones.txt", initials + [" ".join(final + tone for tone in TONES) for final in finals])
    questions = [f"{SILENCE} {SPOKEN_NOISE}", " ".join(initials)] if initials else [f"{SILENCE} {SPOKEN_NOISE}"]
    questions += [" ".join(final + tone for final in finals) for tone in TONES]
    _write_lines(dict_dir / "extra_questions.txt", questions)
    _write_lines(dict_dir / "lexicon.txt", lexicon)
    (dict_dir / "lexiconp.txt").unlink(missing_ok=True)  # of an earlier word list, it would go before lexicon.txt
    return len(entries)


def _write_lines(path: Path, lines: list[str]) -> None:
    write_text(path, "".join(f"{line}\n" for line in lines))
