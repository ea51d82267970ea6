"""From frames and the pdfs that they belong to, to what fMLLR is estimated from."""

from dataclasses import dataclass

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.gmm.backend import CPU, Backend
from asrtool.gmm.diag_gmm import AmDiagGmm
from asrtool.gmm.fmllr import FmllrStatistics
from asrtool.hmm.transition_model import TransitionModel


@dataclass(frozen=True)
class FramePdfs:
    """The pdfs of T frames with their weights: of an alignment one a frame at most, of a lattice any number.

    Attributes:
        frame_begin: int64 [T + 1]; frame t has the pairs frame_begin[t]:frame_begin[t + 1].
        pdf: int32 [N].
        weight: float32 [N], above 0.
    """

    frame_begin: np.ndarray
    pdf: np.ndarray
    weight: np.ndarray

    @property
    def num_frames(self) -> int:
        return len(self.frame_begin) - 1

    @classmethod
    def aligned(cls, pdf: np.ndarray, weight: np.ndarray | None = None) -> "FramePdfs":
        """One pdf a frame, int [T], none where it is negative; weights float [T], 1 by default, none where it is 0."""
        used = pdf >= 0 if weight is None else (pdf >= 0) & (weight > 0)
        begin = np.concatenate([[0], np.cumsum(used)])
        weights = np.ones(begin[-1], np.float32) if weight is None else weight[used].astype(np.float32)
        return cls(begin, pdf[used].astype(np.int32), weights)


def silence_weights(transition_model: TransitionModel, silence_phones: list[int], weight: float) -> np.ndarray:
    """float32 [num_transition_ids + 1]: `weight` for transition-ids of these phones, 1 for others (weight-silence-post)."""
    return np.where(np.isin(transition_model.tid_to_phone, silence_phones), weight, 1).astype(np.float32)


def collect_fmllr(
    features: np.ndarray, pairs: FramePdfs, model: AmDiagGmm, target: AmDiagGmm | None = None, backend: Backend = CPU
) -> FmllrStatistics:
    """Statistics of some frames of a speaker.

    Args:
        features: float32 [T, D].
        model: gives the Gaussians' posteriors (Kaldi's gmm-post-to-gpost).
        target: the model to fit, Gaussian for Gaussian that of `model` (gmm-est-fmllr-gpost); by default `model` itself.

    Raises:
        AsrtoolError: features of another dimension or number of frames, or models that do not fit together.
    """
    target = target or model
    if not np.array_equal(model.pdf_begin, target.pdf_begin) or model.dim != target.dim:
        raise AsrtoolError("the alignment model and the model to adapt to are not the same Gaussian for Gaussian")
    if features.ndim != 2 or features.shape[1] != model.dim:
        raise AsrtoolError(f"the model takes features of dimension {model.dim}, found {features.shape[-1]}: check the options")
    if len(features) != pairs.num_frames:
        raise AsrtoolError(f"{pairs.num_frames} frames have posteriors, the features have {len(features)}")
    if len(pairs.pdf) and not 0 <= pairs.pdf.min() <= pairs.pdf.max() < model.num_pdfs:
        raise AsrtoolError(f"a posterior's pdf is not among the {model.num_pdfs} of the model: do they belong together?")
    result = FmllrStatistics.zeros(model.dim)
    result.beta, result.loglike = backend.accumulate_fmllr(
        np.require(features, np.float32, ["C", "W"]),
        np.require(pairs.frame_begin, np.int64, ["C", "W"]),
        np.require(pairs.pdf, np.int32, ["C", "W"]),
        np.require(pairs.weight, np.float32, ["C", "W"]),
        model.pdf_begin,
        model.parameters,
        target.parameters,
        result.k,
        result.g,
    )
    return result
