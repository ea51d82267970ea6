"""Minimum phone error: the expected number of right phones over the paths of state-level lattices."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from asrtool.criterion.lattice_batch import LatticeBatch
from asrtool.criterion.lattice_criterion import LatticeCriterion
from asrtool.criterion.sequence import PhoneTables, SequenceOptions
from asrtool.errors import AsrtoolError
from asrtool.lattice.lattice import Lattice
from asrtool.lattice.strings import begins

MAX_ARCS = 10_000_000
"""Of a lattice whose states are told apart by phone, at most; some 100 bytes each. Ten times the lattice's own are usual."""


class MpeCriterion(LatticeCriterion):
    """SequenceCriterion that makes the expected phone accuracy large, on the CPU and in float64.

    The accuracy of a path is the sum over its phones q of the largest of -1 + 2e (reference phones z of the same name) and -1 + e
    (others), where e is the share of z's frames that lie in q (Povey, "Discriminative training for large vocabulary speech
    recognition", 2003, approximate phone accuracy). So a phone in its place counts 1, another in its place 0, an inserted one
    about -1. The reference is the numerator alignment; its phones and those of the paths are compared by their ids, so that with
    position-dependent phones AH_B is not AH_I. The gradient is acoustic_scale x posterior x (expected accuracy of the paths
    through the pdf at the frame - that of all).

    The states of a lattice do not know where the phone that they are in began; each is copied for every (phone, first frame) with
    which a path comes there, which is exact. With `reorder`, as in Kaldi's graphs by default, a phone includes the self-loops
    that follow its last transition. A phone that the end of the utterance cuts counts like a whole one.

    Silence, by one_silence_class: True: all silence phones have one name and count as other phones do, one after the other each
    for itself. False: silence phones of the lattice count 0, wherever they are, and those of the reference are passed over, so
    that a phone in the reference's silence counts -1.

    Args:
        reorder: whether the self-loops of graph and alignment follow their state's other transition.
        max_arcs: of a lattice with copied states; one with more is an error.
    """

    def __init__(self, options: SequenceOptions, tables: PhoneTables, reorder: bool = True, max_arcs: int = MAX_ARCS) -> None:
        super().__init__(options, tables)
        self.phones = PhoneSpans(tables, options.one_silence_class, reorder, max_arcs)

    def score(
        self, loglikes: Sequence[np.ndarray], numerators: Sequence[np.ndarray], lattices: Sequence[Lattice]
    ) -> tuple[LatticeBatch, list[str | None]]:
        """The batch with copied states and phone accuracies; each lattice ends in a state of its own."""
        batch, messages = super().score(loglikes, numerators, lattices)
        return (batch, messages) if any(messages) else self.phones.expand(batch, numerators, lattices)


class PhoneSpans:
    """Finds where the phones of lattices lie, and how right they are.

    Args:
        tables, one_silence_class, reorder, max_arcs: see MpeCriterion.
    """

    def __init__(self, tables: PhoneTables, one_silence_class: bool, reorder: bool = True, max_arcs: int = MAX_ARCS) -> None:
        self.reorder, self.max_arcs = reorder, max_arcs
        self._tables = tables.tid_to_phone, tables.tid_to_hmm_state, tables.tid_is_self_loop, tables.tid_is_final
        self.phone_class = np.arange(max(int(tables.tid_to_phone.max()), 0) + 1, dtype=np.int32)
        silence = tables.silence_phones
        self.phone_class[silence] = silence[:1] if one_silence_class else -1

    def segments(self, alignment: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(int32 [K] phones, int64 [K + 1] their first frames and T) of an alignment of T transition-ids.

        Raises:
            AsrtoolError: a phone that changes before its end.
        """
        frames = np.arange(len(alignment) + 1, dtype=np.int32)
        copies, _, _ = self._copies(frames[:-1], frames[1:], alignment, frames, np.zeros(len(frames), bool))
        starts = np.flatnonzero(copies[1:, 0] == frames[:-1])
        return copies[1:, 1][starts], np.append(starts, len(alignment))

    def expand(
        self, batch: LatticeBatch, numerators: Sequence[np.ndarray], lattices: Sequence[Lattice]
    ) -> tuple[LatticeBatch, list[str | None]]:
        """The batch of these lattices with copied states and accuracies, one final state each; and what is wrong with each."""
        from asrtool.criterion.mpe_kernels import fill_copies

        parts, references, messages = [], [], []
        for lattice, numerator in zip(lattices, numerators):
            message = None
            try:
                phones, begin = self.segments(numerator)
                references.append((phones.copy(), begin, np.repeat(np.arange(len(phones)), np.diff(begin))))
                columns = lattice.arc_start, lattice.arc_end, lattice.arc_transition_id, lattice.state_frame
                parts.append(self._copies(*columns, lattice.final_cost < np.inf))
            except AsrtoolError as error:
                message = str(error)
            messages.append(message)
        if any(messages):
            return batch, messages
        new = _room(batch, [len(copies) + 1 for copies, _, _ in parts], [len(arcs) for _, _, arcs in parts])
        for index, (part, reference, lattice) in enumerate(zip(parts, references, lattices)):
            arcs, states = (slice(*begin[index : index + 2]) for begin in (batch.arc_begin, batch.state_begin))
            old = batch.arc_pdf[arcs], batch.arc_silence[arcs], batch.arc_score[arcs], batch.final_score[states]
            old_row = batch.state_row[states]
            arcs, states = (slice(*begin[index : index + 2]) for begin in (new.arc_begin, new.state_begin))
            columns = new.arc_start, new.arc_end, new.arc_pdf, new.arc_silence, new.arc_score, new.arc_accuracy
            filled = (*(column[arcs] for column in columns), new.state_row[states])
            state_frame = np.require(lattice.state_frame, np.int32, ["C", "W"])
            fill_copies(*part, state_frame, reference, self.phone_class, (*old, old_row), filled, states.start)
            new.final_score[states.stop - 1] = 0.0
        return new, messages

    def _copies(self, arc_start, arc_end, arc_tid, state_frame, is_final) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(copies, where those of each state begin, arcs), as expand_by_phone gives them.

        Raises:
            AsrtoolError: too many arcs, or a phone that changes before its end.
        """
        from asrtool.criterion.mpe_kernels import expand_by_phone

        into = np.argsort(arc_end, kind="stable").astype(np.int32)
        into_begin = np.searchsorted(arc_end[into], np.arange(len(state_frame) + 1))
        arc_start, arc_tid, state_frame = (np.require(one, np.int32, ["C", "W"]) for one in (arc_start, arc_tid, state_frame))
        columns = arc_start, arc_tid, into_begin, into, state_frame, is_final
        *found, problem = expand_by_phone(*columns, self._tables, self.reorder, self.max_arcs)
        if problem < 0:
            raise AsrtoolError(
                f"transition-id {-problem} stands before the end of another phone, in its alignment or its lattice: made with "
                "another model, or without reordered self-loops"
            )
        if problem > 0:
            raise AsrtoolError(
                f"its lattice has more than {problem} arcs once its states are told apart by phone; use a smaller lattice beam"
            )
        return tuple(found)


def _room(batch: LatticeBatch, num_states: list[int], num_arcs: list[int]) -> LatticeBatch:
    """The batch with room for lattices of other sizes; no state is final."""
    state_begin, arc_begin = (begins(np.array(counts, np.int64)) for counts in (num_states, num_arcs))
    states, arcs = int(state_begin[-1]), int(arc_begin[-1])
    return replace(
        batch,
        state_begin=state_begin,
        arc_begin=arc_begin,
        state_row=np.empty(states, np.int32),
        arc_start=np.empty(arcs, np.int32),
        arc_end=np.empty(arcs, np.int32),
        arc_pdf=np.empty(arcs, np.int32),
        arc_silence=np.empty(arcs, bool),
        arc_score=np.empty(arcs),
        arc_accuracy=np.empty(arcs),
        final_score=np.full(states, -np.inf),
    )
