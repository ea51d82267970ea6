"""What a grapheme-to-phoneme model learns from: the words and phones of a lexicon, and some of its words held out."""

import random
from collections.abc import Sequence
from pathlib import Path

from asrtool.errors import AsrtoolError
from asrtool.lang.dictionary import LEXICONS, Dictionary, Pronunciation, read_lexicon
from asrtool.lang.g2p_train import Entry
from asrtool.lang.normalise import SYMBOL


def read_entries(path: str | Path) -> list[Entry]:
    """The words of a dictionary directory, or of a lexicon file, with their phones; symbols such as <UNK> and !SIL are left out.

    A file named like lexiconp.txt or lexiconp_silprob.txt has their numbers before the phones. In a directory, entries of
    silence phones are left out too.

    Raises:
        AsrtoolError: a file is missing or does not fit, or has no words.
    """
    silence: set[str] = set()
    if Path(path).is_dir():
        dictionary = Dictionary.load(path)
        silence = {phone for line in dictionary.silence_phones for phone in line}
        found: Sequence[Pronunciation] = dictionary.entries
    else:
        name = Path(path).name
        _, probabilities, with_silence = next(
            kind for kind in reversed(LEXICONS) if Path(kind[0]).stem in name or kind is LEXICONS[0]
        )
        found = [entry for _, entry in read_lexicon(Path(path), probabilities, with_silence)]
    entries = [
        (entry.word, entry.phones)
        for entry in found
        if not SYMBOL.fullmatch(entry.word) and not silence.intersection(entry.phones)
    ]
    if not entries:
        raise AsrtoolError(f"{path}: no words to learn from")
    return entries


def hold_out(entries: Sequence[Entry], share: float, seed: int = 0) -> tuple[list[Entry], dict[str, list[tuple[str, ...]]]]:
    """The entries of most words, and the pronunciations of a random `share` of the words."""
    words = sorted({word for word, _ in entries})
    chosen = set(random.Random(seed).sample(words, round(share * len(words))))
    held_out: dict[str, list[tuple[str, ...]]] = {}
    for word, phones in entries:
        if word in chosen:
            held_out.setdefault(word, []).append(phones)
    return [entry for entry in entries if entry[0] not in chosen], held_out
