"""L.fst: from phone sequences to words, with optional silence between words (utils/lang/make_lexicon_fst.py)."""

import math
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import kaldifst
import numpy as np

from asrtool.fst.csr import CsrGraph
from asrtool.fst.openfst import to_openfst
from asrtool.io.atomic_file import atomic_path


class LexiconArcs(NamedTuple):
    """An entry of the lexicon as ids (words and phones from 1) and a cost, -log of the pronunciation's probability."""

    word_id: int
    cost: float
    phone_ids: Sequence[int]


class OptionalSilence(NamedTuple):
    """`probability` in (0, 1) of `phone_id` before, between and after words; `disambig_id` follows it in L_disambig.fst."""

    probability: float
    phone_id: int
    disambig_id: int | None = None


def write_lexicon_fst(
    path: str | Path,
    entries: Iterable[LexiconArcs],
    silence: OptionalSilence | None,
    pass_through: tuple[int, int] | None = None,
) -> None:
    """Writes L.fst, sorted by output label.

    Args:
        entries: in the order of the lexicon; each needs at least one phone.
        silence: None where there is no optional silence.
        pass_through: (phone id, word id) of #0, to let the grammar's back-off symbol through.
    """
    fst = to_openfst(_lexicon(entries, silence))
    if pass_through is not None:
        kaldifst.add_self_loops(fst, [pass_through[0]], [pass_through[1]])
    kaldifst.arcsort(fst, sort_type="olabel")
    with atomic_path(path) as temporary:
        fst.write(str(temporary))


def _lexicon(entries: Iterable[LexiconArcs], silence: OptionalSilence | None) -> CsrGraph:
    """The arcs in the order in which fstcompile would have them.

    Without silence state 0 is start, end and where words meet; with it 0 starts, words leave from and return to 1, and state 2
    is before a silence.
    """
    words, costs, lengths, phones = array("i"), array("d"), array("i"), array("i")
    for word_id, cost, phone_ids in entries:
        words.append(word_id)
        costs.append(cost)
        lengths.append(len(phone_ids))
        phones.extend(phone_ids)
    home = 0 if silence is None else 1
    prefix = [] if silence is None else _silence_arcs(silence)
    base = 1 + max((arc[4] for arc in prefix), default=0)  # the first state inside a word
    length = np.array(lengths, np.int64)
    place = np.arange(len(phones)) - np.repeat(np.cumsum(length) - length, length)
    is_last = place == np.repeat(length, length) - 1
    inner = base + np.cumsum(~is_last) - 1  # behind each phone but a last one
    source = np.where(place == 0, home, inner - ~is_last)
    first = place == 0
    word, cost = np.zeros(len(phones), np.int32), np.zeros(len(phones))
    word[first], cost[first] = words, costs
    nextstate = np.where(is_last, home, inner)
    arcs = np.arange(len(phones))
    final = np.full(base + int((~is_last).sum()), np.inf)
    final[home] = 0.0
    if silence is not None:
        cost[is_last] += -math.log(1.0 - silence.probability)
        arcs = np.repeat(arcs, 1 + is_last)
        before_silence = np.flatnonzero(np.diff(arcs, prepend=-1) == 0)
        cost, nextstate = cost[arcs], nextstate[arcs]
        cost[before_silence] += math.log(1.0 - silence.probability) - math.log(silence.probability)
        nextstate[before_silence] = 2
    columns = (source[arcs], np.array(phones, np.int32)[arcs], word[arcs], nextstate, cost)
    if prefix:
        silent = np.array(prefix).T
        columns = [np.concatenate([silent[i], column]) for i, column in zip((0, 1, 2, 4, 3), columns)]
    return CsrGraph.from_arcs(0, *columns, final)


def _silence_arcs(silence: OptionalSilence) -> list[tuple[int, int, int, float, int]]:
    """(source, input, output label, cost, next state) of what is not within words."""
    no_silence_cost, silence_cost = -math.log(1.0 - silence.probability), -math.log(silence.probability)
    arcs = [(0, 0, 0, no_silence_cost, 1), (0, 0, 0, silence_cost, 2)]
    if silence.disambig_id is None:
        return [*arcs, (2, silence.phone_id, 0, 0.0, 1)]
    return [*arcs, (2, silence.phone_id, 0, 0.0, 3), (3, silence.disambig_id, 0, 0.0, 1)]
