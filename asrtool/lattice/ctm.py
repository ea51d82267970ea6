"""Words with their times, from lattices and from paths, as CTM files have them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from asrtool.data.data_dir import parse_segment
from asrtool.errors import AsrtoolError
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.ctm import CtmWord
from asrtool.io.kaldi_table import read_scp
from asrtool.lattice.align_words import AlignOptions, align_words
from asrtool.lattice.align_words_files import AlignLexicon, WordBoundary, read_word_places
from asrtool.lattice.arrays import path_lattice, topology, weighed_costs
from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.mbr import MbrResult, mbr_decode
from asrtool.lattice.strings import begins


class WordTime(NamedTuple):
    """word: id, 0 for silence; start_frame, num_frames: whole on a path, averages with confidences; confidence: 0 to 1."""

    word: int
    start_frame: float
    num_frames: float
    confidence: float = 1.0


class AlignedPath(Protocol):
    """What `lattice.BestPath` and the decoder's result have in common."""

    words: np.ndarray
    transition_ids: np.ndarray


class WordAligner:
    """Finds words in time, with one model and one language.

    Args:
        places: of phones in words; see `align_words_files.read_word_places`.
    """

    def __init__(
        self, transition_model: TransitionModel, places: WordBoundary | AlignLexicon, options: AlignOptions | None = None
    ) -> None:
        self.transition_model, self.places, self.options = transition_model, places, options or AlignOptions()

    @classmethod
    def of_graph_dir(cls, graph_dir: str | Path, transition_model: TransitionModel) -> "WordAligner":
        """With phones/word_boundary.int or phones/align_lexicon.int of a graph or lang directory.

        Raises:
            AsrtoolError: neither is there.
        """
        return cls(transition_model, read_word_places(graph_dir))

    def __call__(
        self,
        source: CompactLattice | AlignedPath,
        acoustic_scale: float = 1.0,
        lm_scale: float = 1.0,
        words: np.ndarray | None = None,
        decode_mbr: bool = False,
    ) -> list[WordTime]:
        """The words of a path with confidence 1, or of a lattice with confidences; without silence.

        A lattice gives its best path's words at these scales, or `words`; with `decode_mbr` those of the least expected error.

        Raises:
            AsrtoolError: made with another model, phones that fit no word, or a lattice without a whole path.
        """
        if not isinstance(source, CompactLattice):
            return word_times(source.transition_ids, source.words, self.transition_model, self.places, self.options)
        aligned, _ = align_words(source, self.transition_model, self.places, self.options)
        return mbr_word_times(mbr_decode(aligned, acoustic_scale, lm_scale, decode_mbr, words))


def word_times(
    path: CompactLattice | np.ndarray,
    words: np.ndarray | None,
    transition_model: TransitionModel,
    places: WordBoundary | AlignLexicon,
    options: AlignOptions | None = None,
    print_silence: bool = False,
) -> list[WordTime]:
    """The words of one path, in whole frames, with confidence 1.

    Args:
        path: transition-ids int [T]; or a lattice of a single path, which has the words too.
        words: word ids int [N] without 0; None with a lattice.
        print_silence: gives word 0 for what lies between words, too.

    Raises:
        AsrtoolError: transition-ids of another model, or phones that do not fit the words.
    """
    if isinstance(path, CompactLattice):
        linear = path
    else:
        linear = linear_lattice(np.asarray(words, np.int32), np.asarray(path, np.int32))
    if linear.num_frames == 0:
        return []
    return path_word_times(align_words(linear, transition_model, places, options).lattice, print_silence)


def path_word_times(aligned: CompactLattice, print_silence: bool = False) -> list[WordTime]:
    """The words on the arcs of the best path of a lattice that `align_words` made (Kaldi's nbest-to-ctm)."""
    arcs = best_arcs(aligned)
    frames = np.diff(aligned.tid_begin)[arcs]
    found = zip(aligned.arc_word[arcs].tolist(), (np.cumsum(frames) - frames).tolist(), frames.tolist())
    return [WordTime(word, start, number) for word, start, number in found if word or (print_silence and number)]


def best_arcs(
    lattice: CompactLattice, acoustic_scale: float = 1.0, lm_scale: float = 1.0, word_insertion_penalty: float = 0.0
) -> np.ndarray:
    """int32: the arcs of the best path, in order. AsrtoolError where there is none."""
    from asrtool.lattice.best_path_kernels import best_path_arcs

    costs = weighed_costs(lattice, acoustic_scale, lm_scale, word_insertion_penalty)
    arcs, cost = best_path_arcs(*topology(lattice), *costs)
    if not cost < np.inf:
        raise AsrtoolError("the lattice has no whole path")
    return arcs


def best_path_times(
    lattice: CompactLattice,
    aligner: WordAligner,
    acoustic_scale: float = 1.0,
    lm_scale: float = 1.0,
    word_insertion_penalty: float = 0.0,
    print_silence: bool = False,
) -> list[WordTime]:
    """The words of the best path at these scales, in whole frames."""
    path = path_lattice(lattice, best_arcs(lattice, acoustic_scale, lm_scale, word_insertion_penalty))
    return word_times(path, None, aligner.transition_model, aligner.places, aligner.options, print_silence)


def mbr_word_times(result: MbrResult) -> list[WordTime]:
    """The words of `mbr_decode`, with averaged times."""
    starts, ends = result.times[:, 0], result.times[:, 1]
    columns = (result.words, starts, ends - starts, result.confidences)
    return [WordTime(*row) for row in zip(*(column.tolist() for column in columns))]


def linear_lattice(words: np.ndarray, transition_ids: np.ndarray) -> CompactLattice:
    """A lattice of one path without costs: words int32 [N], each on an arc with an even share of transition_ids int32 [T]."""
    number = len(words)
    begin = np.arange(number + 1, dtype=np.int64) * len(transition_ids) // max(number, 1)
    if number == 0:
        begin[:] = 0
    final_graph = np.full(number + 1, np.inf, np.float32)
    final_graph[-1] = 0.0
    states = np.arange(number + 1, dtype=np.int32)
    return CompactLattice(
        num_frames=len(transition_ids),
        arc_start=states[:-1],
        arc_end=states[1:],
        arc_word=words,
        arc_graph_cost=np.zeros(number, np.float32),
        arc_acoustic_cost=np.zeros(number, np.float32),
        tid_begin=begin,
        transition_id=transition_ids[: begin[-1]],
        final_graph_cost=final_graph,
        final_acoustic_cost=final_graph.copy(),
        final_tid_begin=begins(np.append(np.zeros(number, np.int64), len(transition_ids) - begin[-1])),
        final_transition_id=transition_ids[begin[-1] :],
    )


def ctm_words(utterance: str, times: Iterable[WordTime], frame_shift_s: float, symbol, confidences: bool) -> list[CtmWord]:
    """The words of an utterance, relative to its beginning; `symbol`: word id -> what is printed.

    Times are worked out in float32, as Kaldi does, so that they round as there.
    """
    shift = np.float32(frame_shift_s)
    return [
        CtmWord(
            utterance,
            "1",
            float(shift * np.float32(one.start_frame)),
            float(shift * np.float32(one.num_frames)),
            str(symbol(one.word)),
            one.confidence if confidences else None,
        )
        for one in times
    ]


@dataclass(frozen=True)
class Recordings:
    """What utterances are cut from (Kaldi's utils/convert_ctm.pl).

    Attributes:
        segments: utterance -> (recording, begin in s, end in s; -1 is the end of the recording).
        files: recording -> (file, channel), from reco2file_and_channel; None keeps the recordings' names and channel 1.
        name: the segments file, for messages.
    """

    segments: dict[str, tuple[str, float, float]]
    files: dict[str, tuple[str, str]] | None
    name: str

    @classmethod
    def read(cls, segments: str | Path, reco2file_and_channel: str | Path | None = None) -> "Recordings":
        """Reads both files; AsrtoolError where one is missing or damaged."""
        cut = {key: parse_segment(Path(segments), key, line) for key, line in read_scp(segments).items()}
        if reco2file_and_channel is None:
            return cls(cut, None, str(segments))
        files = {}
        for recording, line in read_scp(reco2file_and_channel).items():
            if len(line.split()) != 2:
                raise AsrtoolError(
                    f"{reco2file_and_channel}: {recording}: expected 'recording file channel', found '{line[:60]}'"
                )
            files[recording] = tuple(line.split())
        return cls(cut, files, str(segments))

    def place(self, word: CtmWord) -> CtmWord:
        """The word relative to the recording that its utterance is cut from.

        Raises:
            AsrtoolError: an utterance or recording that is not there.
        """
        if word.recording not in self.segments:
            raise AsrtoolError(f"{self.name}: {word.recording}: not in it; use the data directory that was decoded")
        recording, begin_s, _ = self.segments[word.recording]
        if self.files is not None and recording not in self.files:
            raise AsrtoolError(f"{self.name}: recording {recording} is not in reco2file_and_channel; add it")
        file, channel = self.files[recording] if self.files is not None else (recording, word.channel)
        return word._replace(recording=file, channel=channel, start_s=word.start_s + begin_s)


def ctm_digits(frame_shift_s: float) -> int:
    """Decimals that times need: 2, more for frame shifts below 10 ms."""
    return 2 if frame_shift_s >= 0.01 else 3 if frame_shift_s >= 0.001 else 4
