"""L.fst: from phone sequences to words, with optional silence between words (utils/lang/make_lexicon_fst.py)."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import kaldifst

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
    fst = kaldifst.compile("".join(_silence_arcs(entries, silence) if silence else _plain_arcs(entries)))
    if pass_through is not None:
        kaldifst.add_self_loops(fst, [pass_through[0]], [pass_through[1]])
    kaldifst.arcsort(fst, sort_type="olabel")
    with atomic_path(path) as temporary:
        fst.write(str(temporary))


def _plain_arcs(entries: Iterable[LexiconArcs]) -> Iterable[str]:
    """State 0 is start, end and where words meet."""
    next_state = 1
    for word_id, cost, phone_ids in entries:
        state = 0
        for phone_id in phone_ids[:-1]:
            yield f"{state}\t{next_state}\t{phone_id}\t{word_id}\t{cost!r}\n"
            state, word_id, cost = next_state, 0, 0.0
            next_state += 1
        yield f"{state}\t0\t{phone_ids[-1]}\t{word_id}\t{cost!r}\n"
    yield "0\t0.0\n"


def _silence_arcs(entries: Iterable[LexiconArcs], silence: OptionalSilence) -> Iterable[str]:
    """State 0 starts, words leave from and return to 1, state 2 is before a silence."""
    silence_cost = -math.log(silence.probability)
    no_silence_cost = -math.log(1.0 - silence.probability)
    yield f"0\t1\t0\t0\t{no_silence_cost!r}\n0\t2\t0\t0\t{silence_cost!r}\n"
    next_state = 3
    if silence.disambig_id is None:
        yield f"2\t1\t{silence.phone_id}\t0\t0.0\n"
    else:
        yield f"2\t3\t{silence.phone_id}\t0\t0.0\n3\t1\t{silence.disambig_id}\t0\t0.0\n"
        next_state = 4
    for word_id, cost, phone_ids in entries:
        state = 1
        for phone_id in phone_ids[:-1]:
            yield f"{state}\t{next_state}\t{phone_id}\t{word_id}\t{cost!r}\n"
            state, word_id, cost = next_state, 0, 0.0
            next_state += 1
        yield f"{state}\t1\t{phone_ids[-1]}\t{word_id}\t{no_silence_cost + cost!r}\n"
        yield f"{state}\t2\t{phone_ids[-1]}\t{word_id}\t{silence_cost + cost!r}\n"
    yield "1\t0.0\n"
