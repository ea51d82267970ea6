"""A batch of lattices on a device, sorted by level for sums that take all arcs of a level at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from asrtool.criterion.lattice_batch import LatticeBatch, score_lattices
from asrtool.criterion.mpe import PhoneSpans
from asrtool.criterion.sequence import PhoneTables, SequenceOptions
from asrtool.lattice.lattice import Lattice


@dataclass
class DeviceLattices:
    """L lattices with S states and A arcs over F rows (frames) on a device; states are numbered, and arcs sorted, by level.

    Attributes:
        state_counts, into_counts, out_counts: of the levels in turn, how many states, arcs into them and arcs out of them there
            are; level 0 holds the states without arcs into them.
        first_state, last_state: int64 [L]; all paths of a lattice lead from one to the other.
        arc_start, arc_end: int64 [A], sorted by arc_end; end_in_level: int64 [A], the end counted from its level's first state.
        arc_score: [A], log weights without the log-likelihoods, reduced: with potentials of the states taken off, so that
            sums stay near 0. A whole path lacks potential[its lattice].
        arc_accuracy: float64 [A], or [0] without accuracies.
        by_start: int64 [A], the arcs sorted by their start; start_in_level: int64 [A], in that order.
        emitting, emitting_row, emitting_pdf: int64 [E], the arcs that take a frame; silent: float64 [E], 1 for silence.
        row_lattice, row_numerator: int64 [F]; the numerator's pdfs.
        potential, numerator_graph: float64 [L], the latter as in LatticeBatch.
        acoustic_scale: float; threshold: frame rejection's, 0 for none.
    """

    state_counts: list[int]
    into_counts: list[int]
    out_counts: list[int]
    first_state: torch.Tensor
    last_state: torch.Tensor
    arc_start: torch.Tensor
    arc_end: torch.Tensor
    end_in_level: torch.Tensor
    arc_score: torch.Tensor
    arc_accuracy: torch.Tensor
    by_start: torch.Tensor
    start_in_level: torch.Tensor
    emitting: torch.Tensor
    emitting_row: torch.Tensor
    emitting_pdf: torch.Tensor
    silent: torch.Tensor
    row_lattice: torch.Tensor
    row_numerator: torch.Tensor
    potential: torch.Tensor
    numerator_graph: torch.Tensor
    acoustic_scale: float
    threshold: float

    @property
    def num_lattices(self) -> int:
        return len(self.first_state)

    @property
    def num_states(self) -> int:
        return sum(self.state_counts)

    @classmethod
    def of(
        cls,
        batch: LatticeBatch,
        potential: np.ndarray,
        acoustic_scale: float,
        threshold: float,
        device: torch.device | str,
        dtype: torch.dtype,
    ) -> "DeviceLattices":
        """
        Args:
            batch: scored with log-likelihoods of 0, and reduced (reduce_scores).
            potential: float64 [L], by which it was reduced.
            dtype: of the sums: float32 or float64.
        """
        from asrtool.criterion.torch_lattice_kernels import order_by_level

        arcs = _with_last_states(batch)
        num_states, rows = len(batch.final_score) + len(potential), np.diff(batch.row_begin)
        number, state_begin, into, into_begin, out_of, out_begin = order_by_level(arcs.start, arcs.end, num_states)
        into_counts, out_counts = np.diff(into_begin), np.diff(out_begin)

        def put(array: np.ndarray, kind: torch.dtype = torch.int64) -> torch.Tensor:
            return torch.from_numpy(array).to(device=device).to(kind)

        number, into, out_of = put(number), put(into), put(out_of)
        start, end, pdf = number[put(arcs.start)[into]], number[put(arcs.end)[into]], put(arcs.pdf)[into]
        first_of_level = put(state_begin[:-1])
        emitting = (pdf >= 0).nonzero()[:, 0]
        return cls(
            state_counts=np.diff(state_begin).tolist(),
            into_counts=into_counts.tolist(),
            out_counts=out_counts.tolist(),
            first_state=number[put(arcs.first_state)],
            last_state=number[put(arcs.last_state)],
            arc_start=start,
            arc_end=end,
            end_in_level=end - first_of_level.repeat_interleave(put(into_counts), output_size=len(into)),
            arc_score=put(arcs.score, dtype)[into],
            arc_accuracy=put(arcs.accuracy, torch.float64)[into if len(arcs.accuracy) else slice(0)],
            by_start=out_of,
            start_in_level=start[out_of] - first_of_level.repeat_interleave(put(out_counts), output_size=len(out_of)),
            emitting=emitting,
            emitting_row=put(arcs.row)[into[emitting]],
            emitting_pdf=pdf[emitting],
            silent=put(arcs.silence, torch.float64)[into[emitting]],
            row_lattice=put(np.repeat(np.arange(len(rows)), rows)),
            row_numerator=put(batch.row_numerator),
            potential=put(potential, torch.float64),
            numerator_graph=put(batch.numerator_graph, torch.float64),
            acoustic_scale=acoustic_scale,
            threshold=threshold,
        )


class _Arcs(NamedTuple):
    """Columns by arc, in an order in which the arcs into a state come before those out of it; first_state, last_state [L]."""

    first_state: np.ndarray
    last_state: np.ndarray
    start: np.ndarray
    end: np.ndarray
    score: np.ndarray
    accuracy: np.ndarray
    pdf: np.ndarray
    row: np.ndarray
    silence: np.ndarray


def _with_last_states(batch: LatticeBatch) -> _Arcs:
    """The batch with a last state for each lattice, after all others, to which its final states lead."""
    num_lattices, num_states = len(batch.state_begin) - 1, len(batch.final_score)
    final = np.flatnonzero(batch.final_score > -np.inf)
    final_lattice = np.searchsorted(batch.state_begin, final, side="right") - 1
    none, zeros = np.full(len(final), -1, np.int32), np.zeros(len(final))
    return _Arcs(
        first_state=batch.state_begin[:-1],
        last_state=np.arange(num_states, num_states + num_lattices),
        start=np.concatenate([batch.arc_start, final], dtype=np.int32),
        end=np.concatenate([batch.arc_end, num_states + final_lattice], dtype=np.int32),
        score=np.append(batch.arc_score, batch.final_score[final]),
        accuracy=np.append(batch.arc_accuracy, zeros) if len(batch.arc_accuracy) else batch.arc_accuracy,
        pdf=np.append(batch.arc_pdf, none),
        row=np.append(batch.state_row[batch.arc_start], none),
        silence=np.append(batch.arc_silence, zeros > 0),
    )


def prepare(
    options: SequenceOptions,
    tables: PhoneTables,
    numerators: Sequence[np.ndarray],
    lattices: Sequence[Lattice],
    phones: PhoneSpans | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> tuple[DeviceLattices | None, list[str | None]]:
    """A batch of utterances that passed sequence_checks, on the device; and for each what is wrong with its lattice.

    Args:
        phones: of mpe.

    Returns:
        None instead of the batch where anything is wrong.
    """
    from asrtool.criterion.torch_lattice_kernels import reduce_scores

    zeros = [np.zeros((lattice.num_frames, tables.num_pdfs), np.float32) for lattice in lattices]
    batch, messages = score_lattices(options, tables, zeros, numerators, lattices)
    if any(messages):
        return None, messages
    stored = np.concatenate([lattice.arc_acoustic_cost for lattice in lattices]).astype(np.float64)
    reference = -options.acoustic_scale * np.where(np.isfinite(stored), stored, 0.0)
    potential = reduce_scores(batch.arc_start, batch.arc_end, batch.arc_score, reference, batch.final_score, batch.state_begin)
    if phones is not None:
        batch, messages = phones.expand(batch, numerators, lattices)
        if any(messages):
            return None, messages
    threshold = options.rejection_threshold if options.frame_rejection else 0.0
    return DeviceLattices.of(batch, potential, options.acoustic_scale, threshold, device, dtype), messages
