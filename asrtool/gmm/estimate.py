"""Maximum-likelihood estimation of diagonal GMMs from sufficient statistics (Kaldi's gmm/mle-diag-gmm.cc)."""

from dataclasses import dataclass

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.gmm.diag_gmm import AmDiagGmm


@dataclass(frozen=True)
class MleOptions:
    """When a Gaussian counts as seen, and how small a variance may be.

    min_gaussian_weight, min_gaussian_occupancy: at or below either, a Gaussian is removed (the last one of its pdf is kept
    as it was). min_variance: floor of each variance. remove_low_count_gaussians: False keeps all.
    """

    min_gaussian_weight: float = 1e-5
    min_gaussian_occupancy: float = 10.0
    min_variance: float = 0.001
    remove_low_count_gaussians: bool = True


@dataclass
class GmmStatistics:
    """What the E-step collects.

    gaussians: float64 [G, 1 + 2D], sums of posterior, posterior * x and posterior * x^2.
    loglike: sum of the frames' log-likelihoods under their pdfs; num_frames: how many they are.
    """

    gaussians: np.ndarray
    loglike: float = 0.0
    num_frames: int = 0

    @classmethod
    def zeros(cls, model: AmDiagGmm) -> "GmmStatistics":
        return cls(np.zeros((model.num_gaussians, 1 + 2 * model.dim)))

    def pdf_occupancies(self, model: AmDiagGmm) -> np.ndarray:
        """float64 [P], frames a pdf."""
        return np.add.reduceat(self.gaussians[:, 0], model.pdf_begin[:-1])


@dataclass(frozen=True)
class UpdateReport:
    """What an update did, for the log."""

    floored_elements: int
    floored_gaussians: int
    removed_gaussians: int


def mle_update(model: AmDiagGmm, statistics: GmmStatistics, options: MleOptions) -> tuple[AmDiagGmm, UpdateReport]:
    """The model that maximises the likelihood of the statistics collected with `model`.

    Raises:
        AsrtoolError: the statistics hold something that is not a number.
    """
    dim = model.dim
    if not np.all(np.isfinite(statistics.gaussians)):
        raise AsrtoolError("the statistics are not finite: the features hold extreme values, or the model has diverged")
    occupancy = statistics.gaussians[:, 0]
    pdf = model.pdf_of_gaussian
    size = np.diff(model.pdf_begin)
    pdf_occupancy = statistics.pdf_occupancies(model)[pdf]
    weight = np.where(pdf_occupancy > 0, occupancy / np.where(pdf_occupancy > 0, pdf_occupancy, 1), 1 / size[pdf])
    seen = (occupancy > options.min_gaussian_occupancy) & (weight > options.min_gaussian_weight)

    means_invvars, inv_vars = model.means_invvars.copy(), model.inv_vars.copy()
    count = occupancy[seen, None]
    mean = statistics.gaussians[seen, 1 : 1 + dim] / count
    variance = statistics.gaussians[seen, 1 + dim :] / count - mean**2
    floored = variance < options.min_variance
    inverse = 1 / np.maximum(variance, options.min_variance)
    inv_vars[seen] = inverse
    means_invvars[seen] = mean * inverse
    weight = np.where(seen, weight, np.maximum(weight, options.min_gaussian_weight))

    keep = seen.copy()
    if options.remove_low_count_gaussians:
        unseen_pdfs = np.add.reduceat(seen.astype(np.int64), model.pdf_begin[:-1]) == 0
        keep[model.pdf_begin[1:][unseen_pdfs] - 1] = True  # the last one is never removed
    else:
        keep[:] = True
    kept_of_pdf = np.add.reduceat(keep.astype(np.int64), model.pdf_begin[:-1])
    pdf_begin = np.concatenate([[0], np.cumsum(kept_of_pdf)])
    weight = weight[keep]
    sums = np.add.reduceat(weight, pdf_begin[:-1])
    weight /= np.where(kept_of_pdf < size, sums, 1)[pdf[keep]]
    report = UpdateReport(int(floored.sum()), int(floored.any(axis=1).sum()), int(np.sum(~keep)))
    return AmDiagGmm(pdf_begin, weight, means_invvars[keep], inv_vars[keep]), report
