"""Numerators of lattice-free MMI: what the denominator graph says of an alignment's pdfs."""

import numpy as np

from asrtool.criterion.lattice_free_kernels import sequence_log_prob
from asrtool.errors import AsrtoolError
from asrtool.graph.denominator import DenominatorGraph


class PathWeights:
    """Log probabilities of pdf sequences in a graph, over all its paths that emit them (leaps of the leaky HMM among these).

    With this weight in the numerator, which no network can change, the objective is the log of a share and never above 0.
    """

    def __init__(self, graph: DenominatorGraph, leaky_hmm_coefficient: float) -> None:
        self.num_pdfs = graph.num_pdfs
        rows = np.argsort(graph.row_pdf, kind="stable").astype(np.int32)
        counts = np.bincount(graph.row_pdf, minlength=graph.num_pdfs)
        self.has_arc = counts > 0
        begin = np.concatenate([[0], np.cumsum(counts)])
        initial, final = graph.initial.astype(np.float64), graph.final.astype(np.float64)
        leak = leaky_hmm_coefficient * initial
        from_leak = self._to_rows(graph, leak)
        from_start = self._to_rows(graph, initial + leak * initial.sum())
        self._arrays = (
            begin, rows, graph.row_begin, graph.row_state, graph.arc_state, graph.arc_prob,
            from_start, from_leak, graph.final, float(leak @ final),
        )  # fmt: skip
        self._num_states = graph.num_states

    @staticmethod
    def _to_rows(graph: DenominatorGraph, value: np.ndarray) -> np.ndarray:
        return np.add.reduceat(graph.arc_prob * value[graph.arc_state], graph.row_begin[:-1])

    def __call__(self, name: str, pdfs: np.ndarray) -> float:
        """Of pdfs int [T], T > 0; -inf where no path emits them (never with a leaky HMM).

        Raises:
            AsrtoolError: a pdf that no arc of the graph emits.
        """
        pdfs = np.ascontiguousarray(pdfs, np.int32)
        if pdfs.min() < 0 or pdfs.max() >= self.num_pdfs or not self.has_arc[pdfs].all():
            wrong = next(pdf for pdf in pdfs.tolist() if not (0 <= pdf < self.num_pdfs and self.has_arc[pdf]))
            raise AsrtoolError(
                f"{name}: no arc of the denominator graph emits pdf {wrong} of its alignment; make the graph of these alignments"
            )
        return float(sequence_log_prob(*self._arrays, pdfs, *np.zeros((2, self._num_states))))
