"""What says where words begin and end: phones/word_boundary.int or phones/align_lexicon.int of a lang or graph directory."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.io.kaldi_binary import LARGEST_ID
from asrtool.io.whole_file import read_text

NO_PLACE, NONWORD, BEGIN, END, INTERNAL, SINGLETON = range(6)
_PLACES = {"nonword": NONWORD, "begin": BEGIN, "end": END, "internal": INTERNAL, "singleton": SINGLETON}


@dataclass(frozen=True)
class WordBoundary:
    """Where in a word a phone stands, for phones that come in a form for each place (AA_B, AA_E, AA_I, AA_S).

    Attributes:
        place: int8 [largest phone + 1]: NONWORD (silence between words), BEGIN, END, INTERNAL, SINGLETON; NO_PLACE where the file
            says nothing.
        name: the file, for messages.
    """

    place: np.ndarray
    name: str = "word_boundary.int"

    @classmethod
    def read(cls, path: str | Path) -> "WordBoundary":
        """Reads "phone nonword|begin|end|internal|singleton" lines.

        Raises:
            AsrtoolError: no such file, or a line of another form.
        """
        places: dict[int, int] = {}
        for number, line in enumerate(_lines(path), 1):
            fields = line.split()
            if not fields:
                continue
            if len(fields) != 2 or not _is_id(fields[0]) or int(fields[0]) < 1 or fields[1] not in _PLACES:
                raise AsrtoolError(
                    f"{path}: line {number}: expected 'phone nonword|begin|end|internal|singleton', found '{line[:60]}'"
                )
            if places.setdefault(int(fields[0]), _PLACES[fields[1]]) != _PLACES[fields[1]]:
                raise AsrtoolError(f"{path}: line {number}: phone {fields[0]} has two places; keep one line")
        if not places:
            raise AsrtoolError(f"{path}: empty; make the lang directory again with position-dependent phones")
        place = np.zeros(max(places) + 1, np.int8)
        place[list(places)] = list(places.values())
        return cls(place, str(path))


@dataclass(frozen=True)
class AlignLexicon:
    """The pronunciations of every word, for phones that are the same everywhere in a word.

    Entry e turns the word `word_in` of a lattice, over phone[phone_begin[e]:phone_begin[e + 1]], into word_out[e]; word 0 stands
    for silence, which has no label. The entries of word w, sorted by word_in, are entry_begin[w] to entry_begin[w + 1].

    Attributes:
        entry_begin: int64 [largest word + 2].
        word_out: int32 [entries].
        phone_begin: int64 [entries + 1]; phone: int32.
        starts_word: bool [largest phone + 1]: whether a word other than 0 can begin with the phone.
        name: the file, for messages.
    """

    entry_begin: np.ndarray
    word_out: np.ndarray
    phone_begin: np.ndarray
    phone: np.ndarray
    starts_word: np.ndarray
    name: str = "align_lexicon.int"

    @classmethod
    def read(cls, path: str | Path) -> "AlignLexicon":
        """Reads "word-in word-out phone phone ..." lines of integers.

        Raises:
            AsrtoolError: no such file, a line of another form, silence (word 0) without a phone, or two words for one word-in and
                pronunciation.
        """
        lines = _lines(path)
        lengths = np.array([len(line.split()) for line in lines], np.int64)
        try:
            values = np.array(" ".join(lines).split(), dtype=np.int32)
            if not 0 <= values.min(initial=0) <= values.max(initial=0) <= LARGEST_ID:
                raise OverflowError
        except (ValueError, OverflowError):
            bad = next(number for number, line in enumerate(lines, 1) if not all(map(_is_id, line.split())))
            raise AsrtoolError(f"{path}: line {bad}: expected integers, found '{lines[bad - 1][:60]}'") from None
        for number in np.flatnonzero(lengths == 1)[:1]:
            raise AsrtoolError(f"{path}: line {number + 1}: expected 'word word phone ...', found '{lines[number][:60]}'")
        begin = np.cumsum(lengths) - lengths
        begin, lengths = begin[lengths > 0], lengths[lengths > 0]
        if not len(begin):
            raise AsrtoolError(f"{path}: empty; make the lang directory again")
        entries = [(values[at], values[at + 2 : at + length]) for at, length in zip(begin.tolist(), lengths.tolist())]
        return cls.from_entries(entries, values[begin + 1], str(path))

    @classmethod
    def from_entries(
        cls, entries: list[tuple[int, np.ndarray]], word_out: np.ndarray, name: str = "align_lexicon.int"
    ) -> "AlignLexicon":
        """`entries`: (word-in, phones) of each; errors as in `read`."""
        word_in = np.array([word for word, _ in entries], np.int32)
        if any(len(phones) == 0 for word, phones in entries if word == 0):
            raise AsrtoolError(f"{name}: word 0 (silence) has no phone")
        if word_in.min() < 0 or np.min(word_out) < 0 or any(np.min(phones, initial=1) < 1 for _, phones in entries):
            raise AsrtoolError(f"{name}: words are numbered from 0 and phones from 1; a number is below that")
        known: dict[tuple[int, ...], int] = {}
        keep = np.zeros(len(entries), bool)
        for number, ((word, phones), out) in enumerate(zip(entries, np.asarray(word_out).tolist())):
            key = (int(word), *(int(phone) for phone in phones))
            keep[number] = key not in known
            if known.setdefault(key, out) != out:
                raise AsrtoolError(f"{name}: word {word} becomes both {known[key]} and {out} over the same phones; keep one line")
        order = np.argsort(word_in, kind="stable")
        order = order[keep[order]]
        phones = [np.asarray(entries[number][1], np.int32) for number in order]
        starts_word = np.zeros(1 + max(int(np.max(one, initial=0)) for one in phones), bool)
        for number, one in zip(order, phones):
            if word_in[number] and len(one):
                starts_word[one[0]] = True
        return cls(
            entry_begin=np.searchsorted(word_in[order], np.arange(word_in.max() + 2)).astype(np.int64),
            word_out=np.asarray(word_out)[order].astype(np.int32),
            phone_begin=np.concatenate([[0], np.cumsum([len(one) for one in phones])]).astype(np.int64),
            phone=np.concatenate([*phones, np.zeros(0, np.int32)]).astype(np.int32),
            starts_word=starts_word,
            name=name,
        )


def _lines(path: str | Path) -> list[str]:
    return read_text(path, "no such file; it is in phones/ of the lang and graph directories").splitlines()


def _is_id(field: str) -> bool:
    return field.isdecimal() and len(field) < 20 and int(field) <= LARGEST_ID


def read_word_places(lang_dir: str | Path) -> WordBoundary | AlignLexicon:
    """phones/word_boundary.int of a lang or graph directory, or where there is none phones/align_lexicon.int.

    Raises:
        AsrtoolError: neither is there, or it is damaged.
    """
    phones = Path(lang_dir) / "phones"
    if (phones / "word_boundary.int").is_file():
        return WordBoundary.read(phones / "word_boundary.int")
    if (phones / "align_lexicon.int").is_file():
        return AlignLexicon.read(phones / "align_lexicon.int")
    raise AsrtoolError(
        f"{phones}: neither word_boundary.int nor align_lexicon.int is there, without which words have no times; make the graph"
    )
