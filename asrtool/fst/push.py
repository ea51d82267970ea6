"""Kaldi's push-special: weights made even over a whole FST without changing any path's cost.

A graph whose costs come as early as a stochastic one's is pruned well by a beam. Every state is given a potential
v such that the probabilities out of a state, p v[next] / v[state], sum to one constant (fstext/push-special.cc).
"""

from dataclasses import replace

import numpy as np

from asrtool.fst.csr import CsrGraph


def push_special(graph: CsrGraph, delta: float = 1.0 / 1024, max_iterations: int = 200) -> CsrGraph:
    """The graph with even weights; the log sums of its states then differ by at most `delta`, given convergence.

    v is the top eigenvector of the transition matrix, a final state's probability leading back to the start, found by
    the power method on the matrix plus 0.1.
    """
    if graph.num_states == 0:
        return graph
    probs = np.exp(-graph.arc_cost.astype(np.float64))
    rows = np.flatnonzero(np.diff(graph.arc_begin))  # reduceat knows no empty rows
    begin = graph.arc_begin[rows]
    final = np.exp(-graph.final_cost.astype(np.float64))
    potential = np.full(graph.num_states, graph.num_states**-0.5)
    for iteration in range(max_iterations):
        total = final * potential[graph.start]
        if len(rows):
            total[rows] += np.add.reduceat(probs * potential[graph.arc_nextstate], begin)
        if iteration % 5 == 0 and iteration > 0:
            sums = total / potential
            if np.log(sums.max() / sums.min()) <= delta:
                break
        potential = total + 0.1 * potential
        potential /= np.linalg.norm(potential)
    cost = -np.log(potential)
    arc_cost = graph.arc_cost + cost[graph.arc_nextstate] - np.repeat(cost, np.diff(graph.arc_begin))
    return replace(
        graph,
        arc_cost=arc_cost.astype(np.float32),
        final_cost=(graph.final_cost + cost[graph.start] - cost).astype(np.float32),
    )
