"""The dictionary of speechocean762: `python local/prepare_dict.py DIR DICT_DIR`, DIR holding speechocean762/."""

import re
import sys
from pathlib import Path

from asrtool.arguments import parser
from asrtool.cli import guarded
from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text

NUM_PHONES = 39  # ARPAbet without stress
SILENCE_PHONES = ("SIL", "SPN")
EXTRA_ENTRIES = (("!SIL", "SIL"), ("<UNK>", "SPN"))


def read_lexicon(path: Path) -> list[tuple[str, str]]:
    """(word, phones without stress marks), sorted, each once.

    Raises:
        AsrtoolError: no such file, a word without phones, or something that is no ARPAbet phone.
    """
    if not path.is_file():
        raise AsrtoolError(f"{path}: no such file; --corpus names the directory that holds speechocean762/")
    entries = set()
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        word, *phones = line.split() or [""]
        if not phones:
            raise AsrtoolError(f"{path}: {word or f'line {number}'}: no phones; mend or remove the line")
        for phone in phones:
            if not re.fullmatch(r"[A-Z]{1,2}[012]?", phone):
                raise AsrtoolError(f"{path}: {word}: '{phone}' is no ARPAbet phone; mend line {number}")
        entries.add((word, " ".join(phone.rstrip("012") for phone in phones)))
    return sorted(entries, key=" ".join)


def prepare(corpus: Path, dictionary: Path) -> None:
    path = corpus / "speechocean762" / "resource" / "lexicon.txt"
    entries = read_lexicon(path)
    phones = sorted({phone for _, pronunciation in entries for phone in pronunciation.split()})
    if len(phones) != NUM_PHONES:
        raise AsrtoolError(f"{path}: {len(phones)} phones without stress marks, expected {NUM_PHONES}; is the file complete?")
    lexicon = [*EXTRA_ENTRIES, *entries]
    write_text(dictionary / "lexicon.txt", "".join(f"{word} {pronunciation}\n" for word, pronunciation in lexicon))
    write_text(dictionary / "lexiconp.txt", "".join(f"{word} 1.0\t{pronunciation}\n" for word, pronunciation in lexicon))
    write_text(dictionary / "nonsilence_phones.txt", "".join(f"{phone}\n" for phone in phones))
    write_text(dictionary / "silence_phones.txt", "".join(f"{phone}\n" for phone in SILENCE_PHONES))
    write_text(dictionary / "optional_silence.txt", "SIL\n")
    write_text(dictionary / "extra_questions.txt", "")
    print(f"{dictionary}: {len(entries)} pronunciations, {len(phones)} phones", file=sys.stderr)


def main(arguments: list[str]) -> int:
    options = parser("prepare_dict.py", __doc__)
    options.add_argument("corpus", type=Path)
    options.add_argument("dictionary", type=Path)
    given = options.parse_args(arguments)
    prepare(given.corpus, given.dictionary)
    return 0


if __name__ == "__main__":
    sys.exit(guarded("prepare_dict.py", main, sys.argv[1:]))
