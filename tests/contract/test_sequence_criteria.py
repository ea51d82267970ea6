"""What every sequence criterion must do, whatever it is made large and wherever it is computed."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from phone_lattices import NUM_PDFS, phone_denominator, phone_problem, phone_tables
from sequence_reference import dense

from asrtool.criterion.sequence import Outer, SequenceOptions, make_criterion
from asrtool.errors import AsrtoolError

OPTIONS = {
    "mmi": SequenceOptions("mmi", 0.3),
    "boosted_mmi": SequenceOptions("mmi", 0.3, boost=0.3),
    "smbr": SequenceOptions("smbr", 0.3, lm_scale=0.5),
    "smbr_former_silence": SequenceOptions("smbr", 0.3, one_silence_class=False),
    "mpfe": SequenceOptions("mpfe", 0.3),
    "mpe": SequenceOptions("mpe", 0.3),
    "mpe_former_silence": SequenceOptions("mpe", 0.3, one_silence_class=False),
}
TABLES = phone_tables()


def kernels(options):
    return make_criterion(options, TABLES, phone_denominator() if options.criterion == "lfmmi" else None)


def torch_sums(options):
    import torch

    from asrtool.criterion.torch_lattice import TorchLatticeCriterion

    return TorchLatticeCriterion(options, TABLES, "cpu", dtype=torch.float64)


VARIANTS = [(make, name) for make in (kernels, torch_sums) for name in OPTIONS] + [(kernels, "lfmmi")]


@pytest.fixture(params=VARIANTS, ids=lambda variant: f"{variant[0].__name__}-{variant[1]}")
def criterion(request):
    make, name = request.param
    return make(OPTIONS.get(name, SequenceOptions("lfmmi", 0.3)))


def run(criterion, problems):
    columns = zip(*problems)
    return criterion(*columns, [f"utterance{index}" for index in range(len(problems))])


def assert_same(one, other):
    assert replace(one, gradient=None) == replace(other, gradient=None)
    for name in ("frame_begin", "label", "weight"):
        assert getattr(one.gradient, name).tolist() == getattr(other.gradient, name).tolist()


def test_results(criterion):
    problems = [phone_problem(seed, num_frames=4 + seed % 3) for seed in range(6)]
    outers = run(criterion, problems)
    for outer, (loglikes, _, _) in zip(outers, problems):
        assert isinstance(outer, Outer), outer
        assert outer.num_frames == outer.gradient.num_frames == len(loglikes)
        assert outer.gradient.weight.dtype == np.float32 and outer.gradient.label.dtype == np.int32
        weights = dense(outer.gradient, NUM_PDFS)
        assert np.count_nonzero(weights) == len(outer.gradient.label)  # each pdf once a frame, none without weight
        np.testing.assert_allclose(weights.sum(1), 0, atol=1e-6)
        assert outer.numerator_in_lattice and outer.rejected_frames == 0
        assert 0 <= outer.silence_share <= 1
        assert outer.numerator_loglike < outer.denominator_loglike
    assert any(len(outer.gradient.label) for outer in outers)


def test_gradient_is_the_objectives_slope(criterion):
    """Central differences in a random direction for each frame; the steps are powers of two, exact in float32."""
    loglikes, numerator, lattice = phone_problem(3)
    (outer,) = run(criterion, [(loglikes, numerator, lattice)])
    weights, step = dense(outer.gradient, NUM_PDFS), np.float32(2**-7)
    assert np.abs(weights).max() > 1e-3
    for frame in range(len(loglikes)):
        direction = np.random.default_rng(frame).choice([-1, 0, 1, 2], NUM_PDFS).astype(np.float32)
        up, down = loglikes.copy(), loglikes.copy()
        up[frame] += step * direction
        down[frame] -= step * direction
        ahead, behind = run(criterion, [(up, numerator, lattice), (down, numerator, lattice)])
        assert (ahead.objective - behind.objective) / (2 * step) == pytest.approx(weights[frame] @ direction, abs=2e-5)


def test_following_the_gradient_makes_the_objective_large(criterion):
    loglikes, numerator, lattice = phone_problem(3)
    objectives = []
    for _ in range(40):
        (outer,) = run(criterion, [(loglikes, numerator, lattice)])
        objectives.append(outer.objective)
        loglikes = loglikes + 4 * dense(outer.gradient, NUM_PDFS).astype(np.float32)
    assert objectives[-1] > objectives[0] + 0.3
    assert np.diff(objectives).min() > -1e-3


def test_utterances_do_not_touch_each_other(criterion):
    problems = [phone_problem(seed, num_frames=4 + seed % 3) for seed in range(5)]
    kept = [
        [array.copy() for array in (loglikes, numerator, lattice.arc_graph_cost)] for loglikes, numerator, lattice in problems
    ]
    together = run(criterion, problems)
    loglikes, numerator, lattice = problems[2]
    bad = [(np.full_like(loglikes, np.nan), numerator, lattice), (loglikes, numerator[:-1], lattice)]
    if criterion.options.criterion != "lfmmi":
        bad.append((loglikes, numerator, None))
        bad.append((loglikes, numerator, replace(lattice, final_cost=np.full_like(lattice.final_cost, np.inf))))
    for problem in bad:
        first, error, last = criterion(*zip(problems[0], problem, problems[4]), ["first", "bad", "last"])
        assert isinstance(error, AsrtoolError) and str(error).startswith("bad: ")
        assert_same(first, together[0])
        assert_same(last, together[4])
    for before, (loglikes, numerator, lattice) in zip(kept, problems):
        for array, now in zip(before, (loglikes, numerator, lattice.arc_graph_cost)):
            np.testing.assert_array_equal(array, now)


def test_results_go_to_other_processes(criterion):
    problems = [phone_problem(1)]
    (outer,), (again,) = run(criterion, problems), run(criterion, problems)
    assert_same(pickle.loads(pickle.dumps(outer)), again)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_torch_equals_the_kernels(options):
    problems = [phone_problem(seed, num_frames=4 + seed % 5) for seed in range(8)]
    for one, other in zip(*(run(make(options), problems) for make in (kernels, torch_sums))):
        numbers = [
            [outer.objective, outer.denominator_loglike, outer.numerator_loglike, outer.silence_share] for outer in (one, other)
        ]
        assert numbers[0] == pytest.approx(numbers[1], rel=1e-9, abs=1e-9)
        np.testing.assert_allclose(dense(one.gradient, NUM_PDFS), dense(other.gradient, NUM_PDFS), atol=1e-6)
