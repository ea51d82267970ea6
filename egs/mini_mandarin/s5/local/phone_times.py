"""When the lexicon's phones were really spoken: `python local/phone_times.py CORPUS_DIR SPLIT OUT.ctm`.

espeak-ng cuts syllables otherwise than the lexicon (xiao is S; j Au there, x iao here). An initial is the phone of espeak-ng that
begins the syllable, a final all the others of it.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from plan import pinyin

from asrtool.arguments import parser
from asrtool.cli import guarded
from asrtool.errors import AsrtoolError
from asrtool.io.ctm import CtmWord, read_ctm, write_ctm
from asrtool.lang.pinyin import syllable_phones, word_syllables

GLIDES = ("j", "w", "y", "H")
NASALS = ("n", "N")
CONSONANTS = {
    "p", "ph", "m", "f", "t", "th", "n", "l", "k", "kh", "X", "x", "h", "tS;", "tS;h", "S;", "ts.", "ts.h", "s.", "z.", "r",
    "ts", "tsh", "s", "N",
}  # fmt: skip


def cut(spoken: list[CtmWord], syllables: list[str]) -> Iterator[CtmWord]:
    """The lexicon's phones of an utterance, from espeak-ng's.

    Raises:
        ValueError: the phones are not those of the syllables.
    """
    place = 0
    for syllable in syllables:
        *initial, final = syllable_phones(syllable)
        if initial:
            yield spoken[place]._replace(word=initial[0])
            place += 1
        begin = place
        while place < len(spoken) and spoken[place].word in GLIDES:
            place += 1
        if place < len(spoken) and spoken[place].word not in CONSONANTS:
            place += 1
        if final[:-1].endswith(("n", "ng")) and place < len(spoken) and spoken[place].word in NASALS:
            place += 1
        if place == begin or place > len(spoken):
            raise ValueError(f"no final of '{syllable}' at its phone {begin + 1}")
        end_s = spoken[place - 1].start_s + spoken[place - 1].duration_s
        yield spoken[begin]._replace(word=final, duration_s=end_s - spoken[begin].start_s)
    if place != len(spoken):
        raise ValueError(f"{len(spoken) - place} phones are left over")


def convert(corpus: Path, split: str, out: Path) -> None:
    """Writes the CTM; utterances that espeak-ng read otherwise are counted and left out."""
    by_utterance: dict[str, list[CtmWord]] = {}
    path = corpus / split / "phones.ctm"
    if not path.is_file():
        raise AsrtoolError(f"{path}: no such file; make the corpus again, in a new directory")
    for phone in read_ctm(path):
        by_utterance.setdefault(phone.recording, []).append(phone)
    found, failed = [], []
    for line in (corpus / split / "text").read_text(encoding="utf-8").splitlines():
        utterance, *words = line.split()
        try:
            syllables = [syllable for word in words for syllable in word_syllables(word)[0]]
            found += list(cut(by_utterance[utterance], syllables))
        except (ValueError, IndexError) as error:
            failed.append(f"{utterance} ({pinyin(words)}): {error}")
    write_ctm(out, found, 4)
    print(f"{out}: {len(found)} phones; {len(failed)} utterances left out", *failed[:3], sep="\n", file=sys.stderr)


def main(arguments: list[str]) -> int:
    options = parser("phone_times.py", __doc__)
    options.add_argument("corpus", type=Path)
    options.add_argument("split")
    options.add_argument("out", type=Path)
    given = options.parse_args(arguments)
    convert(given.corpus, given.split, given.out)
    return 0


if __name__ == "__main__":
    sys.exit(guarded("phone_times.py", main, sys.argv[1:]))
