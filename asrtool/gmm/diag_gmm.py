"""AmDiagGmm: one diagonal-covariance GMM a pdf, in Kaldi's final.mdl format (kaldi/src/gmm/am-diag-gmm.cc, diag-gmm.cc)."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.gmm.backend import CPU, Backend
from asrtool.io.kaldi_binary import KaldiReader, KaldiWriter


class AmDiagGmm:
    """The Gaussians of all pdfs in flat arrays; treat them as constants (`parameters` is computed from them once).

    Args:
        pdf_begin: int64 [P + 1]; the Gaussians of pdf p are rows pdf_begin[p] to pdf_begin[p + 1], at least one.
        weights: float32 [G], the weights of a pdf sum to one.
        means_invvars: float32 [G, D], mean / variance.
        inv_vars: float32 [G, D], 1 / variance.

    Attributes:
        gconsts: float32 [G], the log-likelihood (weight included) at x = 0.
    """

    def __init__(
        self,
        pdf_begin: np.ndarray,
        weights: np.ndarray,
        means_invvars: np.ndarray,
        inv_vars: np.ndarray,
        gconsts: np.ndarray | None = None,
    ) -> None:
        self.pdf_begin = np.ascontiguousarray(pdf_begin, dtype=np.int64)
        self.weights = np.ascontiguousarray(weights, dtype=np.float32)
        self.means_invvars = np.ascontiguousarray(means_invvars, dtype=np.float32)
        self.inv_vars = np.ascontiguousarray(inv_vars, dtype=np.float32)
        if gconsts is not None and np.allclose(gconsts, self.gconsts, rtol=1e-4, atol=1e-3):
            self.gconsts = gconsts  # a file's own, which differ from ours in rounding: it is written again byte for byte

    @property
    def num_pdfs(self) -> int:
        return len(self.pdf_begin) - 1

    @property
    def num_gaussians(self) -> int:
        return len(self.weights)

    @property
    def dim(self) -> int:
        return self.inv_vars.shape[1]

    @property
    def pdf_of_gaussian(self) -> np.ndarray:
        """int64 [G]."""
        return np.repeat(np.arange(self.num_pdfs), np.diff(self.pdf_begin))

    @property
    def means(self) -> np.ndarray:
        """float64 [G, D]."""
        return self.means_invvars / self.inv_vars.astype(np.float64)

    @property
    def variances(self) -> np.ndarray:
        """float64 [G, D]."""
        return 1 / self.inv_vars.astype(np.float64)

    @cached_property
    def gconsts(self) -> np.ndarray:
        inv_vars = self.inv_vars.astype(np.float64)
        with np.errstate(divide="ignore", over="ignore"):  # a weight of zero gives minus infinity
            log_weights = np.log(self.weights.astype(np.float64))
            quadratic = (np.log(inv_vars) - self.means_invvars.astype(np.float64) ** 2 / inv_vars).sum(axis=1)
            return (log_weights - 0.5 * np.log(2 * np.pi) * self.dim + 0.5 * quadratic).astype(np.float32)

    @cached_property
    def parameters(self) -> np.ndarray:
        """float32 [G, 1 + 2D]: the rows that `gmm_kernels` multiplies with (1, x, x^2)."""
        return np.concatenate([self.gconsts[:, None], self.means_invvars, -0.5 * self.inv_vars], axis=1, dtype=np.float32)

    def boosted_parameters(self, pdf_ids: Sequence[int], boost: float) -> np.ndarray:
        """`parameters` with the likelihoods of some pdfs multiplied by `boost` (Kaldi's gmm-boost-silence)."""
        parameters = self.parameters.copy()
        parameters[np.isin(self.pdf_of_gaussian, pdf_ids), 0] += np.float32(np.log(boost))
        return parameters

    def loglikes(self, features: np.ndarray, pdf_ids: np.ndarray | None = None, backend: Backend = CPU) -> np.ndarray:
        """float32 [T, P]: see `pdf_loglikes`."""
        return np.ascontiguousarray(self.pdf_loglikes(features, pdf_ids, backend).T)

    def pdf_loglikes(self, features: np.ndarray, pdf_ids: np.ndarray | None = None, backend: Backend = CPU) -> np.ndarray:
        """float32 [P, T]: natural-log likelihood of each frame for each pdf (or each of `pdf_ids`).

        Args:
            features: float32 [T, D].

        Raises:
            AsrtoolError: the features' dimension is not the model's.
        """
        if features.ndim != 2 or features.shape[1] != self.dim:
            raise AsrtoolError(f"the model takes features of dimension {self.dim}, found {features.shape[-1]}: check the options")
        pdf_ids = np.arange(self.num_pdfs, dtype=np.int32) if pdf_ids is None else np.asarray(pdf_ids, dtype=np.int32)
        ((_, loglikes),) = backend.pdf_loglikes([features], self.parameters, self.pdf_begin, [pdf_ids])
        return loglikes

    @classmethod
    def from_moments(cls, pdf_begin: np.ndarray, weights: np.ndarray, means: np.ndarray, variances: np.ndarray) -> "AmDiagGmm":
        """From means and variances, float [G, D]."""
        inv_vars = (1 / np.asarray(variances, dtype=np.float64)).astype(np.float32)
        return cls(pdf_begin, weights, (means * inv_vars.astype(np.float64)).astype(np.float32), inv_vars)

    @classmethod
    def read(cls, reader: KaldiReader) -> "AmDiagGmm":
        """Reads the block that follows the transition model in final.mdl, text or binary.

        Raises:
            AsrtoolError: not such a block, or sizes that do not fit together.
        """
        reader.expect_token("<DIMENSION>")
        dim = reader.read_int()
        reader.expect_token("<NUMPDFS>")
        num_pdfs = reader.read_int()
        if num_pdfs < 1 or dim < 1:
            raise AsrtoolError(f"{reader.name}: {num_pdfs} pdfs of dimension {dim}: the file is damaged")
        pdfs = [_read_pdf(reader, dim) for _ in range(num_pdfs)]
        pdf_begin = np.cumsum([0] + [len(weights) for weights, *_ in pdfs])
        return cls(pdf_begin, *(np.concatenate(arrays) for arrays in zip(*pdfs)))

    def write(self, writer: KaldiWriter) -> None:
        """Writes the block as Kaldi does."""
        writer.write_token("<DIMENSION>")
        writer.write_int(self.dim)
        writer.write_token("<NUMPDFS>")
        writer.write_int(self.num_pdfs)
        for begin, end in zip(self.pdf_begin[:-1].tolist(), self.pdf_begin[1:].tolist()):
            writer.write_token("<DiagGMM>")
            writer.newline()
            writer.write_token("<GCONSTS>")
            writer.write_float_vector(self.gconsts[begin:end])
            writer.write_token("<WEIGHTS>")
            writer.write_float_vector(self.weights[begin:end])
            writer.write_token("<MEANS_INVVARS>")
            writer.write_matrix(self.means_invvars[begin:end])
            writer.write_token("<INV_VARS>")
            writer.write_matrix(self.inv_vars[begin:end])
            writer.write_token("</DiagGMM>")
            writer.newline()


def _read_pdf(reader: KaldiReader, dim: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(weights, means_invvars, inv_vars, gconsts) of one pdf; gconsts that the file lacks are nan."""
    reader.expect_token("<DiagGMM>", "<DiagGMMBegin>")
    gconsts = None
    if reader.expect_token("<GCONSTS>", "<WEIGHTS>") == "<GCONSTS>":
        gconsts = reader.read_float_vector()
        reader.expect_token("<WEIGHTS>")
    weights = reader.read_float_vector()
    reader.expect_token("<MEANS_INVVARS>")
    means_invvars = reader.read_matrix()
    reader.expect_token("<INV_VARS>")
    inv_vars = reader.read_matrix()
    reader.expect_token("</DiagGMM>", "<DiagGMMEnd>")
    if not len(weights) or means_invvars.shape != (len(weights), dim) or inv_vars.shape != means_invvars.shape:
        raise AsrtoolError(f"{reader.name}: a GMM's weights, means and variances differ in size: the file is damaged")
    if not (
        np.all(np.isfinite(means_invvars) & np.isfinite(inv_vars) & (inv_vars > 0))
        and np.all((weights >= 0) & (weights < np.inf))
    ):
        raise AsrtoolError(f"{reader.name}: a GMM has a parameter that is not a number or not positive: the file is damaged")
    if gconsts is None or len(gconsts) != len(weights):
        gconsts = np.full(len(weights), np.nan, dtype=np.float32)
    return weights, means_invvars, inv_vars, gconsts
