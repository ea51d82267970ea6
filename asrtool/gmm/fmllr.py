"""fMLLR (constrained MLLR): a speaker's affine transform of the features that makes them most likely under a GMM.

With statistics of the frames x+ = (x, 1) and the transform W = (A, b), the objective is Kaldi's auxiliary function

    Q(W) = beta log |det A| + tr(W K^T) - 1/2 sum_d w_d G_d w_d^T,

w_d being row d of W (Gales, "Maximum likelihood linear transformations for HMM-based speech recognition", 1998, sections 3 and
4; Kaldi's transform/fmllr-diag-gmm.cc). Rows are maximised one after the other, each exactly, given the others.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asrtool.errors import AsrtoolError

UPDATE_TYPES = ("full", "diag", "offset", "none")
SPEAKERS_AT_ONCE = 32  # their inverse statistics take half a MiB each with 40 dimensions


@dataclass(frozen=True)
class FmllrOptions:
    """update_type: "full", "diag" (scale and offset of each feature), "offset" or "none" (the identity). min_count: speakers with
    no more frames than this get the identity. num_iters: sweeps over the rows of a full transform."""

    update_type: str = "full"
    min_count: float = 500.0
    num_iters: int = 40

    def __post_init__(self) -> None:
        if self.update_type not in UPDATE_TYPES:
            raise AsrtoolError(f"--fmllr-update-type '{self.update_type}': expected one of {', '.join(UPDATE_TYPES)}")
        if self.min_count < 0 or self.num_iters < 1:
            raise AsrtoolError("--fmllr-min-count must be at least 0, --fmllr-num-iters at least 1")


@dataclass
class FmllrStatistics:
    """What the frames of a speaker give (see the top of this file).

    Attributes:
        k: float64 [D, D + 1].
        g: float64 [D, (D + 1)(D + 2) / 2], the upper triangles of the matrices G_d, by rows.
        beta: sum of the frames' weights; loglike: of their weighted log-likelihoods without a transform.
    """

    k: np.ndarray
    g: np.ndarray
    beta: float = 0.0
    loglike: float = 0.0

    @classmethod
    def zeros(cls, dim: int) -> "FmllrStatistics":
        return cls(np.zeros((dim, dim + 1)), np.zeros((dim, (dim + 1) * (dim + 2) // 2)))

    @property
    def dim(self) -> int:
        return len(self.k)

    @property
    def full_g(self) -> np.ndarray:
        """float64 [D, D + 1, D + 1]."""
        size = self.dim + 1
        rows, columns = np.triu_indices(size)
        full = np.empty((self.dim, size, size))
        full[:, rows, columns] = full[:, columns, rows] = self.g
        return full

    def add(self, other: "FmllrStatistics") -> None:
        """Adds those of other frames."""
        self.k += other.k
        self.g += other.g
        self.beta += other.beta
        self.loglike += other.loglike


@dataclass(frozen=True)
class FmllrEstimate:
    """transform: float32 [D, D + 1], (A, b). gain: of the objective against the identity. count: frames (their weights' sum).
    log_det: of A. reason: why the transform is the identity, "" where it is not."""

    transform: np.ndarray
    gain: float
    count: float
    log_det: float = 0.0
    reason: str = ""


def identity(dim: int) -> np.ndarray:
    """float32 [D, D + 1], the transform that changes nothing."""
    return np.eye(dim, dim + 1, dtype=np.float32)


def compose(after: np.ndarray, before: np.ndarray) -> np.ndarray:
    """float32 [D, D + 1]: `before`, then `after`, both [D, D + 1] (Kaldi's compose-transforms --b-is-affine=true)."""
    dim = len(before)
    extended = np.vstack([before, np.eye(1, dim + 1, dim)]).astype(np.float64)
    return (after.astype(np.float64) @ extended).astype(np.float32)


def objective(transform: np.ndarray, statistics: FmllrStatistics) -> float:
    """Q of a transform [D, D + 1]; differences of it are those of the frames' expected log-likelihood."""
    transforms = np.asarray(transform, dtype=np.float64)[None]
    return float(_objectives(transforms, statistics.k[None], statistics.full_g[None], np.array([statistics.beta]))[0])


def estimate(statistics: Sequence[FmllrStatistics], options: FmllrOptions = FmllrOptions()) -> list[FmllrEstimate]:
    """The transform of each speaker, from the identity on; many at once is faster than one by one, with the same results.

    Raises:
        AsrtoolError: statistics that are not finite.
    """
    result = [_unchanged(one, options) for one in statistics]
    left = [index for index, one in enumerate(result) if one is None]
    for begin in range(0, len(left), SPEAKERS_AT_ONCE):
        some = left[begin : begin + SPEAKERS_AT_ONCE]
        for index, one in zip(some, _estimate([statistics[index] for index in some], options), strict=True):
            result[index] = one
    return result


def _unchanged(statistics: FmllrStatistics, options: FmllrOptions) -> FmllrEstimate | None:
    """The identity where nothing is to be estimated."""
    if not (np.isfinite(statistics.beta) and np.isfinite(statistics.k).all() and np.isfinite(statistics.g).all()):
        raise AsrtoolError("statistics are not finite: the features hold extreme values, or the model has diverged")
    reason = ""
    if options.update_type == "none":
        reason = "none asked for"
    elif statistics.beta <= options.min_count:
        reason = f"{statistics.beta:.0f} frames are too few (--fmllr-min-count {options.min_count:g})"
    return FmllrEstimate(identity(statistics.dim), 0.0, statistics.beta, 0.0, reason) if reason else None


def _estimate(statistics: Sequence[FmllrStatistics], options: FmllrOptions) -> list[FmllrEstimate]:
    k = np.stack([one.k for one in statistics])
    g = np.stack([one.full_g for one in statistics])
    beta = np.array([one.beta for one in statistics])
    start = np.tile(np.eye(*k.shape[1:]), (len(k), 1, 1))
    before = _objectives(start, k, g, beta)
    with np.errstate(all="ignore"):  # a speaker whose statistics are singular ends up as not finite, and is told below
        if options.update_type == "full":
            transforms = _full(start, k, g, beta, options.num_iters)
        elif options.update_type == "diag":
            transforms = _diagonal(k, g, beta)
        else:
            transforms = _offset(k, g)
        gains = _objectives(transforms, k, g, beta) - before
    results = []
    for transform, gain, one in zip(transforms, gains.tolist(), statistics, strict=True):
        # Kaldi keeps the old transform where rounding, or singular statistics, have made the new one worse
        if not (np.isfinite(transform).all() and gain >= -1e-3):
            results.append(FmllrEstimate(identity(one.dim), 0.0, one.beta, 0.0, "the statistics are singular"))
            continue
        log_det = float(np.linalg.slogdet(transform[:, :-1])[1])
        results.append(FmllrEstimate(transform.astype(np.float32), gain, one.beta, log_det))
    return results


def _objectives(transforms: np.ndarray, k: np.ndarray, g: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """float64 [N] of N speakers: transforms and k [N, D, D + 1], g [N, D, D + 1, D + 1], beta [N]."""
    quadratic = np.einsum("nde,nde->n", np.matmul(g, transforms[..., None])[..., 0], transforms)
    return beta * np.linalg.slogdet(transforms[:, :, :-1])[1] + np.einsum("nde,nde->n", transforms, k) - 0.5 * quadratic


def _full(start: np.ndarray, k: np.ndarray, g: np.ndarray, beta: np.ndarray, num_iters: int) -> np.ndarray:
    """float64 [N, D, D + 1] (Kaldi's FmllrInnerUpdate, for all speakers at a time).

    A row w that is proportional to (alpha p + k) G^-1, p being the row's cofactors, is optimal for the root alpha of
    alpha^2 (p G^-1 p) + alpha (p G^-1 k) = beta that gives the higher objective; scaling p does not change w.
    """
    dim = start.shape[1]
    inverse_g = _inverses(g)
    base = np.matmul(inverse_g, k[..., None])[..., 0]  # k G^-1
    transforms = start.copy()
    for _ in range(num_iters):
        inverse = _inverses(transforms[:, :, :-1])
        for row in range(dim):
            cofactors = inverse[:, :, row].copy()  # over the determinant, which is a scale
            direction = np.matmul(inverse_g[:, row, :, :-1], cofactors[..., None])[..., 0]
            e1 = np.einsum("nd,nd->n", direction[:, :-1], cofactors)
            e2 = np.einsum("nd,nd->n", direction, k[:, row])
            root = np.sqrt(e2**2 + 4 * e1 * beta)
            alphas = np.stack([root - e2, -root - e2]) / (2 * e1)
            values = beta * np.log(np.abs(alphas * e1 + e2)) - 0.5 * alphas**2 * e1
            alpha = np.where(values[0] > values[1], alphas[0], alphas[1])
            new = alpha[:, None] * direction + base[:, row]
            change = new[:, :-1] - transforms[:, row, :-1]
            transforms[:, row] = new
            # the inverse of a matrix of which one row changed (Sherman and Morrison); it is made anew in each sweep
            projected = np.matmul(change[:, None], inverse)[:, 0]
            inverse -= (cofactors / (1 + projected[:, row])[:, None])[..., None] * projected[:, None]
    return transforms


def _inverses(matrices: np.ndarray) -> np.ndarray:
    """Of the last two axes; nan where a matrix is singular."""
    try:
        return np.linalg.inv(matrices)
    except np.linalg.LinAlgError:  # of the whole stack: find the ones
        flat = matrices.reshape(-1, *matrices.shape[-2:])
        result = np.full_like(flat, np.nan)
        for index, matrix in enumerate(flat):
            try:
                result[index] = np.linalg.inv(matrix)
            except np.linalg.LinAlgError:
                continue
        return result.reshape(matrices.shape)


def _diagonal(k: np.ndarray, g: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """A feature x_d becomes s x_d + o; with the best o for each s put in, s is the positive root of a s^2 + b s + beta = 0."""
    dim = k.shape[1]
    each = np.arange(dim)
    k_scale, k_offset = k[:, each, each], k[:, :, dim]
    g_scale, g_cross, g_offset = g[:, each, each, each], g[:, :, dim, :][:, each, each], g[:, :, dim, dim]
    a = g_cross**2 / g_offset - g_scale
    b = k_scale - g_cross * k_offset / g_offset
    scale = (-b - np.sqrt(b**2 - 4 * a * beta[:, None])) / (2 * a)
    result = np.zeros(k.shape)
    result[:, each, each] = scale
    result[:, :, dim] = (k_offset - scale * g_cross) / g_offset
    return result


def _offset(k: np.ndarray, g: np.ndarray) -> np.ndarray:
    """A feature x_d becomes x_d + o."""
    dim = k.shape[1]
    each = np.arange(dim)
    result = np.tile(np.eye(dim, dim + 1), (len(k), 1, 1))
    result[:, :, dim] = (k[:, :, dim] - g[:, each, each, dim]) / g[:, :, dim, dim]
    return result
