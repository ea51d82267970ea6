"""Denominator lattices side by side as one graph, scored with current log-likelihoods."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asrtool.criterion.sequence import PhoneTables, SequenceOptions
from asrtool.lattice.lattice import Lattice
from asrtool.lattice.strings import begins


@dataclass
class LatticeBatch:
    """L lattices with S states and A arcs as one graph, over F rows (frames); all are numbered through.

    Attributes:
        state_begin, arc_begin, row_begin: int64 [L + 1], where the lattices begin; the first state of each is its start.
        state_row: int32 [S], the row of the arcs that leave a state.
        arc_start, arc_end, arc_pdf: int32 [A], sorted by arc_start; pdf -1 for an arc that takes no frame.
        arc_silence: bool [A].
        arc_score: float64 [A], the log weights; arc_accuracy: float64 [A], or [0] without accuracies.
        final_score: float64 [S], -inf where not final.
        row_numerator: int32 [F], pdfs.
        numerator_graph: float64 [L], -lm_scale x graph cost of the best path with the numerator's pdfs; -inf without any.
    """

    state_begin: np.ndarray
    arc_begin: np.ndarray
    row_begin: np.ndarray
    state_row: np.ndarray
    arc_start: np.ndarray
    arc_end: np.ndarray
    arc_pdf: np.ndarray
    arc_silence: np.ndarray
    arc_score: np.ndarray
    arc_accuracy: np.ndarray
    final_score: np.ndarray
    row_numerator: np.ndarray
    numerator_graph: np.ndarray

    @classmethod
    def empty(cls, lattices: Sequence[Lattice], with_accuracy: bool) -> "LatticeBatch":
        """Room for these lattices' scored arcs."""
        counts = np.array([(one.num_states, one.num_arcs, one.num_frames) for one in lattices], np.int64)
        state_begin, arc_begin, row_begin = (begins(column) for column in counts.T)
        state_row = np.concatenate([lattice.state_frame + row for lattice, row in zip(lattices, row_begin)]).astype(np.int32)
        num_arcs = int(arc_begin[-1])
        return cls(
            state_begin=state_begin,
            arc_begin=arc_begin,
            row_begin=row_begin,
            state_row=state_row,
            arc_start=np.empty(num_arcs, np.int32),
            arc_end=np.empty(num_arcs, np.int32),
            arc_pdf=np.empty(num_arcs, np.int32),
            arc_silence=np.empty(num_arcs, bool),
            arc_score=np.empty(num_arcs),
            arc_accuracy=np.empty(num_arcs if with_accuracy else 0),
            final_score=np.empty(len(state_row)),
            row_numerator=np.empty(int(row_begin[-1]), np.int32),
            numerator_graph=np.full(len(lattices), -np.inf),
        )


def score_lattices(
    options: SequenceOptions,
    tables: PhoneTables,
    loglikes: Sequence[np.ndarray],
    numerators: Sequence[np.ndarray],
    lattices: Sequence[Lattice],
) -> tuple[LatticeBatch, list[str | None]]:
    """A batch of utterances that passed sequence_checks, and for each what is wrong with its lattice.

    Accuracies are those of smbr and mpfe; mmi has none. Only a batch without anything wrong is fit for use.
    """
    from asrtool.criterion.sequence_kernels import RIGHT_NONE, RIGHT_PDF, RIGHT_PHONE, score_arcs

    right = {"smbr": RIGHT_PDF, "mpfe": RIGHT_PHONE}.get(options.criterion, RIGHT_NONE)
    batch = LatticeBatch.empty(lattices, right != RIGHT_NONE)
    scales = float(options.acoustic_scale), float(options.lm_scale), float(options.boost)  # an int would compile anew
    table_arrays = tables.tid_to_pdf, tables.tid_to_phone, tables.tid_is_silence
    messages: list[str | None] = []
    for index, lattice in enumerate(lattices):
        states, arcs, rows = (slice(*begin[index : index + 2]) for begin in (batch.state_begin, batch.arc_begin, batch.row_begin))
        numerator = _plain(numerators[index], np.int32)
        batch.row_numerator[rows] = tables.tid_to_pdf[numerator]
        status, batch.numerator_graph[index] = score_arcs(
            _lattice_arrays(lattice),
            _plain(loglikes[index], np.float32),
            numerator,
            table_arrays,
            scales,
            right,
            float(options.silence_accuracy) if options.one_silence_class else 0.0,
            (int(batch.state_begin[index]), int(batch.row_begin[index])),
            (
                batch.arc_start[arcs],
                batch.arc_end[arcs],
                batch.arc_pdf[arcs],
                batch.arc_silence[arcs],
                batch.arc_score[arcs],
                batch.arc_accuracy[arcs if right != RIGHT_NONE else slice(0)],
            ),
            batch.final_score[states],
        )
        messages.append(_what_is_wrong(status, lattice, tables))
    return batch, messages


def _plain(array: np.ndarray, dtype: type) -> np.ndarray:
    """As the kernels take it, so that they are compiled once; a copy only where it differs."""
    return np.require(array, dtype, ["C", "W"])


def _lattice_arrays(lattice: Lattice) -> tuple[np.ndarray, ...]:
    integers = lattice.state_frame, lattice.arc_start, lattice.arc_end, lattice.arc_transition_id
    costs = lattice.arc_graph_cost, lattice.final_cost
    return (*(_plain(array, np.int32) for array in integers), *(_plain(array, np.float32) for array in costs))


def _what_is_wrong(status: int, lattice: Lattice, tables: PhoneTables) -> str | None:
    from asrtool.criterion.sequence_kernels import BAD_COST, BAD_FRAMES, BAD_ORDER, BAD_TRANSITION_ID, FINE

    if status == BAD_TRANSITION_ID:
        return (
            f"its lattice has transition-ids to {lattice.arc_transition_id.max()}, the model to {tables.num_transition_ids}; "
            "decode with a graph of that model"
        )
    return {
        FINE: None,
        BAD_ORDER: "the states or arcs of its lattice are not in order; make the lattice again",
        BAD_FRAMES: f"the paths of its lattice do not all have {lattice.num_frames} frames; make the lattice again",
        BAD_COST: "a graph cost of its lattice is NaN or -inf; make the lattice again",
    }[status]
