"""What is to be aligned: recordings with their texts, from a folder or from a data directory.

A folder is laid out as for the Montreal Forced Aligner: each recording has beside it a text of the same name, .txt or .lab (one
utterance) or .TextGrid (an interval tier a speaker, an utterance in each labelled interval).
"""

from dataclasses import dataclass, field
from pathlib import Path

from asrtool.data.data_dir import DataDir
from asrtool.data.recording import Recording
from asrtool.errors import AsrtoolError
from asrtool.io.textgrid import Interval, read_textgrid
from asrtool.io.whole_file import read_text

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif")
TEXT_SUFFIXES = (".textgrid", ".lab", ".txt")
_RESULT_TIERS = ("words", "phones", "word confidence", "phone confidence")  # of an earlier alignment: no transcripts


@dataclass(frozen=True)
class Utterance:
    """A stretch of a recording and what is said there.

    Attributes:
        recording: its name, a path without suffix below the folder, or as in wav.scp.
        start_s, end_s: in the recording; an end of -1 is that of the recording.
        text: as it was written.
    """

    name: str
    speaker: str
    recording: str
    start_s: float
    end_s: float
    text: str


@dataclass
class Corpus:
    """
    Attributes:
        path: where it was read from.
        recordings: name -> where its samples are.
        utterances: sorted by speaker, then recording and time.
        problems: (name, why) of recordings that cannot be aligned.
    """

    path: Path
    recordings: dict[str, Recording]
    utterances: list[Utterance]
    problems: list[tuple[str, str]] = field(default_factory=list)

    def speakers(self) -> dict[str, list[Utterance]]:
        """Speaker -> utterances."""
        found: dict[str, list[Utterance]] = {}
        for utterance in self.utterances:
            found.setdefault(utterance.speaker, []).append(utterance)
        return found


def read_corpus(path: str | Path, speaker_characters: int = 0) -> Corpus:
    """A folder of recordings and texts, or a data directory (wav.scp, text, utt2spk, perhaps segments).

    Args:
        speaker_characters: a speaker is the first so many characters of a file's name; 0: the folder that it lies in.

    Raises:
        AsrtoolError: no such directory, or nothing to align in it.
    """
    path = Path(path)
    if not path.is_dir():
        raise AsrtoolError(f"{path}: no such directory")
    corpus = _from_data_dir(path) if (path / "utt2spk").is_file() else _from_folder(path, speaker_characters)
    corpus.utterances.sort(key=lambda one: (one.speaker, one.recording, one.start_s))
    if not corpus.utterances:
        why = f"; the first problem: {': '.join(corpus.problems[0])}" if corpus.problems else ""
        raise AsrtoolError(f"{path}: no recording with a text{why}; expected NAME.wav (.flac) with NAME.txt, .lab or .TextGrid")
    return corpus


def _from_data_dir(path: Path) -> Corpus:
    data = DataDir.load(path)
    for name in ("wav.scp", "text"):
        data.file(name)
    corpus = Corpus(path, {}, [])
    for utterance, speaker in data.utt2spk.items():
        if not data.text.get(utterance):
            corpus.problems.append((utterance, f"no text in {path}/text"))
            continue
        try:
            recording = data.recording(utterance)
        except AsrtoolError as error:
            corpus.problems.append((utterance, str(error)))
            continue
        name, start_s, end_s = data.segments.get(utterance, (utterance, 0.0, -1.0))
        corpus.recordings[name] = recording
        corpus.utterances.append(Utterance(utterance, speaker, name, start_s, end_s, " ".join(data.text[utterance])))
    return corpus


def _from_folder(path: Path, speaker_characters: int) -> Corpus:
    corpus = Corpus(path, {}, [])
    audio: dict[str, Path] = {}
    texts: dict[str, Path] = {}
    for file in sorted(path.rglob("*")):
        name = "_".join(file.relative_to(path).with_suffix("").as_posix().split())
        if file.suffix.lower() in AUDIO_SUFFIXES:
            if name in audio:
                corpus.problems.append((name, f"{audio[name].name} and {file.name} have one name; the first is taken"))
            else:
                audio[name] = file
        elif file.suffix.lower() in TEXT_SUFFIXES:
            held = texts.setdefault(name, file)
            if TEXT_SUFFIXES.index(file.suffix.lower()) < TEXT_SUFFIXES.index(held.suffix.lower()):
                texts[name] = file
    for name, file in audio.items():
        if name not in texts:
            corpus.problems.append((name, "no .txt, .lab or .TextGrid beside it"))
            continue
        folder = file.parent.relative_to(path).as_posix()
        speaker = file.name[:speaker_characters] if speaker_characters else (path.resolve().name if folder == "." else folder)
        try:
            found = _read_texts(texts[name], name, "_".join(speaker.split()))
        except AsrtoolError as error:
            corpus.problems.append((name, str(error)))
            continue
        if not found:
            corpus.problems.append((name, f"{texts[name]}: empty"))
            continue
        corpus.recordings[name] = Recording(str(file))
        corpus.utterances += found
    return corpus


def _read_texts(path: Path, recording: str, speaker: str) -> list[Utterance]:
    """The utterances of a recording."""
    if path.suffix.lower() != ".textgrid":
        text = " ".join(read_text(path, "no such file", "utf-8-sig").split())
        return [Utterance(recording, speaker, recording, 0.0, -1.0, text)] if text else []
    found = []
    for tier in read_textgrid(path).tiers:
        if tier.has_points or tier.name.strip().lower().rpartition(" - ")[2] in _RESULT_TIERS:
            continue
        who = "_".join(tier.name.split()) or speaker
        for interval in tier.labelled:
            found.append(_of_interval(interval, recording, who))
    return found


def _of_interval(interval: Interval, recording: str, speaker: str) -> Utterance:
    name = f"{recording}-{speaker}-{round(interval.start_s * 1000):07d}"
    return Utterance(name, speaker, recording, max(interval.start_s, 0.0), interval.end_s, " ".join(interval.label.split()))
