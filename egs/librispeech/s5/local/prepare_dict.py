"""The dictionary of LibriSpeech: `python local/prepare_dict.py [--g2p LEXICON] [--texts FILE ...] LEXICON VOCABULARY DICT_DIR`.

LEXICON is librispeech-lexicon.txt (a word and its phones with stress marks on each line, a word as often as it has
pronunciations), VOCABULARY librispeech-vocab.txt. Words of the vocabulary that have no pronunciation go to
DICT_DIR/words_without_pronunciation.txt; the pronunciations of --g2p, as steps/apply_g2p.sh writes them, are added. Phone lists
and questions are those of Kaldi's recipe: the phones of a line share a root of the tree, whatever their stress, and the questions
ask about stress.
"""

import re
import sys
from collections import Counter, defaultdict
from pathlib import Path

from asrtool.arguments import parser
from asrtool.cli import guarded
from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text
from asrtool.io.whole_file import read_text

PHONE = re.compile(r"([A-Z]{1,2})([012]?)")
SILENCE_PHONES = ("SIL", "SPN")
EXTRA_ENTRIES = (("!SIL", "SIL"), ("<SPOKEN_NOISE>", "SPN"), ("<UNK>", "SPN"))

Entries = set[tuple[str, str]]
"""(word, phones with blanks between)."""


def read_lines(path: Path) -> list[list[str]]:
    """The words of each line; empty ones stay, so that lines can be counted.

    Raises:
        AsrtoolError: no such file, nothing in it, or not UTF-8.
    """
    missing = "no such file; --lm-dir names the directory with the lexicon and the language models"
    lines = [line.split() for line in read_text(path, missing).splitlines()]
    if not any(lines):
        raise AsrtoolError(f"{path}: empty; fetch it again")
    return lines


def read_lexicon(path: Path, num_columns: int = 1) -> Entries:
    """The pronunciations of a file whose phones stand after `num_columns` columns, the word's first.

    Raises:
        AsrtoolError: see `read_lines`; or a word without phones, or something that is no ARPAbet phone.
    """
    entries = set()
    for number, fields in enumerate(read_lines(path), 1):
        if not fields:
            continue
        word, phones = fields[0], fields[num_columns:]
        if not phones:
            raise AsrtoolError(f"{path}: line {number}: {word}: no phones; mend or remove the line")
        for phone in phones:
            if not PHONE.fullmatch(phone) or phone in SILENCE_PHONES:
                raise AsrtoolError(f"{path}: line {number}: {word}: '{phone}' is no ARPAbet phone; mend the line")
        entries.add((word, " ".join(phones)))
    return entries


def phone_groups(entries: Entries) -> tuple[list[list[str]], list[list[str]]]:
    """Phones by what they are without stress mark, which is in the group too, and all phones by stress mark."""
    found = {phone for _, pronunciation in entries for phone in pronunciation.split()}
    by_base, by_mark = defaultdict(set), defaultdict(set)
    for phone in found:
        base, mark = PHONE.fullmatch(phone).groups()
        for one, its_mark in ((phone, mark), (base, "")):
            by_base[base].add(one)
            by_mark[its_mark].add(one)
    return [sorted(by_base[base]) for base in sorted(by_base)], [sorted(by_mark[mark]) for mark in sorted(by_mark)]


def prepare(lexicon: Path, vocabulary: Path, dictionary: Path, g2p: Path | None) -> set[str]:
    """Writes the dictionary; returns its words."""
    entries = read_lexicon(lexicon)
    wanted = {word for fields in read_lines(vocabulary) for word in fields[:1]}
    without = sorted(wanted - {word for word, _ in entries})
    guessed: Entries = set()
    if g2p is not None:
        guessed = {(word, phones) for word, phones in read_lexicon(g2p, 2) if word in set(without)}
        without = sorted(set(without) - {word for word, _ in guessed})
    lines = sorted(entries | guessed | set(EXTRA_ENTRIES), key=" ".join)
    bases, marks = phone_groups(entries | guessed)
    write_text(dictionary / "words_without_pronunciation.txt", "".join(f"{word}\n" for word in without))
    write_text(dictionary / "nonsilence_phones.txt", "".join(f"{' '.join(group)}\n" for group in bases))
    write_text(dictionary / "silence_phones.txt", "".join(f"{phone}\n" for phone in SILENCE_PHONES))
    write_text(dictionary / "optional_silence.txt", "SIL\n")
    write_text(dictionary / "extra_questions.txt", "".join(f"{' '.join(group)}\n" for group in (list(SILENCE_PHONES), *marks)))
    write_text(dictionary / "lexicon.txt", "".join(f"{word} {phones}\n" for word, phones in lines))
    print(
        f"{dictionary}: {len(lines)} pronunciations ({len(guessed)} by G2P), {len(bases)} phones without stress marks; "
        f"{len(without)} words of the vocabulary without a pronunciation",
        file=sys.stderr,
    )
    return {word for word, _ in lines}


def report_unknown(text: Path, words: set[str]) -> None:
    """How many running words of a data directory's text the lexicon lacks; they are <UNK> in training and errors in a test."""
    unknown, total = Counter(), 0
    with open(text, encoding="utf-8") as file:
        for line in file:
            spoken = line.split()[1:]
            total += len(spoken)
            unknown.update(word for word in spoken if word not in words)
    count = unknown.total()
    print(
        f"{text}: {count} of {total} words ({100 * count / max(total, 1):.2f} %) not in the lexicon"
        + (f": {', '.join(word for word, _ in unknown.most_common(5))}" if count else ""),
        file=sys.stderr,
    )


def main(arguments: list[str]) -> int:
    options = parser("prepare_dict.py", __doc__)
    options.add_argument("--g2p", type=Path, help="pronunciations of words that the lexicon lacks")
    options.add_argument("--texts", type=Path, nargs="*", default=[], help="count the words of these that the lexicon lacks")
    options.add_argument("lexicon", type=Path)
    options.add_argument("vocabulary", type=Path)
    options.add_argument("dictionary", type=Path)
    given = options.parse_args(arguments)
    words = prepare(given.lexicon, given.vocabulary, given.dictionary, given.g2p)
    for text in given.texts:
        report_unknown(text, words)
    return 0


if __name__ == "__main__":
    sys.exit(guarded("prepare_dict.py", main, sys.argv[1:]))
