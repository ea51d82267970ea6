"""The pronunciations, their costs and the optional silence, as L.fst holds them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph


@dataclass(frozen=True)
class Pronunciations:
    """All that a training graph needs from L.fst, as arrays.

    word_begin int64 [num_words + 1]: pronunciations of word id w are word_begin[w] to word_begin[w + 1].
    phone_begin int64 [R + 1]: phones of pronunciation r are phones[phone_begin[r] : phone_begin[r + 1]].
    phones int32; cost float32 [R], -log probability.
    silence_phone: optional silence at the start and after each word, 0 for none.
    no_silence_cost, silence_cost: of leaving it out and of putting it in.
    """

    word_begin: np.ndarray
    phone_begin: np.ndarray
    phones: np.ndarray
    cost: np.ndarray
    silence_phone: int
    no_silence_cost: float
    silence_cost: float

    def of_word(self, word: int) -> list[tuple[tuple[int, ...], float]]:
        """(phones, cost) of each pronunciation of a word; empty for a word that has none."""
        if not 0 <= word < len(self.word_begin) - 1:
            return []
        return [
            (tuple(self.phones[self.phone_begin[row] : self.phone_begin[row + 1]].tolist()), float(self.cost[row]))
            for row in range(self.word_begin[word], self.word_begin[word + 1])
        ]


def read_pronunciations(path: str | Path) -> Pronunciations:
    """Reads L.fst as Kaldi's make_lexicon_fst.py lays it out, with or without optional silence.

    Raises:
        AsrtoolError: another layout, such as silence probabilities that differ from word to word, or one with
            disambiguation symbols on the word side.
    """
    graph = CsrGraph.from_fst_file(path)
    finals = np.flatnonzero(np.isfinite(graph.final_cost))
    if len(finals) != 1:
        raise AsrtoolError(
            f"{path}: {len(finals)} final states, expected the one of make_lexicon_fst; make the lang directory again"
        )
    reader = _Reader(graph, int(finals[0]), str(path))
    silence_state, silence_phone, costs = reader.silence()
    paths = reader.paths(silence_state)
    if not paths:
        raise AsrtoolError(f"{path}: no pronunciations; make the lang directory again")
    rows = _merge_silence(paths, silence_state, costs, str(path))
    rows.sort(key=lambda row: row[0])
    counts = np.bincount([word for word, _, _ in rows])
    return Pronunciations(
        word_begin=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        phone_begin=np.concatenate([[0], np.cumsum([len(phones) for _, phones, _ in rows])]).astype(np.int64),
        phones=np.array([phone for _, phones, _ in rows for phone in phones], dtype=np.int32),
        cost=np.array([cost for _, _, cost in rows], dtype=np.float32),
        silence_phone=silence_phone,
        no_silence_cost=costs[0],
        silence_cost=costs[1],
    )


class _Reader:
    """Walks L.fst: a start, a loop state that all words leave and come back to, and perhaps a silence state."""

    def __init__(self, graph: CsrGraph, loop: int, name: str) -> None:
        self.graph, self.loop, self.name = graph, loop, name
        columns = (graph.arc_ilabel, graph.arc_olabel, graph.arc_nextstate, graph.arc_cost)
        self.arcs = list(zip(*(column.tolist() for column in columns)))
        self.begin = graph.arc_begin.tolist()

    def out(self, state: int) -> list[tuple[int, int, int, float]]:
        return self.arcs[self.begin[state] : self.begin[state + 1]]

    def silence(self) -> tuple[int, int, tuple[float, float]]:
        """(silence state, silence phone, (cost of none, cost of silence)); (-1, 0, (0, 0)) without optional silence."""
        if self.graph.start == self.loop:
            return -1, 0, (0.0, 0.0)
        skip, enter, silence_state, silence_phone = None, None, -1, 0
        for ilabel, olabel, nextstate, cost in self.out(self.graph.start):
            if ilabel == olabel == 0 and nextstate == self.loop:
                skip = cost
            elif ilabel == olabel == 0 and len(self.out(nextstate)) == 1:
                phone, word, back, extra = self.out(nextstate)[0]
                if phone and not word and back == self.loop and abs(extra) < 1e-6:
                    enter, silence_state, silence_phone = cost, nextstate, phone
        if skip is None or enter is None or len(self.out(self.graph.start)) != 2:
            raise AsrtoolError(f"{self.name}: the start is not that of make_lexicon_fst; make the lang directory again")
        return silence_state, silence_phone, (skip, enter)

    def paths(self, silence_state: int) -> list[tuple[int, tuple[int, ...], int, float]]:
        """(word, phones, state it ends in, cost) of each path from the loop state back to it or to silence."""
        found = []
        stack = [(self.loop, 0, (), 0.0)]
        while stack:
            state, word, phones, cost = stack.pop()
            for ilabel, olabel, nextstate, arc_cost in self.out(state):
                if word and olabel:
                    raise AsrtoolError(f"{self.name}: two words on one path; make the lang directory again")
                row = (nextstate, word or olabel, (*phones, ilabel) if ilabel else phones, cost + arc_cost)
                if nextstate not in (self.loop, silence_state):
                    if len(row[2]) > 1000:
                        raise AsrtoolError(f"{self.name}: a word without an end; make the lang directory again")
                    stack.append(row)
                elif not row[1] or not row[2]:
                    raise AsrtoolError(f"{self.name}: a word without phones, or phones without a word; mend the lexicon")
                else:
                    found.append((row[1], row[2], nextstate, row[3]))
        return found


def _merge_silence(paths: list, silence_state: int, costs: tuple[float, float], name: str) -> list[tuple[int, tuple, float]]:
    """One (word, phones, cost) for the two paths of each pronunciation, with and without silence after it."""
    ends: dict[tuple[int, tuple[int, ...]], list[list[float]]] = {}
    for word, phones, end, cost in paths:
        ends.setdefault((word, phones), [[], []])[int(end == silence_state)].append(cost)
    rows = []
    for (word, phones), (without, with_silence) in ends.items():
        without, with_silence = sorted(without), sorted(with_silence)
        if silence_state < 0:
            rows.extend((word, phones, cost) for cost in without)
            continue
        if len(without) != len(with_silence) or not np.allclose(
            np.subtract(without, costs[0]), np.subtract(with_silence, costs[1]), atol=1e-3
        ):
            raise AsrtoolError(
                f"{name}: word {word} has silence probabilities of its own, which training graphs do not know: "
                "make the lang directory from lexiconp.txt, not lexiconp_silprob.txt"
            )
        rows.extend((word, phones, cost - costs[0]) for cost in without)
    return rows
