"""The pronunciations, their costs and the silence beside them, as L.fst holds them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph

NONE, SILENCE = 0, 1


@dataclass(frozen=True)
class Pronunciations:
    """All that a training graph needs from L.fst, as arrays. Costs are -logs, the pair (without silence, with silence).

    word_begin int64 [num_words + 1]: pronunciations of word id w are word_begin[w] to word_begin[w + 1].
    phone_begin int64 [R + 1]: phones of pronunciation r are phones[phone_begin[r] : phone_begin[r + 1]].
    phones int32.
    enter float32 [R, 2]: of a pronunciation, by whether silence stands before it.
    leave float32 [R, 2]: of putting no silence after it, and of putting some.
    begin, end float32 [2]: of silence or none at the start; of an end that comes after none or after silence.
    silence_phone: 0 where there is no optional silence; column 0 alone counts then.
    """

    word_begin: np.ndarray
    phone_begin: np.ndarray
    phones: np.ndarray
    enter: np.ndarray
    leave: np.ndarray
    begin: np.ndarray
    end: np.ndarray
    silence_phone: int

    def of_word(self, word: int) -> list[tuple[tuple[int, ...], tuple[float, float], tuple[float, float]]]:
        """(phones, enter, leave) of each pronunciation of a word; empty for a word that has none."""
        if not 0 <= word < len(self.word_begin) - 1:
            return []
        return [
            (
                tuple(self.phones[self.phone_begin[row] : self.phone_begin[row + 1]].tolist()),
                tuple(self.enter[row].tolist()),
                tuple(self.leave[row].tolist()),
            )
            for row in range(self.word_begin[word], self.word_begin[word + 1])
        ]


def read_pronunciations(path: str | Path) -> Pronunciations:
    """Reads L.fst as Kaldi's make_lexicon_fst.py lays it out, with or without optional silence, or make_lexicon_fst_silprob.py.

    Raises:
        AsrtoolError: another layout, such as one with disambiguation symbols on the word side.
    """
    graph = CsrGraph.from_fst_file(path)
    finals = np.flatnonzero(np.isfinite(graph.final_cost)).tolist()
    if len(finals) not in (1, 2):
        raise AsrtoolError(
            f"{path}: {len(finals)} final states, expected those of make_lexicon_fst; make the lang directory again"
        )
    reader = _Reader(graph, str(path))
    silence_phone, begin, rows = reader.shared(finals[0]) if len(finals) == 1 else reader.word_by_word(finals)
    if not rows:
        raise AsrtoolError(f"{path}: no pronunciations; make the lang directory again")
    rows.sort(key=lambda row: row[0])
    counts = np.bincount([row[0] for row in rows])
    return Pronunciations(
        word_begin=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        phone_begin=np.concatenate([[0], np.cumsum([len(row[1]) for row in rows])]).astype(np.int64),
        phones=np.array([phone for row in rows for phone in row[1]], dtype=np.int32),
        enter=np.array([row[2] for row in rows], dtype=np.float32),
        leave=np.array([row[3] for row in rows], dtype=np.float32),
        begin=np.array(begin, dtype=np.float32),
        end=np.array(reader.end_costs, dtype=np.float32),
        silence_phone=silence_phone,
    )


class _Reader:
    """Walks L.fst. What both layouts give: the silence phone, costs at the start, and (word, phones, enter, leave) rows."""

    def __init__(self, graph: CsrGraph, name: str) -> None:
        self.graph, self.name = graph, name
        columns = (graph.arc_ilabel, graph.arc_olabel, graph.arc_nextstate, graph.arc_cost)
        self.arcs = list(zip(*(column.tolist() for column in columns)))
        self.begin = graph.arc_begin.tolist()
        self.end_costs = (0.0, 0.0)

    def out(self, state: int) -> list[tuple[int, int, int, float]]:
        return self.arcs[self.begin[state] : self.begin[state + 1]]

    def wrong(self, what: str) -> AsrtoolError:
        return AsrtoolError(f"{self.name}: {what}")

    def shared(self, loop: int) -> tuple[int, tuple[float, float], list[tuple]]:
        """The layout of make_lexicon_fst: a loop state that words leave and come back to, perhaps by way of a silence state."""
        silence_state, silence_phone, costs = self._silence(loop)
        rows = []
        for word, phones, ends in self._grouped(loop, silence_state):
            without, with_silence = sorted(ends[NONE]), sorted(ends[SILENCE])
            if silence_state >= 0 and (
                len(without) != len(with_silence)
                or not np.allclose(np.subtract(without, costs[0]), np.subtract(with_silence, costs[1]), atol=1e-3)
            ):
                raise self.wrong(f"word {word}: its silence is not as probable as that of others; make the lang directory again")
            rows.extend((word, phones, (cost - costs[0], cost - costs[0]), costs) for cost in without)
        return silence_phone, costs, rows

    def _silence(self, loop: int) -> tuple[int, int, tuple[float, float]]:
        """(silence state, silence phone, (cost of none, cost of silence)); (-1, 0, (0, 0)) without optional silence."""
        if self.graph.start == loop:
            return -1, 0, (0.0, 0.0)
        skip, enter, silence_state, silence_phone = None, None, -1, 0
        for ilabel, olabel, nextstate, cost in self.out(self.graph.start):
            if ilabel == olabel == 0 and nextstate == loop:
                skip = cost
            elif ilabel == olabel == 0 and len(self.out(nextstate)) == 1:
                phone, word, back, extra = self.out(nextstate)[0]
                if phone and not word and back == loop and abs(extra) < 1e-6:
                    enter, silence_state, silence_phone = cost, nextstate, phone
        if skip is None or enter is None or len(self.out(self.graph.start)) != 2:
            raise self.wrong("the start is not that of make_lexicon_fst; make the lang directory again")
        return silence_state, silence_phone, (skip, enter)

    def _grouped(self, loop: int, silence_state: int) -> list[tuple[int, tuple[int, ...], list[list[float]]]]:
        """(word, phones, costs of paths that end without silence and with it)."""
        ends: dict[tuple[int, tuple[int, ...]], list[list[float]]] = {}
        for arc in self.out(loop):
            for word, phones, state, cost, _ in self._paths(arc, (loop, silence_state)):
                ends.setdefault((word, phones), [[], []])[int(state == silence_state)].append(cost)
        return [(word, phones, costs) for (word, phones), costs in ends.items()]

    def _paths(self, first: tuple, stops: tuple[int, int]) -> list[tuple[int, tuple[int, ...], int, float, tuple[int, ...]]]:
        """(word, phones, state it ends in, cost, phones before the last arc) of each path that begins with an arc."""
        found = []
        stack = [(first, 0, (), 0.0)]
        while stack:
            (ilabel, olabel, state, arc_cost), word, before, cost = stack.pop()
            if word and olabel:
                raise self.wrong("two words on one path; make the lang directory again")
            word, phones, cost = word or olabel, (*before, ilabel) if ilabel else before, cost + arc_cost
            if state not in stops:
                if len(phones) > 1000:
                    raise self.wrong("a word without an end; make the lang directory again")
                stack.extend((arc, word, phones, cost) for arc in self.out(state))
            elif not word or not phones:
                raise self.wrong("a word without phones, or phones without a word; mend the lexicon")
            else:
                found.append((word, phones, state, cost, before))
        return found

    def word_by_word(self, finals: list[int]) -> tuple[int, tuple[float, float], list[tuple]]:
        """The layout of make_lexicon_fst_silprob: words leave a state that follows silence, and one that does not."""
        start = {bool(ilabel): (ilabel, nextstate, cost) for ilabel, olabel, nextstate, cost in self.out(self.graph.start)}
        states = [start[which][1] for which in (False, True) if which in start]
        if sorted(states) != finals or len(self.out(self.graph.start)) != 2 or self.graph.start in finals:
            raise self.wrong("the start is not that of make_lexicon_fst_silprob; make the lang directory again")
        self.end_costs = tuple(float(self.graph.final_cost[state]) for state in states)
        silence_phone, stops = start[True][0], (states[NONE], states[SILENCE])
        after_silence = {arc[:3]: arc[3] for arc in self.out(states[SILENCE])}
        if len(after_silence) != len(self.out(states[SILENCE])) or len(after_silence) != len(self.out(states[NONE])):
            raise self.wrong("words after silence are not those after none; make the lang directory again")
        rows = []
        for arc in self.out(states[NONE]):
            ends = {state: (phones, cost, before) for _, phones, state, cost, before in self._paths(arc, stops)}
            if arc[:3] not in after_silence or not arc[1] or len(ends) != 2:
                raise self.wrong(
                    f"word {arc[1]} does not lead to silence and to none, or follows only one of them; make it again"
                )
            phones, cost, _ = ends[states[NONE]]
            followed, silence_cost, before = ends[states[SILENCE]]
            if before != phones or followed != (*phones, silence_phone):
                raise self.wrong(f"word {arc[1]}: silence does not follow its phones; make the lang directory again")
            leave = (cost - arc[3], silence_cost - arc[3])
            rows.append((arc[1], phones, (arc[3], after_silence[arc[:3]]), leave))
        return silence_phone, (start[False][2], start[True][2]), rows
