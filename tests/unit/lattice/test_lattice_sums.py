"""Forward-backward and posteriors against sums over all paths."""

import numpy as np
import pytest
from random_lattices import all_paths, random_compact, random_lattice, random_lattices

from asrtool.errors import AsrtoolError
from asrtool.lattice.arrays import path_lattice, state_frames, weighed_costs
from asrtool.lattice.forward_backward import forward_backward, log_probability_of_words
from asrtool.lattice.posteriors import posteriors

ACOUSTIC, LM = 0.3, 0.8


def path_shares(paths):
    log_weights = np.array([-path.cost(ACOUSTIC, LM) for path in paths])
    total = np.logaddexp.reduce(log_weights)
    return total, np.exp(log_weights - total)


def test_sums_equal_those_over_all_paths():
    whole = 0
    for lattice in random_lattices(25):
        paths, sums = all_paths(lattice), forward_backward(lattice, ACOUSTIC, LM)
        if not paths:
            assert sums.total == -np.inf and not sums.posterior.any()
            continue
        whole += 1
        total, shares = path_shares(paths)
        expected = np.zeros(lattice.num_arcs)
        for path, share in zip(paths, shares):
            expected[list(path.arcs)] += share
        assert sums.total == pytest.approx(total, abs=1e-12)
        np.testing.assert_allclose(sums.posterior, expected, atol=1e-13)
        final_cost = weighed_costs(lattice, ACOUSTIC, LM)[1]
        assert np.logaddexp.reduce(sums.alpha - final_cost) == pytest.approx(total, abs=1e-12)
    assert whole > 30


def test_alpha_and_beta_by_hand():
    lattice = random_lattice(3)
    sums = forward_backward(lattice, ACOUSTIC, LM)
    arc_cost, final_cost = weighed_costs(lattice, ACOUSTIC, LM)
    alpha, beta = np.full(lattice.num_states, -np.inf), -final_cost
    alpha[0] = 0
    for arc in range(lattice.num_arcs):
        start, end = lattice.arc_start[arc], lattice.arc_end[arc]
        alpha[end] = np.logaddexp(alpha[end], alpha[start] - arc_cost[arc])
    for arc in reversed(range(lattice.num_arcs)):
        start, end = lattice.arc_start[arc], lattice.arc_end[arc]
        beta[start] = np.logaddexp(beta[start], beta[end] - arc_cost[arc])
    np.testing.assert_allclose(sums.alpha, alpha, atol=1e-12)
    np.testing.assert_allclose(sums.beta, beta, atol=1e-12)


def test_costs_far_from_zero_neither_overflow_nor_vanish():
    lattice = random_lattice(5)
    for shift in (-3e5, 3e5):
        moved = random_lattice(5)
        moved.arc_acoustic_cost = lattice.arc_acoustic_cost.astype(np.float64) + np.where(
            lattice.arc_transition_id != 0, shift, 0
        )
        sums, expected = forward_backward(moved, 1.0), forward_backward(lattice, 1.0)
        assert sums.total == pytest.approx(expected.total - shift * lattice.num_frames, rel=1e-12)
        np.testing.assert_allclose(sums.posterior, expected.posterior, atol=1e-7)


def test_posteriors_equal_those_over_all_paths():
    for lattice in random_lattices(25):
        paths = all_paths(lattice)
        if not paths:
            with pytest.raises(AsrtoolError, match="final state"):
                posteriors(lattice, ACOUSTIC, LM)
            continue
        expected = np.zeros((lattice.num_frames, 6))
        for path, share in zip(paths, path_shares(paths)[1]):
            expected[np.arange(lattice.num_frames), path.transition_ids] += share
        post = posteriors(lattice, ACOUSTIC, LM)
        found = np.zeros_like(expected)
        found[post.frame, post.label] = post.weight
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert len(post.label) == (expected > 0).sum()
        assert all((np.diff(post.label[a:b]) > 0).all() for a, b in zip(post.frame_begin, post.frame_begin[1:]))


def test_a_path_alone_has_posteriors_of_one():
    lattice = random_compact(1)
    path = all_paths(lattice)[2]
    alone = path_lattice(lattice, np.array(path.arcs, np.int32))
    assert [other.words for other in all_paths(alone)] == [path.words]
    post = posteriors(alone, ACOUSTIC)
    assert post.label.tolist() == list(path.transition_ids)
    np.testing.assert_allclose(post.weight, 1)


def test_the_probability_of_words():
    for lattice in random_lattices(8):
        paths = all_paths(lattice)
        shares = path_shares(paths)[1] if paths else []
        for words in {path.words for path in paths} | {(1,) * 12}:
            expected = sum(share for path, share in zip(paths, shares) if path.words == words)
            assert np.exp(log_probability_of_words(lattice, words, ACOUSTIC, LM)) == pytest.approx(expected, abs=1e-13)


def test_bad_lattices_are_named():
    lattice = random_lattice(3)
    lattice.arc_graph_cost[2] = np.nan
    with pytest.raises(AsrtoolError, match="NaN"):
        forward_backward(lattice, 1.0)
    lattice = random_lattice(3)
    lattice.arc_start[0], lattice.arc_end[0] = lattice.arc_end[0], lattice.arc_start[0]
    with pytest.raises(AsrtoolError, match="bad lattice"):
        forward_backward(lattice, 1.0)
    lattice = random_lattice(3)
    lattice.arc_end[-1] = lattice.num_states
    with pytest.raises(AsrtoolError, match="it lacks"):
        forward_backward(lattice, 1.0)
    with pytest.raises(AsrtoolError, match="finite"):
        forward_backward(random_lattice(3), np.nan)
    compact = random_compact(1)
    compact.num_frames += 1
    with pytest.raises(AsrtoolError, match="transition-ids"):
        state_frames(compact)


def test_an_empty_lattice_has_no_paths():
    empty = random_lattice(0, num_frames=0)
    empty.final_cost[:] = np.inf
    assert forward_backward(empty, 1.0).total == -np.inf
