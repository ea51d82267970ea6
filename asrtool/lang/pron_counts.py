"""Counts of pronunciations and of the silence beside them in aligned speech (Kaldi's steps/get_prons.sh).

Input are lines "utterance first-frame frames word phone phone ..." of prons.*.gz, in ids, with word 0 for silence. A
pronunciation is a text "WORD PH PH", phones without their place in the word (_B, _E, _I, _S); <s> and </s> are the ends.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text
from asrtool.io.symbols import SymbolTable
from asrtool.io.whole_file import opened

BEGIN, END, SILENCE = "<s>", "</s>", "<eps>"
_PLACE = re.compile("_[BISE]$")


@dataclass
class PronCounts:
    """Attributes:
    prons: of (word id, phone ids).
    sentences: utterance -> the pronunciations in it, silences included, between <s> and </s>.
    pairs: of a pronunciation and the next one, silences left out.
    beside: pronunciation -> [silence before it, none before it, silence after it, none after it].
    """

    prons: Counter = field(default_factory=Counter)
    sentences: dict[str, list[str]] = field(default_factory=dict)
    pairs: Counter = field(default_factory=Counter)
    beside: dict[str, list[int]] = field(default_factory=dict)


def pron_files(directory: str | Path) -> list[Path]:
    """The prons.N.gz of a directory, by number; AsrtoolError where there are none."""
    numbered = {int(path.name.split(".")[1]): path for path in Path(directory).glob("prons.*.gz") if path.name[6:-3].isdecimal()}
    if not numbered:
        raise AsrtoolError(f"{directory}: no prons.*.gz; make them with steps/get_prons.sh")
    return [numbered[number] for number in sorted(numbered)]


def count_prons(paths: Iterable[Path], words: SymbolTable, phones: SymbolTable) -> PronCounts:
    """Counts the lines of files.

    Raises:
        AsrtoolError: a line of another form, an id without a symbol, or an utterance whose lines are apart.
    """
    counts = PronCounts()
    names: dict[tuple[int, ...], str] = {}
    for path in paths:
        for number, utterance, ids in _lines(path):
            if ids not in names:
                places = [_PLACE.sub("", phones.symbol(phone)) for phone in ids[1:]]
                names[ids] = " ".join([words.symbol(ids[0]), *places])
            counts.prons[ids] += 1
            sentence = counts.sentences.setdefault(utterance, [BEGIN])
            if len(sentence) > 1 and next(reversed(counts.sentences)) != utterance:
                raise AsrtoolError(f"{path}: line {number}: {utterance}: its lines do not follow one another")
            sentence.append(names[ids])
    for sentence in counts.sentences.values():
        sentence.append(END)
        _count_sentence(sentence, counts)
    return counts


def _lines(path: Path) -> Iterator[tuple[int, str, tuple[int, ...]]]:
    """(line number, utterance, (word, phones...))"""
    with opened(path, "no such file; make it with steps/get_prons.sh") as file:
        for number, line in enumerate(file, 1):
            fields = line.split()
            try:
                utterance, ids = fields[0].decode("utf-8"), tuple(map(int, fields[3:]))
                int(fields[1]), int(fields[2])
            except (ValueError, IndexError):
                ids = ()
            if not ids:
                raise AsrtoolError(f"{path}: line {number}: expected 'utterance first-frame frames word phone...'")
            yield number, utterance, ids


def _count_sentence(sentence: list[str], counts: PronCounts) -> None:
    is_silence = [pron.startswith(f"{SILENCE} ") for pron in sentence]
    spoken = [pron for pron, silent in zip(sentence, is_silence) if not silent]
    counts.pairs.update(pairwise(spoken))
    for place in range(len(sentence) - 1):
        if not is_silence[place]:
            counts.beside.setdefault(sentence[place], [0, 0, 0, 0])[2 if is_silence[place + 1] else 3] += 1
        if not is_silence[place + 1]:
            counts.beside.setdefault(sentence[place + 1], [0, 0, 0, 0])[0 if is_silence[place] else 1] += 1


def write_counts(counts: PronCounts, directory: str | Path, words: SymbolTable, phones: SymbolTable, has_places: bool) -> None:
    """Writes Kaldi's files into `directory`: pron_counts.int and .txt, pron_perutt_nowb.txt, pron_bigram_counts_nowb.txt,
    sil_counts_nowb.txt, and where phones have places in words pron_counts_nowb.txt."""
    directory = Path(directory)
    by_id = [
        (number, words.symbol(ids[0]), [phones.symbol(phone) for phone in ids[1:]], ids) for ids, number in counts.prons.items()
    ]
    by_id.sort(key=lambda row: (row[0], f"{row[0]} {row[1]} {' '.join(row[2])}"), reverse=True)  # sort -nr
    _write(directory / "pron_counts.int", (f"{number} {' '.join(map(str, ids))}" for number, _, _, ids in by_id))
    _write(directory / "pron_counts.txt", (f"{number} {word} {' '.join(pron)}" for number, word, pron, _ in by_id))
    if has_places:
        plain = (f"{number} {word} {' '.join(_PLACE.sub('', phone) for phone in pron)}" for number, word, pron, _ in by_id)
        _write(directory / "pron_counts_nowb.txt", plain)
    _write(directory / "pron_perutt_nowb.txt", ("\t".join([name, *sentence]) for name, sentence in counts.sentences.items()))
    pairs = sorted(counts.pairs.items())
    _write(directory / "pron_bigram_counts_nowb.txt", (f"{number}\t{first}\t{second}" for (first, second), number in pairs))
    beside = sorted(counts.beside.items())
    _write(directory / "sil_counts_nowb.txt", (f"{' '.join(map(str, numbers))} {pron}" for pron, numbers in beside))


def _write(path: Path, lines: Iterable[str]) -> None:
    write_text(path, "".join(f"{line}\n" for line in lines))
