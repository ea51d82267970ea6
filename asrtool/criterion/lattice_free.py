"""Lattice-free MMI (Povey et al. 2016): the log of the numerator's share among all that a denominator graph allows.

    objective = [kappa * sum_t o(t, pdf of the alignment) + its weight in the graph] - log likelihood of the graph

Two users. `LatticeFreeCriterion` takes log-likelihoods of a hybrid model (log posterior - log prior) like any sequence criterion,
with kappa = acoustic_scale. `LatticeFreeLoss` takes a network's outputs in the trainer. What is added to all outputs of a frame
changes neither objective nor gradient, so that it is the same whether a softmax normalises them or not (Kaldi's chain models have
none). A prior does matter: it is taken off as in decoding, or nowhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from asrtool.criterion.lattice_free_denominator import Denominator
from asrtool.criterion.lattice_free_numerator import PathWeights
from asrtool.criterion.lattice_free_tolerance import Units, tolerant_numerator
from asrtool.criterion.sequence import Outer, PhoneTables, SequenceOptions
from asrtool.criterion.sequence_checks import check_numerator, check_scores
from asrtool.errors import AsrtoolError
from asrtool.graph.denominator import DenominatorGraph
from asrtool.lattice.lattice import Lattice
from asrtool.lattice.posteriors import FramePosteriors

_LEAST = 1e-6  # posteriors below it are left out of outer gradients, the others of their frame grown to the sum 1


@dataclass(frozen=True)
class LatticeFreeOptions:
    """Settings, named as Kaldi's chain training names them; its xent_regularize is the trainer's ce_weight.

    Attributes:
        acoustic_scale: kappa, by which outputs are multiplied.
        leaky_hmm_coefficient: each frame, this share of the probability may go on in any state, as the initial probabilities
            say; above 0 (else the sums, which are no logarithms, may overflow) and below 1.
        l2_regularize: half of it times the sum of all squared outputs is added to the loss.
        tolerance: frames of the graph by which borders of HMM states may lie beside those of the alignment; the numerator is
            the sum over all such alignments (asrtool.criterion.lattice_free_tolerance). 0: the alignment itself.
    """

    acoustic_scale: float = 1.0
    leaky_hmm_coefficient: float = 1e-5
    l2_regularize: float = 0.0
    tolerance: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.acoustic_scale < np.inf:
            raise ValueError(f"acoustic_scale must be a number above 0: {self.acoustic_scale}")
        if not 0 < self.leaky_hmm_coefficient < 1:
            raise ValueError(f"leaky_hmm_coefficient must be above 0 and below 1: {self.leaky_hmm_coefficient}")
        if not 0 <= self.l2_regularize < np.inf:
            raise ValueError(f"l2_regularize must be a number, at least 0: {self.l2_regularize}")
        if self.tolerance < 0:
            raise ValueError(f"tolerance must be at least 0: {self.tolerance}")


class LatticeFreeCriterion:
    """A SequenceCriterion; lattices are not looked at. Log-likelihoods and alignments have the graph's frame rate.

    Raises:
        AsrtoolError: the graph was made for another number of pdfs.
    """

    def __init__(
        self,
        options: SequenceOptions,
        tables: PhoneTables,
        graph: DenominatorGraph,
        device: str = "cpu",
        lattice_free: LatticeFreeOptions | None = None,
    ) -> None:
        if graph.num_pdfs != tables.num_pdfs:
            raise AsrtoolError(
                f"the denominator graph has {graph.num_pdfs} pdfs, the model {tables.num_pdfs}; make the graph of its alignments"
            )
        self.lattice_free = lattice_free or LatticeFreeOptions()
        leak = self.lattice_free.leaky_hmm_coefficient
        self.graph, self.options, self.tables, self.device = graph, options, tables, device
        self.denominator = Denominator(graph, leak, device)
        self.weights, self.strict_weights = PathWeights(graph, leak), PathWeights(graph, 0.0)
        others = tables.tid_to_pdf[1:][~tables.tid_is_silence[1:]]
        self._is_silence = np.ones(graph.num_pdfs, bool)
        self._is_silence[others] = False  # pdfs that silence phones alone have

    def __call__(
        self,
        loglikes: Sequence[np.ndarray],
        numerators: Sequence[np.ndarray],
        lattices: Sequence[Lattice | None],
        names: Sequence[str],
    ) -> list[Outer | AsrtoolError]:
        results: list[Outer | AsrtoolError | None] = [None] * len(names)
        pdfs, weights = {}, {}
        for index, (name, scores, numerator) in enumerate(zip(names, loglikes, numerators, strict=True)):
            try:
                check_scores(name, scores, self.tables)
                check_numerator(name, numerator, len(scores), self.tables)
                pdfs[index] = self.tables.tid_to_pdf[numerator]
                weights[index] = self.weights(name, pdfs[index])
            except AsrtoolError as error:
                results[index] = error
        good = list(weights)
        if not good:
            return results
        lengths = [len(loglikes[index]) for index in good]
        scaled = torch.zeros(len(good), max(lengths), self.tables.num_pdfs)
        for place, index in enumerate(good):
            scores = torch.from_numpy(np.ascontiguousarray(loglikes[index][:, : self.tables.num_pdfs], np.float32))
            scaled[place, : lengths[place]] = scores * self.options.acoustic_scale
        sums = self.denominator(scaled.to(self.device), lengths)
        acoustic, numerator_TPs = self._numerators(scaled, [pdfs[index] for index in good])
        denominators, posteriors = sums.loglike_B.tolist(), sums.posterior_BTP.cpu().numpy()
        for place, index in enumerate(good):
            known = names[index], pdfs[index], acoustic[place], weights[index], denominators[place]
            results[index] = self._outer(*known, numerator_TPs[place], posteriors[place, : lengths[place]])
        return results

    def _numerators(self, scaled_BTP: Tensor, pdfs: list[np.ndarray]) -> tuple[list[float], list[np.ndarray]]:
        """Of each utterance the log of the sum over its alignments' likelihoods, and the posteriors of the pdfs, [T, P]."""
        if self.lattice_free.tolerance:
            units = Units(pdfs, self.graph.pdf_kind, self.lattice_free.tolerance, scaled_BTP.device)
            loglike_B, posterior_BTP = tolerant_numerator(scaled_BTP, units)
            return loglike_B.tolist(), [posterior_BTP[b, : len(one)].numpy() for b, one in enumerate(pdfs)]
        acoustic, shares = [], []
        for scores_TP, one in zip(scaled_BTP.numpy(), pdfs):
            share_TP = np.zeros((len(one), scores_TP.shape[1]), np.float32)
            share_TP[np.arange(len(one)), one] = 1
            acoustic.append(float(scores_TP[np.arange(len(one)), one].sum(dtype=np.float64)))
            shares.append(share_TP)
        return acoustic, shares

    def _outer(
        self,
        name: str,
        pdfs: np.ndarray,
        acoustic: float,
        weight: float,
        denominator: float,
        numerator_TP: np.ndarray,
        posterior_TP: np.ndarray,
    ) -> Outer | AsrtoolError:
        if not np.isfinite(denominator) or not np.isfinite(posterior_TP).all():
            return AsrtoolError(f"{name}: no path of the denominator graph has a likelihood; look at its log-likelihoods")
        if not np.isfinite(acoustic):
            return AsrtoolError(f"{name}: a pdf of its alignment has the log-likelihood -inf; look at its log-likelihoods")
        return Outer(
            gradient=_outer_gradient(numerator_TP, posterior_TP, self.options.acoustic_scale),
            objective=acoustic + weight - denominator,
            num_frames=len(pdfs),
            numerator_loglike=acoustic + weight,
            numerator_acoustic=acoustic,
            denominator_loglike=denominator,
            numerator_in_lattice=self.strict_weights(name, pdfs) > -np.inf,
            silence_share=float(posterior_TP[:, self._is_silence].sum() / len(pdfs)),
        )


def _outer_gradient(numerator_TP: np.ndarray, denominator_TP: np.ndarray, acoustic_scale: float) -> FramePosteriors:
    """acoustic_scale * (the numerator's posteriors - the denominator's), without what is next to nothing."""
    gradient = np.zeros(numerator_TP.shape)
    for sign, posterior_TP in ((1, numerator_TP), (-1, denominator_TP)):
        kept = np.where(posterior_TP >= _LEAST, posterior_TP, 0)
        gradient += sign * kept / kept.sum(1, keepdims=True, dtype=np.float64)
    frame, label = np.nonzero(gradient)
    begin = np.searchsorted(frame, np.arange(len(gradient) + 1))
    weight = (acoustic_scale * gradient[frame, label]).astype(np.float32)
    return FramePosteriors(begin.astype(np.int64), label.astype(np.int32), weight)
