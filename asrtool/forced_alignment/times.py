"""From an alignment's frames to the times of words and phones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from asrtool.errors import AsrtoolError


@dataclass
class PhoneTime:
    """A phone, seconds from the start of the recording, and how sure it is that it was spoken there, 0 to 1."""

    phone: str
    start_s: float
    end_s: float
    confidence: float = 1.0


@dataclass
class WordTime:
    """A word with its phones; times and confidence as PhoneTime's."""

    word: str
    start_s: float
    end_s: float
    confidence: float = 1.0
    phones: list[PhoneTime] = field(default_factory=list)


@dataclass
class AlignedUtterance:
    """What is known of an utterance.

    Attributes:
        words: without silences; pauses: the silences between them.
        loglike: per frame, of the best path, graph costs included.
        problem: why it is not aligned; "" where it is.
        left_out: pieces of a long one that could not be aligned: when, and why.
    """

    name: str
    speaker: str
    recording: str
    start_s: float
    end_s: float
    words: list[WordTime] = field(default_factory=list)
    pauses: list[PhoneTime] = field(default_factory=list)
    loglike: float = 0.0
    num_frames: int = 0
    problem: str = ""
    left_out: list[str] = field(default_factory=list)

    @property
    def confidence(self) -> float:
        """That of the words, by their lengths."""
        length = sum(word.end_s - word.start_s for word in self.words)
        return sum(word.confidence * (word.end_s - word.start_s) for word in self.words) / length if length else 0.0


def boundaries_s(num_frames: int, frame_shift_s: float, duration_s: float) -> np.ndarray:
    """float64 [num_frames + 1]: when each frame begins, and the last ends.

    Frame t begins t shifts after the utterance, as in Kaldi's CTM files. Without frames that reach beyond the utterance the
    middle of its window lies 7.5 ms later than that of this stretch; but models find boundaries late by about as much, since
    a window with a little of both sounds looks like the louder one. The last frame ends with the utterance.
    """
    times = np.arange(num_frames + 1) * frame_shift_s
    times[-1] = max(duration_s, times[max(num_frames - 1, 0)])
    return np.minimum(times, times[-1])


def group_words(
    phones: Sequence[int], symbols: Sequence[str], pronunciations: Mapping[str, list[tuple[tuple[int, ...], float]]], silence: int
) -> list[tuple[int, int]]:
    """(first phone, one past the last) of each word, in a sequence of phones with optional silence around words.

    Raises:
        AsrtoolError: the phones are not those of the words.
    """
    phones = tuple(phones)
    reached: list[dict[int, tuple[int, int]]] = []  # by word: where it ends -> (where it begins, where the one before it ends)
    ends = {0: (0, 0)}
    for symbol in symbols:
        following: dict[int, tuple[int, int]] = {}
        for end in ends:
            begins = [end, end + 1] if end < len(phones) and phones[end] == silence else [end]
            for begin in begins:
                for spelled, _ in pronunciations[symbol]:
                    if phones[begin : begin + len(spelled)] == spelled:
                        following.setdefault(begin + len(spelled), (begin, end))
        reached.append(following)
        ends = following
    whole = [end for end in ends if end == len(phones) or (end == len(phones) - 1 and phones[end] == silence)]
    if not whole:
        raise AsrtoolError("the aligned phones are not those of the words")
    places, end = [], whole[0]
    for following in reversed(reached):
        begin, before = following[end]
        places.append((begin, end))
        end = before
    return places[::-1]
