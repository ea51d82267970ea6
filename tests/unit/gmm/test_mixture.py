"""Splitting and merging: targets by occupancy, and what stays the same."""

import numpy as np
import pytest

from asrtool.gmm.diag_gmm import AmDiagGmm
from asrtool.gmm.mixture import merge_by_count, split_by_count, split_targets


def slow_targets(occupancies, target, power, min_count):
    """Kaldi's loop, a look at all pdfs each time."""
    targets = [1] * len(occupancies)
    closed = set()
    while sum(targets) < target:
        keys = [occupancy**power / size for occupancy, size in zip(occupancies, targets)]
        keys = [0 if pdf in closed else key for pdf, key in enumerate(keys)]
        best = int(np.argmax(keys))
        if keys[best] == 0:
            break
        if (targets[best] + 1) * min_count >= occupancies[best]:
            closed.add(best)
        else:
            targets[best] += 1
    return targets


@pytest.mark.parametrize(("target", "power"), [(4, 0.2), (30, 0.25), (77, 0.5), (500, 1.0)])
def test_targets_equal_the_slow_loop(target, power):
    occupancies = np.random.default_rng(0).uniform(0, 2000, 20)
    occupancies[3] = 0
    assert split_targets(occupancies, target, power, 20).tolist() == slow_targets(occupancies, target, power, 20)


def model_of(sizes, dim=4):
    random = np.random.default_rng(5)
    weights = np.concatenate([random.dirichlet(np.ones(size)) for size in sizes])
    means, variances = random.normal(size=(sum(sizes), dim)), random.uniform(0.5, 2, (sum(sizes), dim))
    return AmDiagGmm.from_moments(np.cumsum([0, *sizes]), weights, means, variances)


def pdf_moments(model):
    """(weight sum, mean, second moment) of each pdf."""
    for begin, end in zip(model.pdf_begin[:-1], model.pdf_begin[1:]):
        weights = model.weights[begin:end, None].astype(float)
        means, variances = model.means[begin:end], model.variances[begin:end]
        yield weights.sum(), (weights * means).sum(axis=0), (weights * (variances + means**2)).sum(axis=0)


def test_split_keeps_weights_and_means_and_halves_the_heaviest():
    before = model_of([1, 2, 3])
    after = split_by_count(before, np.array([1000.0, 1000.0, 50.0]), 12, power=0.25, min_count=20, perturb_factor=0.01, seed=1)
    assert after.pdf_begin.tolist() == [0, 5, 10, 13], "the third pdf keeps its three, however rare it is"
    for one, two in zip(pdf_moments(before), pdf_moments(after)):
        assert np.isclose(one[0], two[0]) and np.allclose(one[1], two[1], atol=1e-5) and np.allclose(one[2], two[2], atol=1e-2)
    assert after.weights[:5].min() >= before.weights[0] / 8
    again = split_by_count(before, np.array([1000.0, 1000.0, 50.0]), 12, power=0.25, seed=1)
    assert np.array_equal(after.means_invvars, again.means_invvars)
    other = split_by_count(before, np.array([1000.0, 1000.0, 50.0]), 12, power=0.25, seed=2)
    assert not np.array_equal(after.means_invvars, other.means_invvars)


def test_split_moves_halves_apart_by_the_stated_part_of_a_deviation():
    before = AmDiagGmm.from_moments(np.array([0, 1]), np.ones(1), np.zeros((1, 2000)), np.full((1, 2000), 9.0))
    after = split_by_count(before, np.array([1000.0]), 2, perturb_factor=0.01)
    distance = (after.means[0] - after.means[1]) / 2
    assert np.isclose(distance.std(), 0.01 * 3, rtol=0.1)


def test_merge_joins_the_nearest_and_keeps_the_moments():
    means = np.array([[0.0, 0.0], [5.0, 5.0], [0.1, 0.0], [-5.0, 5.0]])
    before = AmDiagGmm.from_moments(np.array([0, 4]), np.array([0.2, 0.3, 0.3, 0.2]), means, np.ones((4, 2)))
    after = merge_by_count(before, np.array([1000.0]), 3)
    assert after.num_gaussians == 3
    assert np.any(np.all(np.isclose(after.means, [0.06, 0.0], atol=1e-5), axis=1))
    single = merge_by_count(before, np.array([1000.0]), 1)
    for one, two in zip(pdf_moments(before), pdf_moments(single)):
        assert all(np.allclose(a, b, atol=1e-4) for a, b in zip(one, two))
