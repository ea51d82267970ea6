"""Long stretches with one transcript, cut into pieces that are short enough to be aligned.

Windows of the stretch are decoded with a graph that expects the transcript's words. Where several words in a row were recognised
as they stand in the transcript, both are surely at the same place (an anchor), and may be cut between two of these words; the
longest pauses there are preferred. What lies between anchors is aligned as it is, whatever was recognised.
"""

import tempfile
from concurrent.futures import Executor
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asrtool.decoder.beam_search import BeamSearchDecoder, BeamSearchOptions
from asrtool.errors import AsrtoolError
from asrtool.forced_alignment.align import Aligner
from asrtool.forced_alignment.biased_graph import biased_graph
from asrtool.hmm.transition_model import TransitionModel

WINDOW_S = 30.0
ANCHOR_WORDS = 3  # recognised in a row
SHORTEST_PIECE_S = 5.0
PAUSE_S = 0.15  # a cut in a pause of this length is worth as much as one a whole piece later
LONGEST_PIECES = 8  # a piece without anchors may be so many times as long as the others


@dataclass(frozen=True)
class Piece:
    """Frames begin to end of an utterance, and the words spoken in them: numbers from first to last (not included)."""

    begin: int
    end: int
    first: int
    last: int


class Heard(NamedTuple):
    """A recognised word; frames of its stretch."""

    symbol: str
    begin: int
    end: int


class Cutter:
    """Cuts long stretches with an aligner's model and vocabulary.

    Args:
        frame_shift_s: of the features.
    """

    def __init__(self, aligner: Aligner, frame_shift_s: float) -> None:
        self.aligner, self.frame_shift_s = aligner, frame_shift_s
        self.longest = int(aligner.settings.longest_s / frame_shift_s)

    def __call__(self, features: np.ndarray, symbols: list[str], pool: Executor) -> list[Piece]:
        """The pieces of a stretch, in order and without gaps.

        Args:
            features: float32 [T, D], as the model takes them, without the speaker's transform.
            symbols: its words.

        Raises:
            AsrtoolError: what was recognised and the transcript have too little in common.
        """
        heard = self._decode(features, symbols, pool)
        cuts = choose_cuts(
            possible_cuts(heard, symbols),
            len(features),
            self.longest,
            int(SHORTEST_PIECE_S / self.frame_shift_s),
            self.longest / (PAUSE_S / self.frame_shift_s),
        )
        bounds = [(0, 0), *cuts, (len(features), len(symbols))]
        pieces = [Piece(*frames, *words) for frames, words in (zip(*pair) for pair in pairwise(bounds))]
        longest = max(piece.end - piece.begin for piece in pieces)
        if longest > LONGEST_PIECES * self.longest:
            raise AsrtoolError(
                f"{longest * self.frame_shift_s:.0f} s of it cannot be matched with the text "
                f"({len(heard)} words recognised); do text and recording belong together?"
            )
        return pieces

    def _decode(self, features: np.ndarray, symbols: list[str], pool: Executor) -> list[Heard]:
        model, settings = self.aligner.model, self.aligner.settings
        with tempfile.TemporaryDirectory(prefix="asrtool-align-") as folder:
            graph, words = biased_graph(
                model, self.aligner.vocabulary, symbols, settings.silence_probability, Path(folder)
            )  # fmt: skip
        options = BeamSearchOptions(beam=11.0, max_active=2500, acoustic_scale=settings.acoustic_scale)
        decoder = BeamSearchDecoder(graph, np.ascontiguousarray(model.transition_model.tid_to_pdf, np.int32), options)
        size = int(WINDOW_S / self.frame_shift_s)
        begins = range(0, max(len(features) - size // 4, 1), size)  # a short rest goes with the last window
        ends = [*begins[1:], len(features)]

        def work(window: tuple[int, int]) -> list[Heard]:
            begin, end = window
            loglikes = model.loglikes(features[begin:end])
            try:
                found = decoder.decode(np.ascontiguousarray(loglikes.T))
            except AsrtoolError:  # no path within the beam: nothing was recognised
                return []
            spoken = [words.symbol(word) for word in found.words.tolist()]
            placed = self._place(found.transition_ids, spoken)
            return [Heard(one.symbol, begin + one.begin, begin + one.end) for one in placed]

        return [one for found in pool.map(work, zip(begins, ends, strict=True)) for one in found]

    def _place(self, tids: np.ndarray, spoken: list[str]) -> list[Heard]:
        """The times of recognised words, up to the one within which the path may end."""
        model = self.aligner.model
        tids = tids[: _whole_phones(tids, model.transition_model)]
        if not len(tids):
            return []
        phones, lengths = model.transition_model.phone_segments(tids)
        phones, ends = phones.tolist(), np.cumsum(lengths).tolist()
        silence = model.phones.symbols.id(model.phones.silence)
        found, at = [], 0
        for symbol in spoken:
            spelled = self.aligner.vocabulary.pronunciations[symbol]
            begin, end = _match(phones, at, [one for one, _ in spelled], silence)
            if end < 0:
                break
            found.append(Heard(symbol, ends[begin - 1] if begin else 0, ends[end - 1]))
            at = end
        return found


def _whole_phones(tids: np.ndarray, model: TransitionModel) -> int:
    """Frames up to the end of the last whole phone."""
    final = model.tid_is_final[tids] & ~model.tid_is_self_loop[tids]
    last = np.flatnonzero(final)
    return int(last[-1]) + 1 if len(last) else 0


def _match(phones: list[int], at: int, spelled: list[tuple[int, ...]], silence: int) -> tuple[int, int]:
    """(first, one past the last) phone of a word that begins at `at` or after a silence there; (-1, -1): none does.

    The longest pronunciation that fits is taken.
    """
    for begin in (at, at + 1) if phones[at : at + 1] == [silence] else (at,):
        fits = [len(one) for one in spelled if tuple(phones[begin : begin + len(one)]) == one]
        if fits:
            return begin, begin + max(fits)
    return -1, -1


class PossibleCut(NamedTuple):
    """frame: in the middle of the pause; word: the number of words before it; pause: frames."""

    frame: int
    word: int
    pause: int


def possible_cuts(heard: list[Heard], symbols: list[str]) -> list[PossibleCut]:
    """Places between words that were recognised in a row as they stand in the transcript."""
    matcher = SequenceMatcher(None, symbols, [one.symbol for one in heard], autojunk=False)
    found = []
    for block in matcher.get_matching_blocks():
        if block.size < ANCHOR_WORDS:
            continue
        for offset in range(1, block.size):
            before, after = heard[block.b + offset - 1], heard[block.b + offset]
            found.append(PossibleCut((before.end + after.begin) // 2, block.a + offset, after.begin - before.end))
    return found


def choose_cuts(
    possible: list[PossibleCut], num_frames: int, longest: int, shortest: int, frames_a_pause_frame: float
) -> list[tuple[int, int]]:
    """(frame, words before it) of the cuts: pieces of `shortest` to `longest` frames where that can be had.

    A cut is the better the later it is, and the longer its pause: a frame of pause counts `frames_a_pause_frame`.
    """
    cuts: list[tuple[int, int]] = []
    now = 0
    while num_frames - now > longest:
        ahead = [one for one in possible if one.frame >= now + shortest and one.frame <= num_frames - shortest]
        near = [one for one in ahead if one.frame <= now + longest]
        if near:
            best = max(near, key=lambda one: one.frame + frames_a_pause_frame * one.pause)
        elif ahead:
            best = min(ahead, key=lambda one: one.frame)
        else:
            break
        cuts.append((best.frame, best.word))
        now = best.frame
    return cuts
