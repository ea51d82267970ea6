"""A speaker's utterances: features, statistics, pieces of long ones, adaptation, alignment."""

from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from asrtool.data.recording import Recording
from asrtool.errors import AsrtoolError
from asrtool.feat.fbank import FeatureExtractor
from asrtool.forced_alignment.adaptation import speaker_transform
from asrtool.forced_alignment.align import AlignedFrames, Aligner
from asrtool.forced_alignment.corpus import Utterance
from asrtool.forced_alignment.lexicon import Word
from asrtool.forced_alignment.long_recordings import Cutter, Piece
from asrtool.forced_alignment.sound import memory_data, utterance_features
from asrtool.forced_alignment.times import AlignedUtterance, PhoneTime, WordTime, boundaries_s
from asrtool.gmm.features import apply_transform
from asrtool.train.gmm_corpus import FeatureSource


@dataclass(frozen=True)
class Stretch:
    """A piece of an utterance with its words."""

    utterance: str
    piece: Piece
    words: list[Word]
    symbols: list[str]


class SpeakerAligner:
    """Aligns the utterances of a speaker on a pool of threads.

    Args:
        aligner: with the words of all utterances in its vocabulary.
        words: utterance -> (its words, their symbols in the vocabulary).
        pool: for the work on single recordings, windows and pieces; the caller is none of its threads.
    """

    def __init__(
        self,
        aligner: Aligner,
        extractor: FeatureExtractor,
        words: dict[str, tuple[list[Word], list[str]]],
        pool: Executor,
    ) -> None:
        self.aligner, self.extractor, self.words, self.pool = aligner, extractor, words, pool
        self.cut = Cutter(aligner, 0.001 * extractor.options.frame_shift)

    def __call__(self, utterances: list[Utterance], recordings: dict[str, Recording]) -> list[AlignedUtterance]:
        """The results of all utterances of a speaker, in their order; those that cannot be aligned say why."""
        results = {one.name: _empty(one) for one in utterances}
        features: dict[str, np.ndarray] = {}
        for utterance, found, recording_s in self._features(utterances, recordings):
            result = results[utterance.name]
            result.end_s = min(utterance.end_s, recording_s) if utterance.end_s >= 0 and recording_s else recording_s
            if isinstance(found, AsrtoolError):
                result.problem = str(found)
            elif not self.words[utterance.name][1]:
                result.problem = "its text has no words"
            else:
                features[utterance.name] = found
        if features:
            data = memory_data(self.aligner.model.directory, {one.name: one.speaker for one in utterances}, features)
            source = self.aligner.model.source(data)
            self.aligner.model.check_dim(source.dim)
            self._align(source, results)
        return list(results.values())

    def _features(self, utterances: list[Utterance], recordings: dict[str, Recording]) -> Iterator:
        by_recording: dict[str, list[Utterance]] = {}
        for utterance in utterances:
            by_recording.setdefault(utterance.recording, []).append(utterance)
        jobs = self.pool.map(
            lambda name: list(utterance_features(recordings[name], by_recording[name], self.extractor)), by_recording
        )
        for found in jobs:
            yield from found

    def _align(self, source: FeatureSource, results: dict[str, AlignedUtterance]) -> None:
        """Fills in the results of the utterances that have features."""
        stretches: list[Stretch] = []
        held: dict[str, np.ndarray] = {}  # what the model takes of long utterances, which has many users
        for name in source.utterances():
            if source.num_frames(name) > self.cut.longest:
                held[name] = source(name)
            stretches += self._stretches(results[name], source.num_frames(name), held.get(name))

        def frames(stretch: Stretch) -> np.ndarray:
            features = held[stretch.utterance] if stretch.utterance in held else source(stretch.utterance)
            return features[stretch.piece.begin : stretch.piece.end]

        transform = speaker_transform(self.aligner, frames, stretches, self.pool)

        def work(stretch: Stretch) -> AlignedFrames | AsrtoolError:
            features = frames(stretch)
            if transform is not None:
                features = apply_transform(features, transform)
            try:
                return self.aligner.align(features, stretch.symbols, transform is not None)
            except AsrtoolError as error:
                return error

        found: dict[str, list[tuple[Stretch, AlignedFrames | AsrtoolError]]] = {}
        for stretch, aligned in zip(stretches, self.pool.map(work, stretches), strict=True):
            found.setdefault(stretch.utterance, []).append((stretch, aligned))
        for name, pieces in found.items():
            self._fill(results[name], pieces, source.num_frames(name))

    def _stretches(self, result: AlignedUtterance, num_frames: int, long_features: np.ndarray | None) -> list[Stretch]:
        words, symbols = self.words[result.name]
        pieces = [Piece(0, num_frames, 0, len(symbols))]
        if long_features is not None:
            try:
                pieces = self.cut(long_features, symbols, self.pool)
            except AsrtoolError as error:
                result.problem = str(error)
                return []
        return [Stretch(result.name, one, words[one.first : one.last], symbols[one.first : one.last]) for one in pieces]

    def _fill(self, result: AlignedUtterance, pieces: list, num_frames: int) -> None:
        """Joins the pieces of an utterance."""
        times = result.start_s + boundaries_s(num_frames, self.cut.frame_shift_s, result.end_s - result.start_s)
        total, aligned_frames, problems = 0.0, 0, []
        for stretch, aligned in pieces:
            place = times[stretch.piece.begin :]
            if isinstance(aligned, AsrtoolError):
                problems.append(f"{place[0]:.2f}-{times[stretch.piece.end]:.2f} s: {aligned}")
                continue
            for word, found in zip(stretch.words, aligned.words, strict=True):
                phones = [_timed(phone, place) for phone in found.phones]
                result.words.append(WordTime(word.label, phones[0].start_s, phones[-1].end_s, found.confidence, phones))
            result.pauses += [_timed(phone, place) for phone in aligned.pauses]
            total += aligned.loglike
            aligned_frames += aligned.num_frames
        result.num_frames = aligned_frames
        if aligned_frames:
            result.loglike, result.left_out = total / aligned_frames, problems
        else:
            result.problem = str(pieces[0][1])


def _timed(phone: PhoneTime, times: np.ndarray) -> PhoneTime:
    return PhoneTime(phone.phone, float(times[phone.start_s]), float(times[phone.end_s]), phone.confidence)


def _empty(utterance: Utterance) -> AlignedUtterance:
    return AlignedUtterance(utterance.name, utterance.speaker, utterance.recording, utterance.start_s, max(utterance.end_s, 0.0))
