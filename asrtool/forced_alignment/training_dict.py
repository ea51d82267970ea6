"""A dictionary directory (Kaldi's data/local/dict) for a corpus, from a plain dictionary."""

import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from asrtool.forced_alignment.lexicon import Lexicon
from asrtool.forced_alignment.phone_table import NOISE_NAMES, SILENCE_NAMES
from asrtool.forced_alignment.pronunciations import GUESSES, UNKNOWN, Guess
from asrtool.io.atomic_file import write_text
from asrtool.lang.dictionary import FORBIDDEN_WORDS

PHONE_FILES = ("silence_phones.txt", "nonsilence_phones.txt", "optional_silence.txt", "extra_questions.txt")
_STRESS = re.compile(r"(.*?)[0-9]+")


def write_dict(directory: Path, dictionary: Path, lexicon: Lexicon, symbols: Iterable[str], guess: Guess | None) -> None:
    """Writes lexiconp.txt with the corpus's words, and the lists of phones: those beside the dictionary where it is a
    dictionary directory; else phones that differ in a number at the end (stress, tone) share a root of the decision tree.
    """
    directory.mkdir(parents=True, exist_ok=True)
    phones = lexicon.phones
    silence = next((name for name in SILENCE_NAMES if name in phones), "sil")
    noise = next((name for name in NOISE_NAMES if name in phones), "spn" if silence == "sil" else "SPN")
    for name in PHONE_FILES:
        (directory / name).unlink(missing_ok=True)
    if dictionary.is_dir() and all((dictionary / name).is_file() for name in PHONE_FILES[:3]):
        for name in PHONE_FILES:
            if (dictionary / name).is_file():
                shutil.copyfile(dictionary / name, directory / name)
        silence = (directory / "optional_silence.txt").read_text(encoding="utf-8").split()[0]
        silences = (directory / "silence_phones.txt").read_text(encoding="utf-8").split()
        noise = next((name for name in silences if name != silence), silence)
    else:
        others = sorted({name for name in phones if name in (*SILENCE_NAMES, *NOISE_NAMES)} - {silence, noise})
        write_text(directory / "silence_phones.txt", "".join(f"{name}\n" for name in (silence, noise, *others)))
        write_text(directory / "optional_silence.txt", f"{silence}\n")
        roots: dict[str, list[str]] = {}
        for phone in phones:
            if phone not in (silence, noise, *others):
                match = _STRESS.fullmatch(phone)
                roots.setdefault(match[1] if match and match[1] else phone, []).append(phone)
        write_text(directory / "nonsilence_phones.txt", "".join(f"{' '.join(names)}\n" for _, names in sorted(roots.items())))
    known = set((directory / "nonsilence_phones.txt").read_text(encoding="utf-8").split()) | {silence, noise}
    lines, unknown = [f"{UNKNOWN} 1.0 {noise}"], []
    for symbol in sorted(set(symbols) - {UNKNOWN, *FORBIDDEN_WORDS}):
        found = list(lexicon.entries.get(symbol, {}).items())
        if not found:
            unknown.append(symbol)
            guessed = guess(symbol, GUESSES) if guess else []
            found = [(tuple(spelled), max(probability, 1e-3)) for spelled, probability in guessed if set(spelled) <= known]
        lines += [f"{symbol} {probability:g} {' '.join(spelled)}" for spelled, probability in found]
    write_text(directory / "lexiconp.txt", "".join(f"{line}\n" for line in lines))
    if unknown:
        how = "are guessed or taken as noise" if guess else "are taken as noise; a G2P model (train-g2p) can guess them"
        print(f"WARNING: {len(unknown)} words are not in {lexicon.name} and {how}: {' '.join(unknown[:10])}", file=sys.stderr)
