"""Forward-backward over a lattice: the probability of every state and arc given all its paths."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asrtool.lattice.arrays import final_costs, topology, weighed_costs
from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.lattice import Lattice


@dataclass
class ForwardBackward:
    """Sums over the paths of a lattice with S states and A arcs, at the scales that were asked for.

    Attributes:
        alpha: float64 [S], natural log of the sum over all paths from the start to a state; -inf without any.
        beta: float64 [S], the same from the state to the end, final cost included.
        total: the log of the sum over all whole paths; -inf where the lattice has none.
        posterior: float64 [A], the share of an arc in [0, 1]; all 0 without a whole path.
    """

    alpha: np.ndarray
    beta: np.ndarray
    total: float
    posterior: np.ndarray


def forward_backward(lattice: Lattice | CompactLattice, acoustic_scale: float, lm_scale: float = 1.0) -> ForwardBackward:
    """The sums at costs lm_scale * graph + acoustic_scale * acoustic, for both kinds of lattice.

    As Kaldi's LatticeForwardBackward (kaldi/src/lat/lattice-functions.cc). A word-level lattice that was determinised keeps one
    alignment a word sequence, so its sums are smaller than those of the state-level lattice that it came from.

    Raises:
        AsrtoolError: a cost that is NaN or -inf, or arcs that are not in topological order.
    """
    from asrtool.lattice.forward_backward_kernels import sum_paths

    alpha, beta, posterior = sum_paths(*topology(lattice), *weighed_costs(lattice, acoustic_scale, lm_scale))
    return ForwardBackward(alpha, beta, float(beta[0]) if len(beta) else -np.inf, posterior)


def final_posterior(lattice: Lattice | CompactLattice, sums: ForwardBackward, acoustic_scale: float, lm_scale: float = 1.0):
    """float64 [S]: the share of the paths that end in each state; 0 where it is not final."""
    share = np.zeros(lattice.num_states)
    if sums.total > -np.inf:
        graph, acoustic = final_costs(lattice)
        ends = graph < np.inf
        share[ends] = np.exp(sums.alpha[ends] - lm_scale * graph[ends] - acoustic_scale * acoustic[ends] - sums.total)
    return share


def log_probability_of_words(
    lattice: Lattice | CompactLattice, words: Sequence[int], acoustic_scale: float, lm_scale: float = 1.0
) -> float:
    """The natural log of the share of all paths that have exactly these words (ids without 0); -inf where none has.

    Takes 8 bytes for each state and word.

    Raises:
        AsrtoolError: a bad lattice.
    """
    from asrtool.lattice.forward_backward_kernels import sum_paths_of_words

    total = forward_backward(lattice, acoustic_scale, lm_scale).total
    if total == -np.inf:
        return -np.inf
    arc_word = np.require(lattice.arc_word, np.int32, ["C", "W"])
    costs = weighed_costs(lattice, acoustic_scale, lm_scale)
    return float(sum_paths_of_words(*topology(lattice), arc_word, *costs, np.array(words, np.int32)) - total)
