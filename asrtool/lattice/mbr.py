"""Minimum Bayes risk decoding: the word sequence with the least expected edit distance, with confidences and times.

Xu, Povey, Mangu, Zhu, "Minimum Bayes Risk decoding and system combination based on a recursion for edit distance", Computer
Speech and Language 25(4), 2011, with the changes of Kaldi's lattice-mbr-decode (kaldi/src/lat/sausages.cc).
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.lattice.arrays import final_costs, state_frames, topology, weighed_costs
from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.connect import connect
from asrtool.lattice.lattice import Lattice

MAX_BYTES = 4 << 30
_MAX_PASSES = 100


@dataclass
class MbrResult:
    """The best words of a lattice and what is known of them.

    Attributes:
        words: int32 [N]; with print_silence also 0, for places between words.
        confidences: float32 [N], the probability that the word is right, given the lattice, in [0, 1].
        times: float32 [N, 2], frames where the words begin and end, averaged over the lattice; made not to overlap.
        risk: expected edit distance between the words and the lattice.
        sausage: for each place, before, on and after each word, (words int32, probabilities float32), the most probable first;
            2 * (number of words) + 1 places.
        sausage_times: float32 [places, 2], frames.
    """

    words: np.ndarray
    confidences: np.ndarray
    times: np.ndarray
    risk: float
    sausage: list[tuple[np.ndarray, np.ndarray]] = field(repr=False)
    sausage_times: np.ndarray = field(repr=False)


def mbr_decode(
    lattice: CompactLattice | Lattice,
    acoustic_scale: float = 1.0,
    lm_scale: float = 1.0,
    decode_mbr: bool = True,
    words: np.ndarray | None = None,
    print_silence: bool = False,
) -> MbrResult:
    """The best words of a lattice; times mean something where `align_words` made the lattice.

    Args:
        decode_mbr: False keeps the words of the best path, or `words`, and only works out their confidences.
        words: word ids to begin with, instead of the best path.

    Raises:
        AsrtoolError: a lattice without a whole path, or too large for the memory that this may take (`MAX_BYTES`).
    """
    arcs = prepare(lattice, acoustic_scale, lm_scale)
    hypothesis = arcs.best if words is None else np.asarray(words, np.int32)
    for _ in range(_MAX_PASSES + 1):
        places = _with_empty_places(hypothesis)
        risk, gamma, begin, end = _expected_alignment(arcs, places)
        changed = False
        if decode_mbr:
            chosen = _most_probable(gamma, arcs.words)
            changed = bool(np.any(_share_of(gamma, arcs.words, places) < gamma[np.arange(len(places)), chosen]))
            places = arcs.words[chosen]
        hypothesis = places[places != 0]
        if not changed:
            break
    return _result(arcs.words, places, risk, gamma, begin, end, print_silence)


class Arcs(NamedTuple):
    """The lattice with one final state, arcs sorted by their end, as the kernel takes it; best: words of the best path."""

    start: np.ndarray
    end: np.ndarray
    word: np.ndarray
    share: np.ndarray
    words: np.ndarray
    frame: np.ndarray
    best: np.ndarray


def prepare(lattice: CompactLattice | Lattice, acoustic_scale: float, lm_scale: float) -> Arcs:
    """What does not depend on the words; AsrtoolError where the lattice has no whole path."""
    from asrtool.lattice.best_path_kernels import best_path_arcs
    from asrtool.lattice.forward_backward_kernels import sum_paths

    lattice = connect(lattice)
    if lattice.num_states == 0:
        raise AsrtoolError("the lattice has no whole path")
    start, end = topology(lattice)
    cost, final_cost = _rounded_costs(lattice, acoustic_scale, lm_scale)
    best, _ = best_path_arcs(start, end, cost, final_cost)
    best_words = lattice.arc_word[best]
    final = np.flatnonzero(final_costs(lattice)[0] < np.inf)
    start = np.concatenate([start, final]).astype(np.int32)
    end = np.concatenate([end, np.full(len(final), lattice.num_states)]).astype(np.int32)
    cost = np.concatenate([cost, final_cost[final]])
    by_start = np.argsort(start, kind="stable")
    one_final = np.append(np.full(lattice.num_states, np.inf), 0.0)
    alpha, _, _ = sum_paths(start[by_start], end[by_start], cost[by_start], one_final)
    order = np.argsort(end, kind="stable")
    word = np.concatenate([lattice.arc_word, np.zeros(len(final), np.int32)])[order]
    words, word = np.unique(np.append(word, 0), return_inverse=True)
    return Arcs(
        start=start[order],
        end=end[order],
        word=word[:-1].astype(np.int32),
        share=np.exp(alpha[start] - cost - alpha[end])[order],
        words=words.astype(np.int32),
        frame=np.append(state_frames(lattice), lattice.num_frames).astype(np.int32),
        best=best_words[best_words != 0].astype(np.int32),
    )


def _rounded_costs(lattice: CompactLattice | Lattice, acoustic_scale: float, lm_scale: float) -> tuple[np.ndarray, np.ndarray]:
    """(arc_cost [A], final_cost [S]), rounded where Kaldi rounds: among alignments that are equally good, rounding decides."""
    parts = []
    for part_of_graph, part_of_acoustic in ((float(np.float32(lm_scale)), 0.0), (0.0, float(np.float32(acoustic_scale)))):
        parts.append([costs.astype(np.float32) for costs in weighed_costs(lattice, part_of_acoustic, part_of_graph)])
    (graph, final_graph), (acoustic, final_acoustic) = parts
    return (graph + acoustic).astype(np.float64), (final_graph + final_acoustic).astype(np.float64)


def _with_empty_places(words: np.ndarray) -> np.ndarray:
    places = np.zeros(2 * len(words) + 1, np.int32)
    places[1::2] = words
    return places


def _expected_alignment(arcs: Arcs, places: np.ndarray):
    from asrtool.lattice.mbr_kernels import expected_alignment

    needed = 16 * len(arcs.frame) * (len(places) + 1) + 24 * len(places) * len(arcs.words)
    if needed > MAX_BYTES:
        raise AsrtoolError(
            f"{len(arcs.frame)} states x {len(places)} places take {needed >> 20} MiB, allowed are {MAX_BYTES >> 20}; "
            "prune the lattice, or cut the recording into utterances"
        )
    return expected_alignment(arcs.start, arcs.end, arcs.word, arcs.share, arcs.words, arcs.frame, places, len(arcs.words))


def _most_probable(gamma: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Which of `words` has each place; of equally probable ones (in float32) the last."""
    shares = gamma.astype(np.float32)
    return shares.shape[1] - 1 - np.argmax(shares[:, ::-1], axis=1)


def _share_of(gamma: np.ndarray, words: np.ndarray, places: np.ndarray) -> np.ndarray:
    index = np.minimum(np.searchsorted(words, places), len(words) - 1)
    return np.where(words[index] == places, gamma[np.arange(len(places)), index], 0.0)


def _result(words, places, risk, gamma, begin, end, print_silence: bool) -> MbrResult:
    confidences = _share_of(gamma, words, places).astype(np.float32)
    index = np.minimum(np.searchsorted(words, places), len(words) - 1)
    at = (np.arange(len(places)), index)
    share = np.maximum(gamma[at].astype(np.float32), np.finfo(np.float32).tiny).astype(np.float64)
    times = np.stack([begin[at] / share, end[at] / share], axis=1).astype(np.float32)
    shown = np.flatnonzero((places != 0) | print_silence)
    sausage = []
    for row in gamma.astype(np.float32):
        there = np.flatnonzero(row > 0)
        there = there[np.lexsort((-words[there], -row[there]))]
        sausage.append((words[there], row[there]))
    return MbrResult(
        words=places[shown] if print_silence else places[places != 0],
        confidences=confidences[shown],
        times=_apart(times[shown]),
        risk=float(risk),
        sausage=sausage,
        sausage_times=_joined(np.stack([begin.sum(axis=1), end.sum(axis=1)], axis=1).astype(np.float32)),
    )


def _apart(times: np.ndarray) -> np.ndarray:
    """Words that overlap share the time of both in proportion to their lengths (as Kaldi's MbrDecode)."""
    times = times.copy()
    for i in range(1, len(times)):
        (begin, end), (next_begin, next_end) = times[i - 1], times[i]
        if end <= next_begin:
            continue
        left = max(times[i - 2, 1] if i > 1 else np.float32(0), min(begin, next_begin))
        right = max(end, next_end)
        first, second = end - begin, next_end - next_begin
        middle = left + (right - left) * first / (first + second) if first > 0 else left
        times[i - 1] = left, middle
        times[i] = middle, right
    return times


def _joined(times: np.ndarray) -> np.ndarray:
    """Places that overlap meet halfway."""
    times = times.copy()
    for i in range(1, len(times)):
        if times[i - 1, 1] > times[i, 0]:
            times[i - 1, 1] = times[i, 0] = np.float32(0.5) * (times[i - 1, 1] + times[i, 0])
    return times
