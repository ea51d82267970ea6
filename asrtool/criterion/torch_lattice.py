"""MMI, boosted MMI, sMBR, MPFE and MPE over lattices in torch: for GPUs, batched; on the CPU too."""

from collections.abc import Sequence

import numpy as np
import torch

from asrtool.criterion.lattice_criterion import complete
from asrtool.criterion.mpe import PhoneSpans
from asrtool.criterion.sequence import Outer, PhoneTables, SequenceOptions
from asrtool.criterion.sequence_checks import check_lattice, check_numerator, check_scores
from asrtool.criterion.torch_lattice_batch import DeviceLattices, prepare
from asrtool.criterion.torch_lattice_sums import BatchSums, lattice_sums
from asrtool.errors import AsrtoolError
from asrtool.lattice.lattice import Lattice
from asrtool.lattice.posteriors import FramePosteriors


class TorchLatticeCriterion:
    """SequenceCriterion that sums over all lattices of a batch at once, on the device where the log-likelihoods may lie.

    The objectives are those of LatticeCriterion and MpeCriterion. Each lattice is checked, scored with its graph costs and sorted
    by level on the CPU; then a level of all lattices together takes some fifteen operations of the device, so that a batch
    takes as long as its deepest lattice, however many there are, and some 200 bytes of the device an arc. Sums on a GPU are
    atomic: their last bits differ between runs.

    Args:
        device: where the sums are taken.
        dtype: of log weights and gradients: torch.float32 (good to about 1e-5 of the largest) or torch.float64.
        reorder: whether self-loops follow their state's other transition (mpe).
    """

    def __init__(
        self,
        options: SequenceOptions,
        tables: PhoneTables,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        reorder: bool = True,
    ) -> None:
        self.options, self.tables, self.device, self.dtype = options, tables, torch.device(device), dtype
        self._phones = PhoneSpans(tables, options.one_silence_class, reorder) if options.criterion == "mpe" else None

    def __call__(
        self,
        loglikes: Sequence[np.ndarray | torch.Tensor],
        numerators: Sequence[np.ndarray],
        lattices: Sequence[Lattice | None],
        names: Sequence[str],
    ) -> list[Outer | AsrtoolError]:
        """As SequenceCriterion; log-likelihoods may be tensors."""
        sums, kept, results = self.sums(loglikes, numerators, lattices, names)
        if sums is not None:
            found = _outers(sums, [len(loglikes[index]) for index in kept])
            for index, outer, graph in zip(kept, found, sums.numerator_graph.tolist()):
                results[index] = complete(outer, names[index], graph, self.options)
        return results

    def sums(
        self,
        loglikes: Sequence[np.ndarray | torch.Tensor],
        numerators: Sequence[np.ndarray],
        lattices: Sequence[Lattice | None],
        names: Sequence[str],
    ) -> tuple[BatchSums | None, list[int], list[AsrtoolError | None]]:
        """The results on the device, dense, of the utterances without an error.

        Returns:
            (sums, whose rows are the frames of those utterances one after the other, None if there are none; their indices; for
            each utterance its error or None). A lattice without a path has a denominator_loglike of -inf there, and no error.
        """
        scores = [_tensor(one).to(self.device) for one in loglikes]
        errors: list[AsrtoolError | None] = [None] * len(names)
        lattices = list(lattices)
        for index, name in enumerate(names):
            try:
                check_scores(name, np.broadcast_to(np.float32(0), tuple(scores[index].shape)), self.tables)  # the shape alone
                check_numerator(name, numerators[index], len(scores[index]), self.tables)
                lattices[index] = check_lattice(name, lattices[index], len(scores[index]))
            except AsrtoolError as error:
                errors[index] = error
        self._check_values(scores, names, errors)
        kept, batch = [index for index, error in enumerate(errors) if error is None], None
        while kept and batch is None:
            columns = ([column[index] for index in kept] for column in (numerators, lattices))
            batch, messages = prepare(self.options, self.tables, *columns, self._phones, self.device, self.dtype)
            for index, message in zip(kept, messages):
                if message:
                    errors[index] = AsrtoolError(f"{names[index]}: {message}")
            kept = [index for index in kept if errors[index] is None]
        if batch is None:
            return None, kept, errors
        return lattice_sums(batch, torch.cat([scores[index] for index in kept])), kept, errors

    def _check_values(self, scores: list[torch.Tensor], names: Sequence[str], errors: list[AsrtoolError | None]) -> None:
        """Sets the errors of NaN and +inf, with one transfer from the device."""
        good = [index for index, error in enumerate(errors) if error is None]
        if not good:
            return
        largest = torch.cat([scores[index].amax(1) for index in good]).float().cpu().numpy()
        ends = np.cumsum([len(scores[index]) for index in good])
        for index, rows in zip(good, np.split(largest, ends[:-1])):
            try:
                check_scores(names[index], np.broadcast_to(rows[:, None], (len(rows), self.tables.num_pdfs)), self.tables)
            except AsrtoolError as error:
                errors[index] = error


class LatticeObjective(torch.autograd.Function):
    """objective [L] = LatticeObjective.apply(loglikes [F, P], lattices: DeviceLattices), whose derivative is the outer gradient.

    Frames that frame rejection drops have no gradient, so that it is not quite the derivative then.
    """

    @staticmethod
    def forward(ctx, loglikes: torch.Tensor, lattices: DeviceLattices) -> torch.Tensor:
        sums = lattice_sums(lattices, loglikes)
        ctx.save_for_backward(sums.gradient.to(loglikes.dtype), lattices.row_lattice)
        return sums.objective

    @staticmethod
    def backward(ctx, by_objective: torch.Tensor) -> tuple[torch.Tensor, None]:
        gradient, row_lattice = ctx.saved_tensors
        return gradient * by_objective.to(gradient.dtype)[row_lattice][:, None], None


def _tensor(loglikes: np.ndarray | torch.Tensor) -> torch.Tensor:
    return loglikes.detach() if isinstance(loglikes, torch.Tensor) else torch.from_numpy(np.require(loglikes, None, ["C", "W"]))


def _outers(sums: BatchSums, num_frames: list[int]) -> list[Outer]:
    """The results, without what `complete` adds, of utterances of so many frames."""
    row, pdf = sums.gradient.nonzero(as_tuple=True)
    weight = sums.gradient[row, pdf].float().cpu().numpy()
    columns = (sums.objective, sums.rejected, sums.numerator_acoustic, sums.denominator_loglike, sums.silence)
    numbers = zip(*(column.tolist() for column in columns))
    row, pdf = row.cpu().numpy(), pdf.int().cpu().numpy()
    begin, results = 0, []
    for length, (objective, rejected, acoustic, denominator, silence) in zip(num_frames, numbers):
        pairs = np.searchsorted(row, np.arange(begin, begin + length + 1))
        inside = slice(pairs[0], pairs[-1])
        outer = Outer(
            gradient=FramePosteriors(pairs - pairs[0], pdf[inside].copy(), weight[inside].copy()),
            objective=objective,
            num_frames=length,
            rejected_frames=rejected,
            numerator_acoustic=acoustic,
            denominator_loglike=denominator,
            silence_share=silence / length,
        )
        results.append(outer)
        begin += length
    return results
