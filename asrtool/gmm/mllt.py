"""Maximum likelihood linear transform, also called semi-tied covariances: the rotation that suits diagonal Gaussians best.

After M. J. F. Gales, "Semi-tied covariance matrices for hidden Markov models" (IEEE Transactions on Speech and Audio
Processing, 1999), with one class, and Kaldi's transform/mllt.cc.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.gmm.backend import CPU, Backend
from asrtool.gmm.diag_gmm import AmDiagGmm
from asrtool.gmm.random_prune import random_prune

MAX_SWEEPS = 200
LEAST_GAIN = 1e-9  # log-likelihood a frame that a sweep over the rows must bring for another one


class MlltStatistics:
    """Sums over frames and Gaussians.

    Attributes:
        count: sum of the posteriors.
        squares: float64 [D, K]: for each dimension j the sum of posterior / variance_j * (x - mean) (x - mean)^T, of which
            the upper triangle is kept, K = D (D + 1) / 2 entries row by row.
    """

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.count = 0.0
        self.upper = np.triu_indices(dim)
        self.squares = np.zeros((dim, len(self.upper[0])))

    def add(
        self,
        frames: Iterable[tuple[int, np.ndarray]],
        model: AmDiagGmm,
        prune: float,
        random: np.random.Generator,
        backend: Backend = CPU,
    ) -> None:
        """
        Args:
            frames: (pdf, float32 [T, D] of the frames that belong to it).
            prune: threshold of `random_prune` for the posteriors of a pdf's Gaussians.
        """
        backend.add_outer_products(self.squares, self._terms(frames, model, prune, random))

    def _terms(
        self, frames: Iterable[tuple[int, np.ndarray]], model: AmDiagGmm, prune: float, random: np.random.Generator
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(posterior / variance float32 [N, D], x - mean float32 [N, D]) of the pairs of frame and Gaussian of each pdf."""
        for pdf, features in frames:
            rows = slice(int(model.pdf_begin[pdf]), int(model.pdf_begin[pdf + 1]))
            frame, gaussian, weight = _pairs(features, model.parameters[rows], prune, random)
            inverse = model.inv_vars[rows]
            self.count += float(weight.sum(dtype=np.float64))
            yield weight[:, None] * inverse[gaussian], features[frame] - (model.means_invvars[rows] / inverse)[gaussian]

    def merge(self, other: "MlltStatistics") -> None:
        self.count += other.count
        self.squares += other.squares

    def matrices(self) -> np.ndarray:
        """float64 [D, D, D]: the symmetric matrix of each dimension."""
        result = np.zeros((self.dim, self.dim, self.dim))
        result[:, self.upper[0], self.upper[1]] = self.squares
        result[:, self.upper[1], self.upper[0]] = self.squares
        return result


def _pairs(
    features: np.ndarray, parameters: np.ndarray, prune: float, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(frame, Gaussian, weight) of the posteriors that are left."""
    extended = np.concatenate([np.ones((len(features), 1), dtype=np.float32), features, features**2], axis=1)
    posteriors = extended @ parameters.T
    posteriors -= posteriors.max(axis=1, keepdims=True)
    np.exp(posteriors, out=posteriors)
    posteriors /= posteriors.sum(axis=1, keepdims=True)
    weights = random_prune(posteriors, prune, random)
    frame, gaussian = np.nonzero(weights)
    return frame, gaussian, weights[frame, gaussian]


def estimate_mllt(statistics: MlltStatistics) -> tuple[np.ndarray, float]:
    """Kaldi's est-mllt: (matrix float64 [D, D] for features and means, gain in log-likelihood a frame).

    Maximises log |det M| - sum over rows j of m_j G_j m_j^T / (2 count), starting from the unit matrix; each row in turn is
    set to its best value given the others (Gales 1999, equation 22).

    Raises:
        AsrtoolError: too few frames.
    """
    dim, count = statistics.dim, statistics.count
    squares = statistics.matrices() / max(count, 1)
    try:
        if count < 2 * dim:
            raise np.linalg.LinAlgError
        np.linalg.cholesky(squares)
    except np.linalg.LinAlgError:
        raise AsrtoolError(
            f"MLLT: {count:.0f} frames of speech are too few for {dim} dimensions, or a feature is constant"
        ) from None
    inverses = np.linalg.inv(squares)
    matrix, total = np.eye(dim), 0.0
    for _ in range(MAX_SWEEPS):
        gain = _sweep(matrix, squares, inverses)
        total += gain
        if gain < LEAST_GAIN:
            break
    return matrix, total


def _sweep(matrix: np.ndarray, squares: np.ndarray, inverses: np.ndarray) -> float:
    """Improves each row once, in place; the gain in log-likelihood a frame."""
    inverse, gain = np.linalg.inv(matrix), 0.0
    for row in range(len(matrix)):
        cofactor = inverse[:, row]
        best = inverses[row] @ cofactor
        best /= np.sqrt(cofactor @ best)
        old, step = matrix[row], best - matrix[row]
        ratio = best @ cofactor  # of the determinants; 1 for the old row
        gain += np.log(abs(ratio)) - 0.5 * (best @ squares[row] @ best - old @ squares[row] @ old)
        inverse -= np.outer(cofactor, step @ inverse) / ratio  # Sherman and Morrison: one row of `matrix` has changed
        matrix[row] = best
    return float(gain)


def transform_means(model: AmDiagGmm, matrix: np.ndarray) -> AmDiagGmm:
    """The model with its means multiplied by [D, D], its variances as they are (Kaldi's gmm-transform-means)."""
    means = model.means @ np.asarray(matrix, dtype=np.float64).T
    return AmDiagGmm(model.pdf_begin, model.weights, means * model.inv_vars, model.inv_vars)
