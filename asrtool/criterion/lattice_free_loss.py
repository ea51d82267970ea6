"""Lattice-free MMI as a loss of the trainer: from a network's outputs and a batch of whole utterances."""

import numpy as np
import torch
from torch import Tensor

from asrtool.criterion.lattice_free import LatticeFreeOptions
from asrtool.criterion.lattice_free_denominator import Denominator
from asrtool.criterion.lattice_free_numerator import PathWeights
from asrtool.criterion.lattice_free_tolerance import Units, tolerant_numerator
from asrtool.errors import AsrtoolError
from asrtool.graph.denominator import DenominatorGraph
from asrtool.loader.batch import IGNORED, Batch


class LatticeFreeLoss:
    """The trainer's criterion: (outputs, batch) -> (loss, errors).

    Args:
        graph: of the pdfs of the network; frame_subsampling_factor is the number of 10 ms frames that its frames stand for.
        stride: 10 ms frames that an output of the network stands for (input.stride). A multiple of the graph's: each output
            then counts for several frames of the graph. With a graph of a chain topology made for that rate it is the same.
        device: of the outputs.
        log_prior_P: float [P], taken off the outputs, so that the model stays a hybrid one whose decoding takes it off too; None:
            outputs are scores as they are, and decoding must take them so as well.

    Raises:
        AsrtoolError: a stride that is no multiple of the graph's.
    """

    def __init__(
        self,
        graph: DenominatorGraph,
        options: LatticeFreeOptions | None = None,
        stride: int = 1,
        device: str | torch.device = "cpu",
        log_prior_P: Tensor | np.ndarray | None = None,
    ) -> None:
        factor = graph.frame_subsampling_factor
        if stride % factor:
            raise AsrtoolError(
                f"the denominator graph has a frame for each {factor} frames of 10 ms, the network an output for each {stride}; "
                "make the graph of alignments at the network's rate (a chain topology), or set input.stride to that of the graph"
            )
        self.graph, self.options = graph, options or LatticeFreeOptions()
        self.repeat = stride // factor
        self.denominator = Denominator(graph, self.options.leaky_hmm_coefficient, device)
        self.weights = PathWeights(graph, self.options.leaky_hmm_coefficient)
        self.log_prior_P = None if log_prior_P is None else torch.as_tensor(log_prior_P, device=self.denominator.device)
        self._sums = torch.zeros(3, dtype=torch.float64, device=self.denominator.device)

    def __call__(self, logits_BTP: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss, -objective summed over utterances (differentiable once), and the number of frames with a better pdf (int64).

        A frame counts where the batch has a target; those of an utterance are all together (padding and label delay lie outside).

        Raises:
            AsrtoolError: outputs and targets of different shapes; pieces of utterances; a target the graph does not know.
        """
        begin_B, length_B, target_BT = self._positions(logits_BTP, batch)
        pdfs = [
            np.repeat(targets[begin : begin + length], self.repeat)
            for targets, begin, length in zip(target_BT, begin_B.tolist(), length_B.tolist())
        ]
        weight = sum(self.weights(name, one) for name, one in zip(batch.utterances, pdfs) if len(one))
        device, tolerance = logits_BTP.device, self.options.tolerance
        part = _Part(logits_BTP.shape[1], begin_B, length_B, torch.from_numpy(target_BT).to(device))
        part.units = Units(pdfs, self.graph.pdf_kind, tolerance, device) if tolerance else None
        loss, errors, numerator, denominator = _LatticeFree.apply(logits_BTP, part, self, weight)
        self._sums += torch.stack([numerator, denominator, torch.full_like(numerator, int(length_B.sum()))]).to(self._sums)
        return loss, errors

    def notes(self) -> dict[str, float]:
        """Since the last call, for each output: the log likelihoods of numerators and denominators, and their difference."""
        numerator, denominator, frames = self._sums.tolist()
        self._sums.zero_()
        if not frames:
            return {}
        values = {"numerator": numerator, "denominator": denominator, "objective": numerator - denominator}
        return {f"lattice_free_{name}": value / frames for name, value in values.items()}

    def _positions(self, logits_BTP: Tensor, batch: Batch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The first position with a target and the number of them, int64 [B] each, and the targets [B, T]."""
        target_BT = batch.target_BT.cpu().numpy()
        if tuple(logits_BTP.shape[:2]) != target_BT.shape:
            raise AsrtoolError(f"lattice-free MMI: outputs {tuple(logits_BTP.shape)} for targets {target_BT.shape}")
        if logits_BTP.shape[2] != self.graph.num_pdfs:
            raise AsrtoolError(
                f"the denominator graph has {self.graph.num_pdfs} pdfs, the network {logits_BTP.shape[2]} outputs; "
                "make the graph of the alignments that the network was trained on"
            )
        if len(batch.utterances) != len(target_BT) or not bool(batch.reset_B.all()):
            raise AsrtoolError("lattice-free MMI takes whole utterances; set loader.batching=utterances")
        valid = target_BT != IGNORED
        length = valid.sum(1)
        begin = np.where(length > 0, valid.argmax(1), 0)
        last = valid.shape[1] - valid[:, ::-1].argmax(1)
        gaps = np.flatnonzero((length > 0) & (last - begin != length))
        if len(gaps):
            raise AsrtoolError(f"{batch.utterances[gaps[0]]}: frames without target amid its targets; align it again")
        return begin, length, target_BT


class _Part:
    """Which outputs count.

    Attributes:
        lengths: how many of each utterance, at most L.
        index_BL: int64, their positions; inside_BL: bool, False beyond a length; target_BL: int64, 0 there.
        units: of numerators with tolerance; else None.
    """

    units: Units | None = None

    def __init__(self, num_positions: int, begin_B: np.ndarray, length_B: np.ndarray, target_BT: Tensor) -> None:
        self.lengths = length_B.tolist()
        steps = torch.arange(max([1, *self.lengths]))
        index_BL = (torch.from_numpy(begin_B)[:, None] + steps).clamp(max=num_positions - 1)
        inside_BL = steps < torch.from_numpy(length_B)[:, None]
        self.same_begin = len(set(begin_B[length_B > 0].tolist())) <= 1
        self.begin = int(begin_B[length_B > 0][0]) if any(self.lengths) else 0
        self.index_BL, self.inside_BL = index_BL.to(target_BT.device), inside_BL.to(target_BT.device)
        self.target_BL = target_BT.gather(1, self.index_BL).masked_fill(~self.inside_BL, 0)

    def take(self, x_BTP: Tensor) -> Tensor:
        if self.same_begin:
            return x_BTP[:, self.begin : self.begin + self.index_BL.shape[1]]
        return x_BTP.gather(1, self.index_BL[..., None].expand(-1, -1, x_BTP.shape[2]))

    def put(self, x_BLP: Tensor, shape: torch.Size) -> Tensor:
        """The opposite of `take`, zeros elsewhere; x_BLP is 0 outside."""
        result = x_BLP.new_zeros(shape)
        if self.same_begin:
            result[:, self.begin : self.begin + x_BLP.shape[1]] = x_BLP
            return result
        return result.scatter_add_(1, self.index_BL[..., None].expand_as(x_BLP), x_BLP)


class _LatticeFree(torch.autograd.Function):
    """The gradient is computed with the loss: it comes out of the same sums and takes no more memory than the outputs."""

    @staticmethod
    def forward(ctx, logits_BTP: Tensor, part: _Part, owner: LatticeFreeLoss, weight: float):
        options, repeat = owner.options, owner.repeat
        outputs = part.take(logits_BTP)
        if outputs.dtype in (torch.bfloat16, torch.float16):
            outputs = outputs.float()
        on_path_BL = outputs.gather(2, part.target_BL[..., None]).squeeze(2)
        errors = ((on_path_BL < outputs.amax(2)) & part.inside_BL).sum()
        scaled = outputs if owner.log_prior_P is None else outputs - owner.log_prior_P.to(outputs.dtype)
        scaled = options.acoustic_scale * scaled
        on_path_BL = scaled.gather(2, part.target_BL[..., None]).squeeze(2)
        if repeat > 1:
            scaled = scaled.repeat_interleave(repeat, 1)
        need = ctx.needs_input_grad[0]
        if part.units:
            loglike_B, share = tolerant_numerator(scaled, part.units, need)
            numerator = loglike_B.sum() + weight
        else:
            numerator, share = repeat * on_path_BL.double().masked_fill(~part.inside_BL, 0).sum() + weight, None
        sums = owner.denominator(scaled, [length * repeat for length in part.lengths], posteriors=need)
        denominator = sums.loglike_B.sum()
        loss = denominator - numerator
        if options.l2_regularize:
            loss = loss + 0.5 * options.l2_regularize * outputs.double().square().sum(2).masked_fill(~part.inside_BL, 0).sum()
        if need:
            gradient = sums.posterior_BTP if share is None else sums.posterior_BTP.sub_(share)
            if repeat > 1:
                gradient = gradient.unflatten(1, (-1, repeat)).sum(2)
            if share is None:
                ones = -repeat * part.inside_BL[..., None].to(gradient.dtype)
                gradient.scatter_add_(2, part.target_BL[..., None], ones)
            gradient *= options.acoustic_scale
            if options.l2_regularize:
                gradient += options.l2_regularize * outputs.masked_fill(~part.inside_BL[..., None], 0)
            ctx.save_for_backward(part.put(gradient, logits_BTP.shape).to(logits_BTP.dtype))
        ctx.mark_non_differentiable(errors, numerator, denominator)
        return loss.to(outputs.dtype), errors, numerator, denominator

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, d_loss: Tensor, *_):
        (gradient,) = ctx.saved_tensors
        return gradient * d_loss.to(gradient.dtype), None, None, None
