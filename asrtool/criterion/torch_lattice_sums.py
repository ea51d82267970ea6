"""Forward-backward with the expectation semiring over a batch of lattices in torch, all arcs of a level at once.

The forward pass sums log weights, which gives every arc's share of the paths to its end state. Given the shares, expected
accuracies and the way back are linear: the backward pass is the derivative of the forward one, with no exp.

So that float32 serves for the logs, they are kept near 0: potentials of the states are taken off (see DeviceLattices), and of
what the log-likelihoods add, the largest of each row. What is linear is in float64 always, for errors of the shares' sums would
add up over an utterance.
"""

from dataclasses import dataclass

import torch

from asrtool.criterion.torch_lattice_batch import DeviceLattices
from asrtool.criterion.torch_lattice_kernels import IMPOSSIBLE


@dataclass
class BatchSums:
    """Results of L lattices over F rows (frames) and P pdfs, on the device.

    Attributes:
        objective: float64 [L]; NaN or infinite where a lattice or its log-likelihoods allow no path.
        gradient: [F, P] of the sums' dtype: d objective / d log-likelihood, 0 in rejected rows.
        numerator_acoustic, denominator_loglike, silence: float64 [L]; the last the number of frames expected in silence.
        numerator_graph: float64 [L], -lm_scale x graph cost of the best path with the numerator's pdfs; -inf without any.
        rejected: int64 [L].
    """

    objective: torch.Tensor
    gradient: torch.Tensor
    numerator_acoustic: torch.Tensor
    denominator_loglike: torch.Tensor
    silence: torch.Tensor
    rejected: torch.Tensor
    numerator_graph: torch.Tensor


def lattice_sums(lattices: DeviceLattices, loglikes: torch.Tensor) -> BatchSums:
    """Objectives and outer gradients of a batch.

    Args:
        loglikes: [F, P] on the lattices' device; -inf may stand in it.
    """
    with torch.no_grad():
        scores, taken_off = _arc_scores(lattices, loglikes)
        alpha = _log_sums(lattices, scores)
        share = (scores + alpha[lattices.arc_start] - alpha[lattices.arc_end]).exp_().double()
        of_state = share.new_zeros(len(alpha))
        share /= of_state.index_add(0, lattices.arc_end, share)[lattices.arc_end]
        total = alpha[lattices.last_state].double() + lattices.potential + taken_off
        total = torch.where(total < IMPOSSIBLE / 2, -torch.inf, total)
        linear = _Linear(lattices, share)
        of_state[lattices.last_state] = 1.0
        posterior = share * linear.backward(of_state)[lattices.arc_end]
        frame_posterior = posterior[lattices.emitting]
        wanted = lattices.row_numerator[:, None]
        acoustic = torch.zeros_like(total).index_add_(
            0, lattices.row_lattice, lattices.acoustic_scale * loglikes.gather(1, wanted)[:, 0].double()
        )
        silence = torch.zeros_like(total)
        silence.index_add_(0, lattices.row_lattice[lattices.emitting_row], frame_posterior * lattices.silent)
        rejected = torch.zeros(len(total), dtype=torch.int64, device=total.device)
        gradient = torch.zeros(loglikes.shape, dtype=alpha.dtype, device=alpha.device)
        if len(lattices.arc_accuracy):
            objective, of_arcs = _expected_accuracy(lattices, share, posterior, linear)
            _add_up(gradient, lattices, of_arcs[lattices.emitting] * lattices.acoustic_scale)
        else:
            _add_up(gradient, lattices, frame_posterior)
            refused = gradient.gather(1, wanted)[:, 0] < lattices.threshold
            rejected.index_add_(0, lattices.row_lattice, refused.long())
            gradient.scatter_add_(1, wanted, torch.full_like(gradient[:, :1], -1.0)).mul_(-lattices.acoustic_scale)
            gradient.masked_fill_(refused[:, None], 0.0)
            graph = lattices.numerator_graph
            objective = acoustic + torch.where(graph > -torch.inf, graph, 0.0) - total
    return BatchSums(objective, gradient, acoustic, total, silence, rejected, lattices.numerator_graph)


def _arc_scores(lattices: DeviceLattices, loglikes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """([A] log weights near 0, float64 [L] what all paths of a lattice have lost by that)."""
    scores, rows = lattices.arc_score.clone(), lattices.emitting_row
    emitted = loglikes[rows, lattices.emitting_pdf].to(scores.dtype).mul_(lattices.acoustic_scale)
    emitted.add_(scores[lattices.emitting]).clamp_(min=IMPOSSIBLE)
    largest = emitted.new_full((len(loglikes),), IMPOSSIBLE).scatter_reduce_(0, rows, emitted, "amax")
    largest.masked_fill_(largest < IMPOSSIBLE / 2, 0.0)
    scores[lattices.emitting] = emitted - largest[rows]
    lost = torch.zeros_like(lattices.potential).index_add_(0, lattices.row_lattice, largest.double())
    return scores, lost


def _log_sums(lattices: DeviceLattices, scores: torch.Tensor) -> torch.Tensor:
    """[S] log of the sum over the paths to each state; about IMPOSSIBLE or less without any."""
    alpha, total = scores.new_full((lattices.num_states,), -torch.inf), scores.new_zeros(lattices.num_states)
    alpha[: lattices.state_counts[0]] = IMPOSSIBLE
    alpha[lattices.first_state] = 0.0
    by_state = (values.split(lattices.state_counts) for values in (alpha, total))
    by_arc = (values.split(lattices.into_counts) for values in (lattices.arc_start, lattices.end_in_level, scores))
    for largest, sums, start, end, score in list(zip(*by_state, *by_arc))[1:]:
        terms = alpha.index_select(0, start).add_(score)
        largest.scatter_reduce_(0, end, terms, "amax")
        sums.index_add_(0, end, terms.sub_(largest.index_select(0, end)).exp_())
        largest.add_(sums.log_())
    return alpha


class _Linear:
    """The steps of which each state takes up share [A] x value of the other end of its arcs, level after level."""

    def __init__(self, lattices: DeviceLattices, share: torch.Tensor) -> None:
        self.counts = lattices.state_counts
        into, out = lattices.into_counts, lattices.out_counts
        columns = lattices.arc_start, lattices.end_in_level, share
        self.forward_steps = list(zip(*(values.split(into) for values in columns)))[1:]
        columns = lattices.arc_end[lattices.by_start], lattices.start_in_level, share[lattices.by_start]
        self.backward_steps = list(zip(*(values.split(out) for values in columns)))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Adds to values [S], in place, those of the starts of the arcs into each state."""
        for state, (other, place, share) in zip(values.split(self.counts)[1:], self.forward_steps):
            state.index_add_(0, place, values.index_select(0, other).mul_(share))
        return values

    def backward(self, values: torch.Tensor) -> torch.Tensor:
        """Adds to values [S], in place, those of the ends of the arcs out of each state, from the last level on."""
        for state, (other, place, share) in zip(reversed(values.split(self.counts)), reversed(self.backward_steps)):
            if len(other):
                state.index_add_(0, place, values.index_select(0, other).mul_(share))
        return values


def _expected_accuracy(lattices: DeviceLattices, share: torch.Tensor, posterior: torch.Tensor, linear: _Linear):
    """(float64 [L] expected accuracy of the lattices; float64 [A] its derivative by the arcs' log weights)."""
    start, end, accuracy = lattices.arc_start, lattices.arc_end, lattices.arc_accuracy
    mean = linear.forward(share.new_zeros(lattices.num_states).index_add_(0, end, share * accuracy))
    here = posterior * (mean[start] + accuracy - mean[end])
    beyond = linear.backward(torch.zeros_like(mean).index_add_(0, start, here))
    return mean[lattices.last_state], here.add_(share * beyond[end])


def _add_up(gradient: torch.Tensor, lattices: DeviceLattices, values: torch.Tensor) -> None:
    """Adds the emitting arcs' values [E] to their rows and pdfs."""
    place = lattices.emitting_row * gradient.shape[1] + lattices.emitting_pdf
    gradient.view(-1).index_add_(0, place, values.to(gradient.dtype))
