"""The lexicon transducer of subword units: silence may stand between words, never between the units of one."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asrtool.fst.csr import CsrGraph
from asrtool.fst.lexicon_fst import LexiconArcs, OptionalSilence
from asrtool.lang.dictionary import Pronunciation
from asrtool.lang.normalise import SYMBOL
from asrtool.lang.phones import PhoneVariants


class Place(NamedTuple):
    """Where a pronunciation of a unit stands: it follows another unit of its word; it is followed by one; it ends the word."""

    inside: bool
    continues: bool
    ends: bool


def place_units(
    entries: Sequence[Pronunciation], variants: PhoneVariants, mark: str, oov_word: str
) -> tuple[list[Pronunciation], list[Place]]:
    """The pronunciations with the positions of their phones in the word, and their places.

    With position-dependent phones a unit has one variant at the word's end and one before it. Units that begin with `mark` begin
    a word; `oov_word` and symbols such as !SIL are words by themselves.
    """
    placed, places = [], []
    for entry in entries:
        inside = not entry.word.startswith(mark)
        if entry.word == oov_word or SYMBOL.fullmatch(entry.word):
            placed.append(entry._replace(phones=variants.mark(entry.phones)))
            places.append(Place(False, False, True))
        elif not variants.position_dependent:
            placed.append(entry)
            places.append(Place(inside, True, True))
        else:
            for ends in (False, True):
                placed.append(entry._replace(phones=_positions(entry.phones, inside, ends)))
                places.append(Place(inside, not ends, ends))
    return placed, places


def _positions(phones: tuple[str, ...], inside: bool, ends: bool) -> tuple[str, ...]:
    suffixes = ["_I"] * len(phones)
    if not inside:
        suffixes[0] = "_B"
    if ends:
        suffixes[-1] = "_S" if suffixes[-1] == "_B" else "_E"
    return tuple(phone + suffix for phone, suffix in zip(phones, suffixes))


def write_subword_lexicon_fst(
    path: str | Path,
    entries: Sequence[LexiconArcs],
    places: Sequence[Place],
    silence: OptionalSilence | None,
    pass_through: tuple[int, int] | None = None,
) -> None:
    """Writes L.fst of units, sorted by output label: as `write_lexicon_fst`, and `places` says where each entry stands."""
    arcs = list(_arcs(entries, places, silence))
    num_states = 1 + max(max(arc[0], arc[3]) for arc in arcs)
    final_cost = np.full(num_states, np.inf)
    final_cost[_BOUNDARY if silence else _START] = 0.0
    if pass_through is not None:
        # as kaldifst.add_self_loops: where a word may come next, and at the end
        sources = {arc[0] for arc in arcs if arc[2]} | {_BOUNDARY if silence else _START}
        arcs += [(state, *pass_through, state, 0.0) for state in sorted(sources)]
    source, ilabel, olabel, nextstate, cost = (np.array(column) for column in zip(*arcs))
    order = np.lexsort((olabel, source))
    graph = CsrGraph.from_arcs(_START, source[order], ilabel[order], olabel[order], nextstate[order], cost[order], final_cost)
    graph.write_fst_file(path, "vector")


_START, _BOUNDARY, _SILENCE, _INSIDE, _AFTER_SILENCE = range(5)


def _arcs(
    entries: Sequence[LexiconArcs], places: Sequence[Place], silence: OptionalSilence | None
) -> Iterator[tuple[int, int, int, int, float]]:
    """(state, phone, word, next state, cost); without silence the start is where words meet."""
    boundary, next_state = (_BOUNDARY if silence else _START), _AFTER_SILENCE + 1
    ends = [(boundary, 0.0)]
    if silence:
        ends = [(boundary, -math.log(1.0 - silence.probability)), (_SILENCE, -math.log(silence.probability))]
        for state, cost in ends:
            yield _START, 0, 0, state, cost
        after = boundary if silence.disambig_id is None else _AFTER_SILENCE
        yield _SILENCE, silence.phone_id, 0, after, 0.0
        if silence.disambig_id is not None:
            yield _AFTER_SILENCE, silence.disambig_id, 0, boundary, 0.0
    for (word_id, cost, phone_ids), place in zip(entries, places, strict=True):
        state = _INSIDE if place.inside else boundary
        for phone_id in phone_ids[:-1]:
            yield state, phone_id, word_id, next_state, cost
            state, word_id, cost = next_state, 0, 0.0
            next_state += 1
        targets = ([(_INSIDE, 0.0)] if place.continues else []) + (ends if place.ends else [])
        for target, end_cost in targets:
            yield state, phone_ids[-1], word_id, target, cost + end_cost
