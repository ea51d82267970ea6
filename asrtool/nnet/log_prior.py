"""Pdf priors, which turn a network's posteriors into scaled likelihoods."""

import numpy as np


def log_prior(pdf_counts: np.ndarray, prior_floor: float = 1e-10) -> np.ndarray:
    """Log priors of pdfs from how often each occurs in the training alignments.

    Half a count is added to every pdf, as Kaldi's analyze-counts does. A pdf below `prior_floor` gets
    +sqrt(FLT_MAX), as in Kaldi's nnet1: divided by such a prior, it is never on a path.

    Args:
        pdf_counts: [P], frames by pdf-id.
    Returns:
        float32 [P].
    """
    prior = np.asarray(pdf_counts, np.float64) + 0.5
    prior /= prior.sum()
    result = np.log(prior)
    result[prior < prior_floor] = np.sqrt(np.finfo(np.float32).max)
    return result.astype(np.float32)
