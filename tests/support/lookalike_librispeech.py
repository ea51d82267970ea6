"""A small tree of exactly LibriSpeech's layout, names and formats, spoken by espeak-ng, with what can be wrong in it; and the
files of its language models and lexicon. `make_corpus(directory)` writes

    LibriSpeech/{SPEAKERS,CHAPTERS,BOOKS,LICENSE,README}.TXT
    LibriSpeech/<part>/<speaker>/<chapter>/<speaker>-<chapter>-<number>.flac and <speaker>-<chapter>.trans.txt
    lm/librispeech-lexicon.txt, librispeech-vocab.txt
    lm/3-gram.pruned.3e-7.arpa.gz, 3-gram.pruned.1e-7.arpa.gz, 3-gram.arpa.gz, 4-gram.arpa.gz

and `make_archives` what OpenSLR serves of them. As a program: lookalike_librispeech.py DIR [PART=READERSxCHAPTERSxUTTERANCES ...]
"""

import hashlib
import json
import random
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

SPEAK = Path(__file__).resolve().parents[2] / "egs/mini_mandarin/s5/local/speak.py"
RATE_HZ, SPOKEN_UP, SPOKEN_DOWN = 16000, 320, 441  # espeak-ng speaks at 22,050 Hz
VARIANTS = {"F": ("f2", "f3", "f5", "belinda", "linda", "aunty"), "M": ("m1", "m3", "m7", "adam", "ed", "paul")}

LEXICON = """
A AH0|A EY1|ALWAYS AO1 L W EY0 Z|ALWAYS AO1 L W IY0 Z|AN AE1 N|AND AH0 N D|AND AE1 N D|BARN B AA1 R N|BEHIND B IH0 HH AY1 N D
BLACK B L AE1 K|BOOK B UH1 K|BROTHER B R AH1 DH ER0|BROUGHT B R AO1 T|CAPTAIN K AE1 P T AH0 N|CARRIED K AE1 R IY0 D
CHILD CH AY1 L D|DOCTOR D AA1 K T ER0|DOG D AO1 G|FARMER F AA1 R M ER0|FATHER F AA1 DH ER0|FOUND F AW1 N D|GARDEN G AA1 R D AH0 N
GREEN G R IY1 N
HEARD HH ER1 D|HER HH ER1|HER HH ER0|HIS HH IH1 Z|HIS HH IH0 Z|HORSE HH AO1 R S|HOUSE HH AW1 S|IN IH0 N|IN IH1 N|IT'S IH1 T S
LETTER L EH1 T ER0|LITTLE L IH1 T AH0 L|MORNING M AO1 R N IH0 NG|MOTHER M AH1 DH ER0|NEAR N IH1 R|NEVER N EH1 V ER0|OLD OW1 L D
OLD OW1 L|ON AA1 N|ON AO1 N|RIVER R IH1 V ER0|SAID S EH1 D|SAW S AO1|SHIP SH IH1 P|SILVER S IH1 L V ER0|SISTER S IH1 S T ER0
SOLDIER S OW1 L JH ER0|STOOD S T UH1 D|STREET S T R IY1 T|THE DH AH0|THE DH AH1|THE DH IY0|TO T AH0|TO T UW1|TOOK T UH1 K
UNDER AH1 N D ER0|WAS W AH1 Z|WAS W AA1 Z|WATCHED W AA1 CH T|WENT W EH1 N T|WHITE W AY1 T|WINDOW W IH1 N D OW0|WITH W IH1 DH
WITH W IH1 TH|YESTERDAY Y EH1 S T ER0 D EY2|CAPTAIN'S K AE1 P T AH0 N Z|ISLAND AY1 L AH0 N D|VILLAGE V IH1 L AH0 JH"""
WITHOUT_PRONUNCIATION = ("WINDOWS", "HORSES")  # of the vocabulary, not in the lexicon
UNKNOWN_WORD = "QUOKKA"  # of a transcript, not in the vocabulary

PEOPLE = ["CAPTAIN", "CHILD", "DOCTOR", "FARMER", "FATHER", "MOTHER", "BROTHER", "SISTER", "SOLDIER"]
THINGS = ["BOOK", "DOG", "HORSE", "LETTER", "SHIP", "HORSES"]
PLACES = ["BARN", "GARDEN", "HOUSE", "RIVER", "STREET", "WINDOW", "ISLAND", "VILLAGE", "WINDOWS"]
KINDS = ["BLACK", "GREEN", "LITTLE", "OLD", "SILVER", "WHITE"]
DEEDS = ["BROUGHT", "CARRIED", "FOUND", "HEARD", "SAW", "TOOK", "WATCHED"]
ARTICLES = ["THE", "THE", "A", "HIS", "HER"]

LM_FILES = {"3-gram.pruned.3e-7": 3e-3, "3-gram.pruned.1e-7": 1e-3, "3-gram": None}


@dataclass
class LookAlike:
    """What was made, and what is wrong with it.

    Attributes:
        left_out: utterance -> words that say in problems.txt why it cannot be used.
        truncated: utterances whose flac file breaks off, which only decoding it shows.
        lower_case: utterances whose text is made upper case.
        used: part -> utterances that data preparation keeps (truncated ones among them).
    """

    directory: Path
    left_out: dict[str, str] = field(default_factory=dict)
    truncated: list[str] = field(default_factory=list)
    lower_case: list[str] = field(default_factory=list)
    used: dict[str, list[str]] = field(default_factory=dict)

    @property
    def corpus(self) -> Path:
        return self.directory / "LibriSpeech"

    @property
    def lm(self) -> Path:
        return self.directory / "lm"


def sentence(choose: random.Random) -> list[str]:
    """4 to 11 words of a small grammar, upper case."""

    def someone() -> list[str]:
        return [choose.choice(ARTICLES), *choose.sample(KINDS, choose.random() < 0.4), choose.choice(PEOPLE)]

    def something() -> list[str]:
        return [choose.choice(["THE", "A", "HIS"]), *choose.sample(KINDS, choose.random() < 0.4), choose.choice(THINGS)]

    def somewhere() -> list[str]:
        return [choose.choice(["NEAR", "BEHIND", "IN", "UNDER"]), "THE", choose.choice(PLACES)]

    middle = choose.choice(
        [
            lambda: [choose.choice(DEEDS), *something()],
            lambda: ["WENT", "TO", "THE", choose.choice(PLACES), "WITH", *someone()],
            lambda: ["STOOD", *somewhere()],
            lambda: [choose.choice(["NEVER", "ALWAYS"]), "SAID", "IT'S", "THE", "CAPTAIN'S", choose.choice(THINGS)],
        ]
    )()
    end = choose.choice([[], [], ["YESTERDAY"], ["IN", "THE", "MORNING"], ["AND", *somewhere()]])
    return [*someone(), *middle, *end]


def speak(texts: list[str], gender: str, number: int, scratch: Path) -> list[np.ndarray]:
    """The texts as a reader says them: float32 [num_samples] at 16 kHz. A reader is one process, so that it repeats itself."""
    choose = random.Random(f"voice {number}")
    variant = VARIANTS[gender][number % len(VARIANTS[gender])]
    plan = {"voice": f"en-us+{variant}", "pitch": choose.randint(38, 62), "rate": choose.randint(165, 200), "pitch_range": 50}
    plan |= {"word_gap": 0, "quota_s": 1e9, "seconds_per_sample": 1 / 22050}
    plan["utterances"] = [{"pinyin": text.lower(), "silence_s": 0.0} for text in texts]
    scratch.mkdir(parents=True, exist_ok=True)
    path, out = scratch / f"{number}.json", scratch / f"{number}.out"
    path.write_text(json.dumps(plan))
    subprocess.run([sys.executable, SPEAK, path, out], check=True, stdin=subprocess.DEVNULL)
    samples = np.fromfile(f"{out}.pcm", np.int16).astype(np.float32) / 32768
    ends = np.cumsum(json.loads(Path(f"{out}.json").read_text()))
    noise = np.random.default_rng(number)
    spoken = []
    for piece in np.split(samples, ends[:-1]):
        padded = np.pad(0.5 * resample_poly(piece, SPOKEN_UP, SPOKEN_DOWN), noise.integers(1600, 4800, 2))
        spoken.append((padded + 0.01 * noise.standard_normal(len(padded))).astype(np.float32))
    return spoken


def make_part(made: LookAlike, part: str, shape: tuple[int, int, int], first_reader: int, seed: int) -> list[tuple]:
    """Writes a part of (readers, chapters, utterances); returns its rows of (reader, gender, chapter, part)."""
    readers, chapters, utterances = shape
    rows, used = [], []
    for reader in range(first_reader, first_reader + readers):
        gender = "FM"[reader % 2]
        choose = random.Random(f"text {seed} {part} {reader}")
        texts = [" ".join(sentence(choose)) for _ in range(chapters * utterances)]
        samples = speak(texts, gender, reader, made.directory / "scratch")
        for index in range(chapters):
            chapter = 120000 + 10 * reader + index
            folder = made.corpus / part / str(reader) / str(chapter)
            folder.mkdir(parents=True)
            names = [f"{reader}-{chapter}-{number:04d}" for number in range(utterances)]
            mine = slice(index * utterances, (index + 1) * utterances)
            for name, audio in zip(names, samples[mine]):
                soundfile.write(folder / f"{name}.flac", audio, RATE_HZ, subtype="PCM_16")
            lines = [f"{name} {text}\n" for name, text in zip(names, texts[mine])]
            (folder / f"{reader}-{chapter}.trans.txt").write_text("".join(lines))
            rows.append((reader, gender, chapter, part))
            used += names
    made.used[part] = used
    return rows


def spoil(made: LookAlike, part: str) -> None:
    """Makes one chapter's worth of everything that can be wrong, in the first 8 utterances of the part."""
    names = made.used[part][:8]
    reader, chapter, _ = names[0].split("-")
    folder = made.corpus / part / reader / chapter
    transcript = folder / f"{reader}-{chapter}.trans.txt"
    lines = transcript.read_text().splitlines()
    (folder / f"{names[0]}.flac").unlink()
    lines[1] = names[1]  # an utterance without words
    flac = folder / f"{names[2]}.flac"
    flac.write_bytes(flac.read_bytes()[: flac.stat().st_size // 2])
    lines[3] = lines[3].split(maxsplit=1)[0] + " " + lines[3].split(maxsplit=1)[1].lower()
    lines[4] += f" {UNKNOWN_WORD}"
    (folder / f"{names[6]}.flac").write_bytes(b"")
    lines = [*lines[:5], lines[5], lines[5], *lines[6:7], lines[7], f"{names[7]} THE DOG", "", "1-1-0000 THE HORSE"]
    transcript.write_text("\n".join(lines + transcript.read_text().splitlines()[8:]) + "\n")
    shutil.copy(folder / f"{names[5]}.flac", folder / f"{reader}-{chapter}-9999.flac")
    (folder.parent / ".DS_Store").write_bytes(b"\0\1")
    made.left_out |= {names[0]: "no such file", names[1]: "no text", names[6]: "empty file", names[7]: "different texts"}
    made.left_out |= {f"{reader}-{chapter}-9999": "not in", "1-1-0000": "not an utterance of this chapter"}
    made.truncated, made.lower_case = [names[2]], [names[3]]
    made.used[part] = [name for name in made.used[part] if name not in made.left_out]


def write_tables(made: LookAlike, rows: list[tuple]) -> None:
    """SPEAKERS.TXT, CHAPTERS.TXT and the other files beside the parts."""
    corpus = made.corpus
    readers = sorted({(reader, gender, part) for reader, gender, _, part in rows})
    lines = [f"{reader:<5}| {gender} | {part:<17}| 25.03 | Reader Number {reader}\n" for reader, gender, part in readers]
    head = "; Some pipe(|) separated metadata about all LibriSpeech speakers\n;\n;ID  |SEX| SUBSET           |MINUTES| NAME\n"
    (corpus / "SPEAKERS.TXT").write_text(head + "".join(lines))
    lines = [f"{chapter:<6}| {reader:<5}| 4.12  | {part:<17}| 1 | 1 | A Chapter | A Book\n" for reader, _, chapter, part in rows]
    head = ";ID    |READER|MINUTES| SUBSET           | PROJ.|BOOK ID| CH. TITLE | PROJECT TITLE\n"
    (corpus / "CHAPTERS.TXT").write_text(head + "".join(lines))
    for name in ("BOOKS", "LICENSE", "README"):
        (corpus / f"{name}.TXT").write_text("synthetic speech\n")


def make_lm(made: LookAlike, num_sentences: int = 3000) -> None:
    """Lexicon, vocabulary and the four language models, of text of the same grammar."""
    from asrtool.bin import prune_lm, train_lm

    lm, scratch = made.lm, made.directory / "scratch"
    lm.mkdir()
    scratch.mkdir(parents=True, exist_ok=True)
    entries = [entry.split(maxsplit=1) for line in LEXICON.strip().splitlines() for entry in line.split("|")]
    (lm / "librispeech-lexicon.txt").write_text("".join(f"{word}\t{phones}\n" for word, phones in sorted(entries)))
    words = sorted({word for word, _ in entries} | set(WITHOUT_PRONUNCIATION))
    (lm / "librispeech-vocab.txt").write_text("".join(f"{word}\n" for word in words))
    choose = random.Random("language model")
    text = scratch / "lm.txt"
    text.write_text("".join(" ".join(sentence(choose)) + "\n" for _ in range(num_sentences)))
    trained = ["--vocab", str(lm / "librispeech-vocab.txt"), "--unknown-word", "<UNK>", str(text)]
    train_lm.main(["--order", "4", *trained, str(lm / "4-gram.arpa.gz")])
    train_lm.main(["--order", "3", *trained, str(lm / "3-gram.arpa.gz")])
    for name, threshold in LM_FILES.items():
        if threshold:
            prune_lm.main(["--threshold", str(threshold), str(lm / "3-gram.arpa.gz"), str(lm / f"{name}.arpa.gz")])


def make_corpus(directory: Path, parts: dict[str, tuple[int, int, int]], spoilt: str | None = None, seed: int = 1) -> LookAlike:
    """Writes all of it below `directory`.

    Args:
        parts: part -> readers, chapters of each, utterances of each chapter.
        spoilt: the part whose first chapter gets everything that can be wrong; it needs 8 utterances or more.
    """
    if spoilt and parts[spoilt][2] < 8:
        raise ValueError(f"{spoilt}: {parts[spoilt][2]} utterances in a chapter, to be spoilt it needs 8")
    made = LookAlike(directory)
    rows, first_reader = [], 19
    for part, shape in parts.items():
        rows += make_part(made, part, shape, first_reader, seed)
        first_reader += shape[0]
    if spoilt:
        spoil(made, spoilt)
    write_tables(made, rows)
    make_lm(made)
    shutil.rmtree(directory / "scratch")
    return made


def make_archives(made: LookAlike, directory: Path) -> None:
    """<part>.tar.gz of each part with the tables, as OpenSLR has them, the files of its resource 11, and md5sum.txt of all."""
    directory.mkdir(parents=True)
    for part in made.used:
        with tarfile.open(directory / f"{part}.tar.gz", "w:gz", compresslevel=1) as tar:
            for table in sorted(made.corpus.glob("*.TXT")):
                tar.add(table, f"LibriSpeech/{table.name}")
            tar.add(made.corpus / part, f"LibriSpeech/{part}")
    for file in sorted(made.lm.iterdir()):
        shutil.copy(file, directory / file.name)
    sums = [f"{hashlib.md5(file.read_bytes()).hexdigest()}  {file.name}\n" for file in sorted(directory.iterdir())]
    (directory / "md5sum.txt").write_text("".join(sums))


def main(words: list[str]) -> None:
    shapes = {name: tuple(map(int, shape.split("x"))) for name, _, shape in (word.partition("=") for word in words[1:])}
    shapes = shapes or {"train-clean-5": (6, 2, 8), "dev-clean-2": (2, 1, 8)}
    made = make_corpus(Path(words[0]), shapes, next(iter(shapes)))
    make_archives(made, made.directory / "archives")


if __name__ == "__main__":
    main(sys.argv[1:])
