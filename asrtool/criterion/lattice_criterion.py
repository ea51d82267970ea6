"""MMI, boosted MMI, sMBR and MPFE over state-level lattices."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from asrtool.criterion.lattice_batch import LatticeBatch, score_lattices
from asrtool.criterion.sequence import Outer, PhoneTables, SequenceOptions
from asrtool.criterion.sequence_checks import check_lattice, check_numerator, check_scores
from asrtool.errors import AsrtoolError
from asrtool.lattice.lattice import Lattice
from asrtool.lattice.posteriors import FramePosteriors

ARCS_AT_ONCE = 1 << 18
"""Arcs, about, that go through the kernels in one call: it bounds the memory (some 60 bytes an arc) and suits the caches."""


@dataclass
class BatchSums:
    """What forward-backward gives for L lattices with S states over F rows, in float64.

    Attributes:
        beta: [S], log of the sum over the paths from a state to the end; at a lattice's first state, over all its paths.
        accuracy: [S], their mean accuracy; [0] without accuracies.
        pair_begin: int64 [F + 1]; row r has the gradient's pairs pair_begin[r]:pair_begin[r + 1].
        label: int32 [N], pdfs, ascending in a row; weight: [N].
        rejected: int64 [L], rows; silence: [L], summed posteriors of silence.
    """

    beta: np.ndarray
    accuracy: np.ndarray
    pair_begin: np.ndarray
    label: np.ndarray
    weight: np.ndarray
    rejected: np.ndarray
    silence: np.ndarray


class LatticeCriterion:
    """SequenceCriterion over lattices, on the CPU and in float64; SequenceOptions tells the criteria apart.

    - mmi: log of the numerator's share in the denominator (Sak 2014, Equation 2). Gradient: acoustic_scale x (1 for the
      numerator's pdf - denominator posterior).
    - smbr, mpfe: expected number of right frames, as Kaldi's LatticeForwardBackwardMpeVariants counts them. Gradient:
      acoustic_scale x posterior x (expected number over the paths through the pdf at the frame - over all).

    The cost is two passes over the arcs with one exp an arc.
    """

    def __init__(self, options: SequenceOptions, tables: PhoneTables) -> None:
        self.options, self.tables = options, tables

    def __call__(
        self,
        loglikes: Sequence[np.ndarray],
        numerators: Sequence[np.ndarray],
        lattices: Sequence[Lattice | None],
        names: Sequence[str],
    ) -> list[Outer | AsrtoolError]:
        results: list[Outer | AsrtoolError | None] = [None] * len(names)
        good, lattices = [], list(lattices)
        for index, name in enumerate(names):
            try:
                check_scores(name, loglikes[index], self.tables)
                check_numerator(name, numerators[index], len(loglikes[index]), self.tables)
                lattices[index] = check_lattice(name, lattices[index], len(loglikes[index]))
                good.append(index)
            except AsrtoolError as error:
                results[index] = error
        for part in parts_of(good, lattices):
            columns = ([column[index] for index in part] for column in (loglikes, numerators, lattices, names))
            for index, result in zip(part, self._outers(*columns)):
                results[index] = result
        return results

    def score(
        self, loglikes: Sequence[np.ndarray], numerators: Sequence[np.ndarray], lattices: Sequence[Lattice]
    ) -> tuple[LatticeBatch, list[str | None]]:
        """As score_lattices."""
        return score_lattices(self.options, self.tables, loglikes, numerators, lattices)

    def sums(self, batch: LatticeBatch) -> "BatchSums":
        """Forward-backward over a scored batch."""
        from asrtool.criterion.sequence_kernels import sum_backward, sum_forward

        shares = sum_backward(batch.arc_start, batch.arc_end, batch.arc_score, batch.arc_accuracy, batch.final_score)
        threshold = self.options.rejection_threshold if self.options.frame_rejection else 0.0
        forward = sum_forward(
            (batch.state_row, batch.arc_start, batch.arc_end, batch.arc_pdf, batch.arc_silence, batch.arc_accuracy),
            shares,
            batch.state_begin[:-1].copy(),
            batch.row_numerator,
            (float(self.options.acoustic_scale), float(threshold)),
            self.tables.num_pdfs,
        )
        return BatchSums(shares[0], shares[1], *forward)

    def _outers(self, loglikes, numerators, lattices, names) -> list[Outer | AsrtoolError]:
        batch, messages = self.score(loglikes, numerators, lattices)
        if any(messages):  # rare: the others once more without those
            fine = [index for index, message in enumerate(messages) if not message]
            columns = ([column[index] for index in fine] for column in (loglikes, numerators, lattices, names))
            others = iter(self._outers(*columns) if fine else [])
            return [AsrtoolError(f"{name}: {message}") if message else next(others) for name, message in zip(names, messages)]
        sums = self.sums(batch)
        results = []
        for index, name in enumerate(names):
            rows, start = slice(*batch.row_begin[index : index + 2]), batch.state_begin[index]
            begin = sums.pair_begin[rows.start : rows.stop + 1]
            pairs = slice(begin[0], begin[-1])
            scores = loglikes[index][np.arange(len(begin) - 1), batch.row_numerator[rows]]
            outer = Outer(
                gradient=FramePosteriors(begin - begin[0], sums.label[pairs].copy(), sums.weight[pairs].astype(np.float32)),
                objective=float(sums.accuracy[start]) if len(sums.accuracy) else 0.0,
                num_frames=len(scores),
                rejected_frames=int(sums.rejected[index]),
                numerator_acoustic=self.options.acoustic_scale * float(scores.sum(dtype=np.float64)),
                denominator_loglike=float(sums.beta[start]),
                silence_share=float(sums.silence[index]) / len(scores),
            )
            results.append(complete(outer, name, float(batch.numerator_graph[index]), self.options))
        return results


def complete(outer: Outer, name: str, numerator_graph: float, options: SequenceOptions) -> Outer | AsrtoolError:
    """Adds the numerator's log weight and, of mmi, the objective; an error where these are not numbers.

    Args:
        numerator_graph: -lm_scale x graph cost of the best path with the numerator's pdfs, -inf without any.
    """
    if outer.denominator_loglike == -np.inf:
        return AsrtoolError(f"{name}: no path of its lattice has a probability above 0; decode with a wider beam")
    outer.numerator_in_lattice = numerator_graph > -np.inf
    outer.numerator_loglike = outer.numerator_acoustic + (numerator_graph if outer.numerator_in_lattice else 0.0)
    if options.criterion == "mmi":
        if outer.numerator_acoustic == -np.inf:
            return AsrtoolError(f"{name}: its alignment has probability 0 (a log-likelihood of -inf); align it again")
        outer.objective = outer.numerator_loglike - outer.denominator_loglike
    return outer


def parts_of(indices: Sequence[int], lattices: Sequence[Lattice | None]) -> Iterator[list[int]]:
    """Splits utterances into runs of about ARCS_AT_ONCE arcs together, at least one each."""
    part, arcs = [], 0
    for index in indices:
        if part and arcs + lattices[index].num_arcs > ARCS_AT_ONCE:
            yield part
            part, arcs = [], 0
        part.append(index)
        arcs += lattices[index].num_arcs
    if part:
        yield part
