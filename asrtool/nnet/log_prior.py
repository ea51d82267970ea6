"""Pdf priors, which turn a network's posteriors into scaled likelihoods."""

from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.io.kaldi_binary import KaldiReader, KaldiWriter

WRITTEN_FRAMES = 1e6  # what `write_counts` makes the counts add up to


def log_prior(pdf_counts: np.ndarray, prior_floor: float = 1e-10, smoothing: float = 0.5) -> np.ndarray:
    """Log priors of pdfs from how often each occurs in the training alignments.

    Half a count is added to every pdf, as Kaldi's analyze-counts does. A pdf below `prior_floor` gets
    +sqrt(FLT_MAX), as in Kaldi's nnet1: divided by such a prior, it is never on a path.

    Args:
        pdf_counts: [P], frames by pdf-id, or sums of posteriors.
        smoothing: added to each; 0 for counts that have it already (a Kaldi file) or need none (posteriors).
    Returns:
        float32 [P].
    """
    prior = np.asarray(pdf_counts, np.float64) + smoothing
    prior /= prior.sum()
    floored = prior < prior_floor
    result = np.log(np.where(floored, 1.0, prior))
    result[floored] = np.sqrt(np.finfo(np.float32).max)
    return result.astype(np.float32)


def prior_of(log_prior_P: np.ndarray) -> np.ndarray:
    """The probabilities float64 [P] of log priors; 0 where a pdf lies below the floor."""
    return np.where(log_prior_P > 0, 0.0, np.exp(np.minimum(log_prior_P, 0).astype(np.float64)))


def read_counts(path: str | Path, num_pdfs: int) -> np.ndarray:
    """Kaldi's ali_train_pdf.counts or prior_counts, a text or binary vector: float64 [P].

    Raises:
        AsrtoolError: no such file, another number of pdfs, negative counts or nothing but zeros.
    """
    with KaldiReader.open(path) as reader:
        counts = reader.read_float_vector(np.float64)
    if len(counts) != num_pdfs:
        raise AsrtoolError(f"{path}: counts of {len(counts)} pdfs, the network has {num_pdfs}; give those of its alignments")
    if not (np.isfinite(counts).all() and (counts >= 0).all() and counts.sum() > 0):
        raise AsrtoolError(f"{path}: counts must be finite, not negative, and not all zero; make the file again")
    return counts


def write_counts(path: str | Path, log_prior_P: np.ndarray) -> None:
    """Writes the prior as a text vector of counts that nnet1's tools take (--class-frame-counts)."""
    prior = prior_of(log_prior_P)
    with KaldiWriter.open(path, binary=False) as writer:
        writer.write_float_vector((prior / prior.sum() * WRITTEN_FRAMES).astype(np.float32))


def divergence(log_prior_P: np.ndarray, other_P: np.ndarray) -> float:
    """Kullback-Leibler divergence of the first prior from the second, nats; pdfs below the floor of either left out."""
    one, two = prior_of(log_prior_P), prior_of(other_P)
    both = (one > 0) & (two > 0)
    one, two = one[both] / one[both].sum(), two[both] / two[both].sum()
    return float(np.sum(one * np.log(one / two)))
