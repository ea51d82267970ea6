"""Linear discriminant analysis: the directions that tell classes apart best, for equal variances within them.

After Kaldi's transform/lda-estimate.cc: with the covariances W within and B between classes, the rows of the transform make
W the unit matrix and B diagonal, in descending order.
"""

import numpy as np
from scipy.linalg import solve_triangular
from scipy.sparse import csr_array

from asrtool.errors import AsrtoolError


class LdaStatistics:
    """Sums over frames.

    Attributes:
        counts: float64 [C], weight of each class.
        sums: float64 [C, S].
        squares: float64 [S, S], of all classes together.
    """

    def __init__(self, num_classes: int, dim: int) -> None:
        self.counts = np.zeros(num_classes)
        self.sums = np.zeros((num_classes, dim))
        self.squares = np.zeros((dim, dim))

    def add(self, features: np.ndarray, classes: np.ndarray, weights: np.ndarray) -> None:
        """Frames float32 [T, S], their classes int [T] and weights [T]; those of weight 0 cost nothing."""
        used = np.flatnonzero(weights)
        rows, weight = features[used].astype(np.float64), weights[used].astype(np.float64)
        weighted = rows * weight[:, None]
        self.squares += weighted.T @ rows
        self.counts += np.bincount(classes[used], weight, len(self.counts))
        present, index = np.unique(classes[used], return_inverse=True)
        members = csr_array((np.ones(len(index)), (index, np.arange(len(index)))), shape=(len(present), len(index)))
        self.sums[present] += members @ weighted

    def covariances(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(within, between [S, S], mean [S]) of all frames."""
        total, seen = self.counts.sum(), self.counts > 0
        mean = self.sums.sum(axis=0) / total
        class_means = self.sums[seen] / self.counts[seen, None] - mean
        between = (class_means * (self.counts[seen] / total)[:, None]).T @ class_means
        return self.squares / total - np.outer(mean, mean) - between, between, mean


def estimate_lda(statistics: LdaStatistics, dim: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Kaldi's est-lda: (matrix float64 [dim, S], its `dim` first rows; the whole matrix [S, S]; the variances between classes
    [S], descending, in units of those within).

    The sign of a row is free: its entry of largest size is positive here.

    Raises:
        AsrtoolError: too few classes or frames, or features that depend on each other.
    """
    size = statistics.sums.shape[1]
    num_classes = int(np.count_nonzero(statistics.counts))
    if not 1 <= dim <= size or dim >= num_classes:
        raise AsrtoolError(f"LDA to {dim} dimensions: features have {size}, and there must be more classes, not {num_classes}")
    within, between, _ = statistics.covariances()
    try:
        root = np.linalg.cholesky(within)
    except np.linalg.LinAlgError:
        raise AsrtoolError(
            f"LDA: the covariance of {statistics.counts.sum():.0f} frames within {num_classes} classes is singular: "
            "too few frames, or a feature that is constant or depends on others"
        ) from None
    half = solve_triangular(root, between, lower=True)
    variances, directions = np.linalg.eigh(solve_triangular(root, half.T, lower=True))
    full = solve_triangular(root, directions[:, ::-1], lower=True, trans="T").T
    full *= np.sign(full[np.arange(size), np.abs(full).argmax(axis=1)])[:, None]
    return full[:dim], full, variances[::-1]
