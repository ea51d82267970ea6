"""L.fst where each pronunciation has silence probabilities of its own (utils/lang/make_lexicon_fst_silprob.py)."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import kaldifst
import numpy as np

from asrtool.fst.csr import CsrGraph
from asrtool.fst.openfst import to_openfst
from asrtool.io.atomic_file import atomic_path

_START, _AFTER_NONE, _AFTER_SILENCE, _FIRST_INSIDE = range(4)


class SilenceArcs(NamedTuple):
    """An entry of the lexicon as ids, with costs (none, silence): `enter` with the pronunciation's own cost, by what is before
    it; `leave` by what comes after it."""

    word_id: int
    phone_ids: Sequence[int]
    enter: tuple[float, float]
    leave: tuple[float, float]


class SilenceEnds(NamedTuple):
    """Costs (none, silence) at an utterance's begin and end, the silence phone, and the symbol that marks the places without
    silence in L_disambig.fst (0 in L.fst)."""

    begin: tuple[float, float]
    end: tuple[float, float]
    phone_id: int
    disambig_id: int = 0


def write_silence_lexicon_fst(
    path: str | Path, entries: Iterable[SilenceArcs], ends: SilenceEnds, pass_through: tuple[int, int] | None = None
) -> None:
    """Writes L.fst, sorted by output label.

    Args:
        entries: in the order of the lexicon; each needs at least one phone.
        pass_through: (phone id, word id) of #0, to let the grammar's back-off symbol through.
    """
    fst = to_openfst(_lexicon(list(entries), ends))
    if pass_through is not None:
        kaldifst.add_self_loops(fst, [pass_through[0]], [pass_through[1]])
    kaldifst.arcsort(fst, sort_type="olabel")
    with atomic_path(path) as temporary:
        fst.write(str(temporary))


def _lexicon(entries: list[SilenceArcs], ends: SilenceEnds) -> CsrGraph:
    """State 0 starts; words leave from and return to 1 where there is no silence, 2 where there is; both may be the end."""
    length = np.array([len(entry.phone_ids) for entry in entries])
    phones = np.array([phone for entry in entries for phone in entry.phone_ids], np.int32)
    words = np.array([entry.word_id for entry in entries], np.int32)
    enter, leave = (np.array([getattr(entry, name) for entry in entries]) for name in ("enter", "leave"))
    behind = _FIRST_INSIDE + np.arange(len(phones))  # the state behind each phone
    first, last = np.cumsum(length) - length, np.cumsum(length) - 1
    is_inside = np.ones(len(phones), bool)
    is_inside[first] = False
    inside = np.flatnonzero(is_inside)

    def arcs(source, ilabel, olabel, nextstate, cost):
        shape = np.broadcast(source, ilabel, olabel, nextstate, cost).shape
        return [np.broadcast_to(column, shape) for column in (source, ilabel, olabel, nextstate, cost)]

    marks = ((_AFTER_NONE, ends.disambig_id, 0), (_AFTER_SILENCE, ends.phone_id, 1))
    parts = [arcs([_START], mark, 0, state, ends.begin[which]) for state, mark, which in marks]
    parts += [arcs(state, phones[first], words, behind[first], enter[:, which]) for state, _, which in marks]
    parts.append(arcs(behind[inside - 1], phones[inside], 0, behind[inside], 0.0))
    parts += [arcs(behind[last], mark, 0, state, leave[:, which]) for state, mark, which in marks]
    final = np.full(_FIRST_INSIDE + len(phones), np.inf)
    final[_AFTER_NONE], final[_AFTER_SILENCE] = ends.end
    return CsrGraph.from_arcs(_START, *(np.concatenate(column) for column in zip(*parts)), final)
