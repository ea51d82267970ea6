"""Small random denominator graphs, and the sums over them by dense matrices in float64, for the tests of lattice-free MMI."""

import numpy as np
import torch

from asrtool.fst.csr import CsrGraph
from asrtool.graph.denominator import DenominatorGraph


def random_graph(num_states: int, num_pdfs: int, seed: int, used_pdfs: int | None = None) -> tuple[DenominatorGraph, CsrGraph]:
    """Every state has arcs to some others with several pdfs, some of them in parallel; pdfs from `used_pdfs` on are on no arc."""
    rng = np.random.default_rng(seed)
    arcs = [
        (source, int(rng.integers(used_pdfs or num_pdfs)) + 1, int(rng.integers(num_states)))
        for source in range(num_states)
        for _ in range(4)
    ]
    arcs += arcs[:3]  # in parallel
    source, label, nextstate = np.array(arcs).T
    cost = -np.log(rng.uniform(0.05, 0.25, len(arcs)))
    fst = CsrGraph.from_arcs(0, source, label, label, nextstate, cost, -np.log(rng.uniform(0.05, 0.2, num_states)))
    return DenominatorGraph.from_graph(fst, np.zeros(num_pdfs, np.int8), real_final=bool(seed % 2)), fst


def dense_matrices(graph: DenominatorGraph) -> torch.Tensor:
    """float64 [P, S, S]: probability of going from the second to the first state with a pdf."""
    matrices = torch.zeros(graph.num_pdfs, graph.num_states, graph.num_states, dtype=torch.float64)
    rows = np.repeat(np.arange(len(graph.row_pdf)), np.diff(graph.row_begin))
    for row, source, prob in zip(rows.tolist(), graph.arc_state.tolist(), graph.arc_prob.tolist()):
        matrices[graph.row_pdf[row], graph.row_state[row], source] += prob
    return matrices


def dense_loglike(graph: DenominatorGraph, leak: float, loglikes_TP: torch.Tensor) -> torch.Tensor:
    """The log likelihood of one utterance: a product of matrices (I + leak initial 1^T); differentiable."""
    initial, final = (torch.from_numpy(part).double() for part in (graph.initial, graph.final))
    leaping = torch.eye(graph.num_states, dtype=torch.float64) + leak * torch.outer(initial, torch.ones_like(initial))
    matrices, state = dense_matrices(graph), leaping @ initial
    for frame in loglikes_TP:
        state = leaping @ torch.einsum("p,pij,j->i", frame.exp(), matrices, state)
    return (final @ state).log()
