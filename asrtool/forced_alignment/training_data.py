"""A corpus as a data directory with features, for training."""

import hashlib
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from asrtool.data.data_dir import DataDir, write_spk2utt, write_table
from asrtool.errors import AsrtoolError
from asrtool.feat.corpus_stats import write_stats
from asrtool.feat.extraction_options import MfccOptions
from asrtool.feat.fbank import FeatureExtractor
from asrtool.forced_alignment.corpus import Corpus, Utterance
from asrtool.forced_alignment.lexicon import Lexicon
from asrtool.forced_alignment.sound import utterance_features
from asrtool.io.atomic_file import write_text
from asrtool.io.kaldi_table import MatrixWriter
from asrtool.io.progress import progress

DONE = ".features"
RECORDINGS_AHEAD = 32  # whose features may be in memory at once


@dataclass
class TrainingData:
    """
    Attributes:
        symbols: the words, dictionary entries or (not in the dictionary) as written.
        left_out: (utterance, why).
    """

    num_frames: int = 0
    symbols: set[str] = field(default_factory=set)
    left_out: list[tuple[str, str]] = field(default_factory=list)


def write_training_data(
    corpus: Corpus, lexicon: Lexicon, directory: Path, options: MfccOptions, longest_s: float, pool: Executor
) -> TrainingData:
    """Writes feats.scp, cmvn.scp, text, utt2spk and what belongs to them; features that are there already stay.

    Raises:
        AsrtoolError: no utterance is left.
    """
    words = {one.name: [word.entry or word.label for word in lexicon.words_of(one.text)] for one in corpus.utterances}
    digest = _digest(corpus, options, longest_s)
    marker = directory / DONE
    if not (marker.is_file() and marker.read_text() == digest):
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        left_out = _write_features(corpus, words, directory, options, longest_s, pool)
        write_text(directory / "left_out.txt", "".join(f"{name}\t{why}\n" for name, why in left_out))
        write_text(marker, digest)
    data = DataDir.load(directory)
    write_table(directory / "text", {name: " ".join(words[name]) for name in data.utt2spk})
    left_out = [tuple(line.split("\t", 1)) for line in (directory / "left_out.txt").read_text(encoding="utf-8").splitlines()]
    symbols = {symbol for name in data.utt2spk for symbol in words[name]}
    return TrainingData(sum(data.utt2num_frames.values()), symbols, left_out)


def _write_features(
    corpus: Corpus, words: dict[str, list[str]], directory: Path, options: MfccOptions, longest_s: float, pool: Executor
) -> list[tuple[str, str]]:
    left_out, utt2spk, frames = [], {}, {}
    limit = int(longest_s * 1000 / options.frame_shift)
    with MatrixWriter(directory / "feats.ark", directory / "feats.scp", 2) as writer:
        for utterance, found in _features(corpus, FeatureExtractor(options), pool):
            problem = str(found) if isinstance(found, AsrtoolError) else ""
            if not problem and not words[utterance.name]:
                problem = "its text has no words"
            if not problem and len(found) > limit:
                problem = f"longer than {longest_s:g} s: not trained on; cut it (asrtool align with a model does)"
            if problem:
                left_out.append((utterance.name, " ".join(problem.split())))
                continue
            writer.write(utterance.name, found)
            utt2spk[utterance.name], frames[utterance.name] = utterance.speaker, str(len(found))
    if not utt2spk:
        raise AsrtoolError(f"{corpus.path}: no utterance to train on; the first problem: {': '.join(left_out[0])}")
    write_table(directory / "utt2spk", utt2spk)
    write_spk2utt(directory / "spk2utt", utt2spk)
    write_table(directory / "utt2num_frames", frames)
    write_stats(DataDir.load(directory), directory, False)
    return left_out


def _features(
    corpus: Corpus, extractor: FeatureExtractor, pool: Executor
) -> Iterator[tuple[Utterance, np.ndarray | AsrtoolError]]:
    by_recording: dict[str, list[Utterance]] = {}
    for utterance in corpus.utterances:
        by_recording.setdefault(utterance.recording, []).append(utterance)
    names = list(by_recording)
    batches = [names[begin : begin + RECORDINGS_AHEAD] for begin in range(0, len(names), RECORDINGS_AHEAD)]

    def work(name: str) -> list:
        return list(utterance_features(corpus.recordings[name], by_recording[name], extractor))

    for batch in progress(batches, len(batches), "batches of recordings"):
        for found in pool.map(work, batch):
            yield from ((utterance, features) for utterance, features, _ in found)
    sys.stderr.flush()


def _digest(corpus: Corpus, options: MfccOptions, longest_s: float) -> str:
    """Of what determines the features."""
    parts = [repr((options, longest_s, corpus.utterances))]
    for name, recording in sorted(corpus.recordings.items()):
        path = Path(recording.entry)
        stamp = (path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else ()
        parts.append(repr((name, recording, stamp)))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
