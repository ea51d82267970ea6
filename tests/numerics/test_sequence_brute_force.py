"""MMI, boosted MMI, sMBR and MPFE against all paths of small lattices, listed one by one in float64."""

from dataclasses import replace

import numpy as np
import pytest
from random_lattices import random_compact
from sequence_reference import PDFS, by_enumeration, dense, small_problem, small_tables

from asrtool.criterion import lattice_criterion
from asrtool.criterion.sequence import Outer, SequenceOptions, make_criterion
from asrtool.lattice.convert import to_lattice
from asrtool.lattice.forward_backward import forward_backward
from asrtool.lattice.lattice import Lattice

SCALES = {"acoustic_scale": 0.3, "lm_scale": 0.7}
VARIANTS = {
    "mmi": SequenceOptions("mmi", **SCALES),
    "mmi_all_frames": SequenceOptions("mmi", frame_rejection=False),
    "mmi_rejection": SequenceOptions("mmi", rejection_threshold=0.4, **SCALES),
    "boosted_mmi": SequenceOptions("mmi", boost=0.5, **SCALES),
    "mmi_without_lm": SequenceOptions("mmi", lm_scale=0.0, acoustic_scale=1.0),
    "smbr": SequenceOptions("smbr", **SCALES),
    "smbr_former_silence": SequenceOptions("smbr", one_silence_class=False, **SCALES),
    "smbr_silence_counts_less": SequenceOptions("smbr", silence_accuracy=0.4, **SCALES),
    "mpfe": SequenceOptions("mpfe", **SCALES),
    "mpfe_former_silence": SequenceOptions("mpfe", one_silence_class=False, acoustic_scale=1.0, lm_scale=2.0),
}
TABLES = small_tables()
NUMBERS = "objective", "denominator_loglike", "numerator_acoustic", "numerator_loglike", "silence_share"


def run(options, problems):
    loglikes, numerators, lattices = zip(*problems)
    return make_criterion(options, TABLES)(
        loglikes, numerators, lattices, [f"utterance{index}" for index in range(len(lattices))]
    )


def check(outer, expected):
    assert isinstance(outer, Outer), outer
    assert [getattr(outer, name) for name in NUMBERS] == pytest.approx([expected[name] for name in NUMBERS], rel=1e-9, abs=1e-9)
    np.testing.assert_allclose(dense(outer.gradient, PDFS), expected["gradient"], rtol=1e-6, atol=1e-9)  # kept in float32
    for name in ("numerator_in_lattice", "rejected_frames"):
        assert getattr(outer, name) == expected[name]


@pytest.mark.parametrize("variant", VARIANTS)
def test_equals_the_sum_over_all_paths(variant):
    options = VARIANTS[variant]
    problems = [small_problem(seed) for seed in range(24)]
    all_expected = [by_enumeration(*problem, options, TABLES) for problem in problems]
    for outer, expected in zip(run(options, problems), all_expected):
        check(outer, expected)
    assert {expected["numerator_in_lattice"] for expected in all_expected} == {True, False}
    assert any(expected["rejected_frames"] for expected in all_expected) == (
        variant in ("mmi", "mmi_rejection", "boosted_mmi", "mmi_without_lm")
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_sums_in_float64(variant):
    options = VARIANTS[variant]
    problems = [small_problem(seed) for seed in range(30, 36)]
    criterion = make_criterion(options, TABLES)
    batch, messages = criterion.score(*zip(*problems))
    assert messages == [None] * 6
    sums = criterion.sums(batch)
    gradient = np.zeros((len(batch.row_numerator), PDFS))
    gradient[np.repeat(np.arange(len(gradient)), np.diff(sums.pair_begin)), sums.label] = sums.weight
    expected = np.concatenate([by_enumeration(*problem, options, TABLES)["gradient"] for problem in problems])
    np.testing.assert_allclose(gradient, expected, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(gradient.sum(1), 0, atol=1e-13)


@pytest.mark.parametrize("variant", ["mmi_all_frames", "boosted_mmi", "smbr", "mpfe_former_silence"])
def test_gradient_is_the_objectives_slope(variant):
    """Central differences; the steps are powers of two, so that the float32 scores hold them."""
    options = replace(VARIANTS[variant], frame_rejection=False)
    loglikes, numerator, lattice = small_problem(7)
    loglikes = np.round(loglikes * 256) / np.float32(256)
    (outer,) = run(options, [(loglikes, numerator, lattice)])
    gradient, step = dense(outer.gradient, PDFS), np.float32(2**-8)
    for frame in range(len(loglikes)):
        for pdf in range(PDFS):
            moved = [loglikes.copy(), loglikes.copy()]
            moved[0][frame, pdf] += step
            moved[1][frame, pdf] -= step
            up, down = run(options, [(scores, numerator, lattice) for scores in moved])
            assert (up.objective - down.objective) / (2 * step) == pytest.approx(gradient[frame, pdf], abs=1e-5)


@pytest.mark.parametrize("variant", ["boosted_mmi", "smbr"])
def test_a_batch_is_its_utterances(variant, monkeypatch):
    problems = [small_problem(seed, num_frames=2 + seed % 4) for seed in range(12)]
    together = run(VARIANTS[variant], problems)
    monkeypatch.setattr(lattice_criterion, "ARCS_AT_ONCE", 60)
    for outers in (run(VARIANTS[variant], problems), [run(VARIANTS[variant], [problem])[0] for problem in problems]):
        for one, other in zip(outers, together):
            assert replace(one, gradient=None) == replace(other, gradient=None)
            for name in ("frame_begin", "label", "weight"):
                assert getattr(one.gradient, name).tolist() == getattr(other.gradient, name).tolist()


def test_impossible_scores_take_their_paths_away():
    options, checked = VARIANTS["smbr"], 0
    for seed in range(12):
        loglikes, numerator, lattice = small_problem(seed)
        loglikes[1, 2], loglikes[2, :2] = -np.inf, -np.inf
        lattice.arc_graph_cost[::7] = np.inf
        expected = by_enumeration(loglikes, numerator, lattice, options, TABLES)
        (outer,) = run(options, [(loglikes, numerator, lattice)])
        if expected is None:
            assert str(outer) == "utterance0: no path of its lattice has a probability above 0; decode with a wider beam"
            continue
        assert outer.objective == pytest.approx(expected["objective"], rel=1e-9, abs=1e-12)
        assert outer.denominator_loglike == pytest.approx(expected["denominator_loglike"], rel=1e-9)
        checked += 1
    assert 4 <= checked < 12


def test_word_level_lattices_and_costs_of_their_own():
    """Lattices of Kaldi's compact kind do; and what a lattice says of acoustics counts for nothing."""
    for seed in range(6):
        compact = random_compact(seed, num_frames=5, num_tids=8)
        compact.final_acoustic_cost[compact.final_acoustic_cost < np.inf] = 0  # these become arcs, which are scored anew
        numerator = np.random.default_rng(seed).integers(1, 9, 5).astype(np.int32)
        loglikes = np.random.default_rng(seed).normal(0, 3, (5, PDFS)).astype(np.float32)
        expected = by_enumeration(loglikes, numerator, to_lattice(compact), VARIANTS["smbr"], TABLES)
        compact.arc_acoustic_cost[:] = -100
        (outer,) = run(VARIANTS["smbr"], [(loglikes, numerator, compact)])
        check(outer, expected)


def test_long_and_uneven_lattices():
    """3,000 frames whose arcs' weights lie up to 1,000 nats apart, against sums in logs."""
    num_frames, random = 3000, np.random.default_rng(1)
    frames = np.arange(num_frames)
    arc_frame = np.repeat(frames, 3)
    loglikes = random.normal(0, 300, (num_frames, PDFS)).astype(np.float32)
    tids = random.integers(1, 9, 3 * num_frames).astype(np.int32)
    pdfs = TABLES.tid_to_pdf[tids]
    lattice = Lattice(
        num_frames=num_frames,
        state_frame=np.arange(num_frames + 1, dtype=np.int32),
        arc_start=arc_frame.astype(np.int32),
        arc_end=(arc_frame + 1).astype(np.int32),
        arc_transition_id=tids,
        arc_word=np.zeros_like(tids),
        arc_graph_cost=random.uniform(0, 3, len(tids)).astype(np.float32),
        arc_acoustic_cost=-loglikes[arc_frame, pdfs],
        final_cost=np.append(np.full(num_frames, np.inf), 0).astype(np.float32),
    )
    options = SequenceOptions("mmi", acoustic_scale=1.0, frame_rejection=False)
    (outer,) = run(options, [(loglikes, tids[::3].copy(), lattice)])
    sums = forward_backward(lattice, 1.0)
    assert outer.denominator_loglike == pytest.approx(sums.total, rel=1e-12)
    posterior = np.zeros_like(loglikes, np.float64)
    np.add.at(posterior, (arc_frame, pdfs), sums.posterior)
    wanted = np.zeros_like(posterior)
    wanted[frames, pdfs[::3]] = 1
    np.testing.assert_allclose(dense(outer.gradient, PDFS), wanted - posterior, atol=1e-6)


def test_the_numerators_best_path_by_hand():
    """Transition-ids 3, 4 and 8 share pdf 2. Of the paths that keep to it 0-1-4 costs 1 + 3, 0-2-4 2 + 1, 0-2-3 2 + 0.5 + 4."""
    arcs = [(0, 1, 3, 1.0), (0, 2, 4, 2.0), (0, 2, 6, 0.1), (1, 4, 8, 3.0), (2, 3, 3, 0.5), (2, 4, 4, 1.0), (2, 4, 5, 0.1)]
    start, end, tid = np.array([arc[:3] for arc in arcs], np.int32).T
    graph = np.array([arc[3] for arc in arcs], np.float32)
    loglikes = np.arange(10, dtype=np.float32).reshape(2, PDFS)
    inf = np.inf
    for final, best in [([4.0, 1.0], 4.0), ([1.0, 10.0], 3.5), ([0.0, 1.0], 2.5), ([inf, 0.25], 3.25), ([0.0, inf], 2.5)]:
        lattice = Lattice(
            2, np.array([0, 1, 1, 2, 2], np.int32), *(one.copy() for one in (start, end, tid)), np.zeros(7, np.int32), graph,
            np.zeros(7, np.float32), np.array([inf, inf, inf, *final], np.float32),
        )  # fmt: skip
        (outer,) = run(SequenceOptions("mmi", 1.0, lm_scale=0.5), [(loglikes, np.array([8, 3], np.int32), lattice)])
        assert outer.numerator_acoustic == 2 + 7
        assert outer.numerator_loglike == pytest.approx(9 - 0.5 * best)


def test_one_path_leaves_nothing_to_learn():
    loglikes, _, lattice = small_problem(2, states_a_frame=1)
    keep = np.append(True, np.diff(lattice.arc_start) > 0)
    columns = "arc_start", "arc_end", "arc_transition_id", "arc_word", "arc_graph_cost", "arc_acoustic_cost"
    chain = replace(lattice, **{name: getattr(lattice, name)[keep] for name in columns})
    silent = np.count_nonzero(TABLES.tid_is_silence[chain.arc_transition_id])
    assert 0 < silent < 4
    for variant, options in VARIANTS.items():
        (outer,) = run(options, [(loglikes, chain.arc_transition_id.copy(), chain)])
        assert len(outer.gradient.label) == 0
        assert outer.num_frames == outer.gradient.num_frames == 4
        silence = options.silence_accuracy if options.one_silence_class else 0.0
        expected = 0 if options.criterion == "mmi" else 4 - silent * (1 - silence)
        assert outer.objective == pytest.approx(expected, abs=1e-12), variant
