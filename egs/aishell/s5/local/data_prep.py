"""Kaldi data directories of AISHELL-1: `python local/data_prep.py DIR DATA_DIR`, DIR holding data_aishell/.

Utterances and speakers are named as in Kaldi's recipe (BAC009S0002W0122 of S0002), so that Kaldi's alignments and transforms fit.
What cannot be used is counted by reason and listed in DATA_DIR/local/left_out.txt; the official corpus has about 300 recordings
without transcript.
"""

import sys
import unicodedata
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from asrtool.arguments import parser
from asrtool.cli import guarded
from asrtool.data.data_dir import write_spk2utt, write_table
from asrtool.errors import AsrtoolError
from asrtool.io.audio import read_header
from asrtool.io.progress import progress
from asrtool.io.whole_file import read_text

SPLITS = {"train": 120098, "dev": 14326, "test": 7176}  # utterances of the official corpus
RATE = 16000
MIN_SAMPLES = 1600  # 0.1 s; nobody says anything in less

Reasons = dict[str, str]
"""utterance (or line of the transcripts) -> why it is left out."""


def corpus_root(directory: Path) -> Path:
    """DIR/data_aishell.

    Raises:
        AsrtoolError: something of the tree is missing.
    """
    root = directory / "data_aishell"
    for name in ("transcript", *(f"wav/{split}" for split in SPLITS)):
        if not (root / name).is_dir():
            archives = next((root / "wav").glob("*.tar.gz"), None)
            mend = (
                "the speakers' archives are not unpacked: run.sh --download true"
                if archives
                else "--corpus names the directory above"
            )
            raise AsrtoolError(f"{root / name}: no such directory; {mend}")
    return root


def normalised(text: str) -> str:
    """Words with one space between; full-width letters, digits and spaces become plain ones, Latin letters capitals."""
    return " ".join(unicodedata.normalize("NFKC", text).upper().split())


def read_transcripts(path: Path) -> tuple[dict[str, str], Reasons]:
    """utterance -> words; lines without words and contradictions are left out, repetitions and empty lines passed over.

    Raises:
        AsrtoolError: no such file, not UTF-8, or no transcript at all.
    """
    transcripts: dict[str, str] = {}
    left_out: Reasons = {}
    for line in read_text(path, "no such file; is the corpus complete?", "utf-8-sig").splitlines():
        utterance, _, words = line.strip().replace("\t", " ").partition(" ")
        words = normalised(words)
        if not utterance:
            continue
        if not words:
            left_out[utterance] = "transcript without words"
        elif transcripts.setdefault(utterance, words) != words:
            left_out[utterance] = "several transcripts that differ"
    for utterance in left_out:
        transcripts.pop(utterance, None)
    if not transcripts:
        raise AsrtoolError(f"{path}: no transcripts; is the corpus complete?")
    return transcripts, left_out


def find_audio(root: Path) -> tuple[dict[str, tuple[str, Path]], Reasons]:
    """utterance -> (split, file), of wav/<split>/<speaker>/*.wav or .flac."""
    audio: dict[str, tuple[str, Path]] = {}
    left_out: Reasons = {}
    for split in SPLITS:
        for speaker in sorted(path for path in (root / "wav" / split).iterdir() if path.is_dir()):
            for path in sorted(speaker.iterdir()):
                if path.suffix not in (".wav", ".flac"):
                    continue
                if speaker.name not in path.stem:
                    left_out[path.stem] = f"the name does not hold the speaker's ({speaker.name})"
                elif path.stem in audio:
                    left_out[path.stem] = f"recorded twice: {audio[path.stem][1].relative_to(root)} is taken"
                else:
                    audio[path.stem] = (split, path)
    return audio, left_out


def fault(path: Path) -> str:
    """What is wrong with a recording; empty: nothing that its header tells."""
    try:
        rate, channels, samples = read_header(str(path))
    except AsrtoolError as error:
        return str(error).removeprefix(f"{path}: ").partition(";")[0]
    if (rate, channels) != (RATE, 1):
        return f"{rate} Hz, {channels} channels; expected {RATE} Hz, mono"
    return f"shorter than {MIN_SAMPLES / RATE} s" if samples < MIN_SAMPLES else ""


def write_split(directory: Path, files: dict[str, Path], transcripts: dict[str, str]) -> None:
    speakers = {utterance: path.parent.name for utterance, path in files.items()}
    write_table(directory / "wav.scp", {utterance: str(path) for utterance, path in files.items()})
    write_table(directory / "text", {utterance: transcripts[utterance] for utterance in files})
    write_table(directory / "utt2spk", speakers)
    write_spk2utt(directory / "spk2utt", speakers)
    num_speakers, official = len(set(speakers.values())), SPLITS[directory.name]
    print(f"{directory}: {len(files)} utterances of {num_speakers} speakers (official corpus: {official})", file=sys.stderr)


def prepare(directory: Path, data: Path, num_threads: int, max_left_out: float) -> None:
    """Writes train, dev and test, and local/left_out.txt.

    Raises:
        AsrtoolError: a part of the corpus is missing, or more than `max_left_out` of it cannot be used.
    """
    root = corpus_root(directory)
    transcripts, reasons = read_transcripts(root / "transcript" / "aishell_transcript_v0.8.txt")
    audio, more = find_audio(root)
    reasons |= {name: why for name, why in more.items() if name not in audio or name not in reasons}
    doubled = sum(name in audio for name in more)  # one recording of these stays
    usable = sorted(name for name in audio if name in transcripts)
    with ThreadPoolExecutor(num_threads) as pool:
        faults = dict(progress(zip(usable, pool.map(lambda name: fault(audio[name][1]), usable)), len(usable), "recordings"))
    reasons |= {name: f"recording: {why}" for name, why in faults.items() if why}
    reasons |= {name: "transcript without recording" for name in transcripts if name not in audio and name not in reasons}
    reasons |= {name: "recording without transcript" for name in audio if name not in transcripts and name not in reasons}
    write_table(data / "local" / "left_out.txt", reasons)
    kinds = Counter(": ".join(why.partition(" (")[0].split(": ")[:2]) for why in reasons.values())
    for kind, count in sorted(kinds.items()):
        print(f"left out: {count} x {kind}", file=sys.stderr)
    share = (len(reasons) - doubled) / (len(reasons) - doubled + len(usable))
    if reasons:
        print(f"{data}/local/left_out.txt: {len(reasons)} listed, {100 * share:.1f} % of the corpus", file=sys.stderr)
    if share > max_left_out:
        raise AsrtoolError(
            f"{root}: {100 * share:.1f} % cannot be used, see {data}/local/left_out.txt; mend, or raise --max-left-out"
        )
    for split in SPLITS:
        files = {name: audio[name][1] for name in usable if audio[name][0] == split and not faults[name]}
        if not files:
            raise AsrtoolError(f"{root / 'wav' / split}: no usable utterance; is the corpus complete?")
        write_split(data / split, files, transcripts)


def main(arguments: list[str]) -> int:
    options = parser("data_prep.py", __doc__)
    options.add_argument("corpus", type=Path)
    options.add_argument("data", type=Path)
    options.add_argument("--nj", type=int, default=4, help="threads that look into recordings")
    options.add_argument("--max-left-out", type=float, default=0.02, help="share of the corpus that may be unusable")
    given = options.parse_args(arguments)
    prepare(given.corpus, given.data, given.nj, given.max_left_out)
    return 0


if __name__ == "__main__":
    sys.exit(guarded("data_prep.py", main, sys.argv[1:]))
