"""The torch forward-backward over lattices against the kernels, its derivative against finite differences, and its order."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from phone_lattices import NUM_PDFS, phone_problem, phone_tables
from random_lattices import all_paths, random_compact
from sequence_reference import PDFS, dense, small_problem, small_tables

from asrtool.criterion.mpe import PhoneSpans
from asrtool.criterion.sequence import Outer, PhoneTables, SequenceOptions, make_criterion
from asrtool.criterion.torch_lattice import LatticeObjective, TorchLatticeCriterion
from asrtool.criterion.torch_lattice_batch import prepare
from asrtool.criterion.torch_lattice_kernels import order_by_level, reduce_scores
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.alignment import read_text_ints
from asrtool.io.kaldi_table import MatrixReader
from asrtool.lattice.archive import read_lattices
from asrtool.lattice.lattice import Lattice

OPTIONS = {
    "mmi": SequenceOptions("mmi", 0.3, lm_scale=0.7),
    "mmi_rejection": SequenceOptions("mmi", 0.3, rejection_threshold=0.2),
    "boosted_mmi": SequenceOptions("mmi", 0.3, boost=0.5),
    "smbr": SequenceOptions("smbr", 0.3),
    "smbr_former_silence": SequenceOptions("smbr", 1.0, one_silence_class=False),
    "smbr_silence_counts_less": SequenceOptions("smbr", 0.3, silence_accuracy=0.5),
    "mpfe": SequenceOptions("mpfe", 0.3),
    "mpe": SequenceOptions("mpe", 0.3),
    "mpe_former_silence": SequenceOptions("mpe", 0.3, one_silence_class=False),
}
NUMBERS = "objective", "denominator_loglike", "numerator_acoustic", "numerator_loglike", "silence_share"
TABLES = phone_tables()
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(params=OPTIONS)
def options(request):
    return OPTIONS[request.param]


def names_of(problems):
    return [f"utterance{index}" for index in range(len(problems))]


def compare(outers, expected, num_pdfs, relative, gradient):
    for outer, other in zip(outers, expected, strict=True):
        assert isinstance(outer, Outer), outer
        assert [getattr(outer, name) for name in NUMBERS] == pytest.approx(
            [getattr(other, name) for name in NUMBERS], rel=relative, abs=relative
        )
        for name in ("num_frames", "rejected_frames", "numerator_in_lattice"):
            assert getattr(outer, name) == getattr(other, name)
        difference = np.abs(dense(outer.gradient, num_pdfs) - dense(other.gradient, num_pdfs))
        assert difference.max() <= gradient * max(np.abs(other.gradient.weight).max(initial=0), 0.01)


@pytest.fixture(scope="module")
def kaldi_problems(kaldi_reference):
    directory = kaldi_reference / "lattice"
    model = TransitionModel.read_file(directory / "final.mdl")
    tables = PhoneTables.from_model(model, map(int, (directory / "silence.csl").read_text().split(":")))
    loglikes, alignments = dict(MatrixReader(str(directory / "loglikes.ark")).items()), read_text_ints(directory / "ref_ali.txt")
    lattices = [(name, lattice) for name, lattice in read_lattices(directory / "raw_lat.gz") if lattice.num_arcs < 25000]
    assert len(lattices) == 5
    return tables, [(loglikes[name], np.array(alignments[name], np.int32), lattice, name) for name, lattice in lattices]


def test_equals_the_kernels_on_kaldis_lattices(kaldi_problems, options):
    tables, problems = kaldi_problems
    options = replace(options, acoustic_scale=0.083333, lm_scale=1.0)
    columns = list(zip(*problems))
    expected = make_criterion(options, tables)(*columns)
    for dtype, relative, gradient in ((torch.float64, 1e-9, 1e-6), (torch.float32, 2e-6, 1e-4)):
        found = TorchLatticeCriterion(options, tables, dtype=dtype)(*columns)
        compare(found, expected, tables.num_pdfs, relative, gradient)
    assert max(np.abs(outer.gradient.weight).max() for outer in expected) > 0.02


def test_equals_the_kernels_with_other_scores(kaldi_problems):
    """As with stored lattices: the arcs' own acoustic costs, by which the sums are kept near 0, are wrong now, or not there."""
    tables, problems = kaldi_problems
    random, options = np.random.default_rng(0), SequenceOptions("smbr", 0.083333)
    columns = [list(column) for column in zip(*problems)]
    columns[0] = [(scores + random.normal(0, 5, scores.shape) - 300).astype(np.float32) for scores in columns[0]]
    columns[2][1] = replace(columns[2][1], arc_acoustic_cost=np.zeros_like(columns[2][1].arc_acoustic_cost))
    columns[2][2] = replace(columns[2][2], arc_acoustic_cost=columns[2][2].arc_acoustic_cost * np.float32(np.nan))
    expected = make_criterion(options, tables)(*columns)
    for dtype, relative, gradient in ((torch.float64, 1e-9, 1e-6), (torch.float32, 1e-5, 1e-4)):
        compare(TorchLatticeCriterion(options, tables, dtype=dtype)(*columns), expected, tables.num_pdfs, relative, gradient)


def test_dense_gradient_and_given_tensors(options):
    problems = [phone_problem(seed, num_frames=4 + seed % 3) for seed in range(6)]
    columns = [*zip(*problems), names_of(problems)]
    expected = make_criterion(options, TABLES)(*columns)
    tensors = [torch.tensor(loglikes, requires_grad=index == 2) for index, loglikes in enumerate(columns[0])]
    tensors[4][1, 3] = torch.nan
    criterion = TorchLatticeCriterion(options, TABLES, dtype=torch.float64)
    sums, kept, errors = criterion.sums(tensors, *columns[1:])
    assert kept == [0, 1, 2, 3, 5]
    assert [error is None for error in errors] == [True] * 4 + [False, True]
    assert str(errors[4]) == "utterance4: frame 1 has a log-likelihood of NaN or +inf; lower the learning rate"
    weights = np.concatenate([dense(expected[index].gradient, NUM_PDFS) for index in kept])
    np.testing.assert_allclose(sums.gradient.numpy(), weights, atol=1e-7)
    assert sums.objective.tolist() == pytest.approx([expected[index].objective for index in kept], rel=1e-9, abs=1e-9)
    compare([outer for outer in criterion(tensors, *columns[1:]) if isinstance(outer, Outer)],
            [expected[index] for index in kept], NUM_PDFS, 1e-9, 1e-6)  # fmt: skip


def test_is_the_derivative_that_finite_differences_give(options):
    options = replace(options, frame_rejection=False)
    problems = [phone_problem(seed, num_frames=3 + seed % 2) for seed in (1, 2, 3)]
    _, numerators, lattices = zip(*problems)
    phones = PhoneSpans(TABLES, options.one_silence_class) if options.criterion == "mpe" else None
    batch, messages = prepare(options, TABLES, numerators, lattices, phones, dtype=torch.float64)
    assert messages == [None] * 3
    loglikes = torch.tensor(np.concatenate([problem[0] for problem in problems]).astype(np.float64), requires_grad=True)
    assert torch.autograd.gradcheck(LatticeObjective.apply, (loglikes, batch), eps=1e-5, atol=1e-7, rtol=1e-5)
    (LatticeObjective.apply(loglikes, batch) * torch.tensor([1.0, 0.0, -2.0])).sum().backward()
    sums = TorchLatticeCriterion(options, TABLES, dtype=torch.float64).sums(*zip(*problems), names_of(problems))[0]
    weights = torch.tensor([1.0, 0.0, -2.0]).repeat_interleave(torch.tensor([len(problem[0]) for problem in problems]))
    torch.testing.assert_close(loglikes.grad, sums.gradient * weights[:, None], rtol=0, atol=1e-12)


def test_impossible_scores(options):
    """-inf, alone on some paths or on all of them, gives what the kernels give."""
    if options.criterion == "mpe":
        tables, problems = TABLES, [phone_problem(seed) for seed in range(12)]
    else:
        tables, problems = small_tables(), [small_problem(seed) for seed in range(12)]
    for loglikes, _, lattice in problems:
        loglikes[1, 2], loglikes[2, :2] = -np.inf, -np.inf
        lattice.arc_graph_cost[::7] = np.inf
    columns = [*zip(*problems), names_of(problems)]
    expected = make_criterion(options, tables)(*columns)
    for dtype in (torch.float64, torch.float32):
        found = TorchLatticeCriterion(options, tables, dtype=dtype)(*columns)
        assert [str(one) for one in found if not isinstance(one, Outer)] == [
            str(one) for one in expected if not isinstance(one, Outer)
        ]
        possible = [index for index, outer in enumerate(expected) if isinstance(outer, Outer)]
        assert 0 < len(possible) < 12
        numbers = [([outer for outer in some if isinstance(outer, Outer)]) for some in (found, expected)]
        compare(*numbers, tables.num_pdfs, 1e-5, 1e-4)


def test_names_what_is_wrong():
    """The same errors as of the kernels, and the others as if alone."""
    loglikes, numerator, lattice = small_problem(1)
    tids, tables = lattice.arc_transition_id, small_tables()
    bad = [
        (loglikes[0], numerator, lattice),
        (loglikes[:, :-1], numerator, lattice),
        (loglikes, numerator[1:], lattice),
        (loglikes, numerator * 0, lattice),
        (loglikes, numerator, None),
        (loglikes, numerator, replace(lattice, num_frames=5)),
        (loglikes, numerator, replace(lattice, arc_transition_id=tids + 7)),
        (loglikes, numerator, replace(lattice, arc_transition_id=np.maximum(tids, 1))),
        (loglikes, numerator, replace(lattice, final_cost=np.full_like(lattice.final_cost, np.inf))),
        (loglikes, numerator, replace(lattice, arc_graph_cost=lattice.arc_graph_cost * np.float32(np.nan))),
    ]
    problems = [small_problem(2), *bad, small_problem(4)]
    columns, options = [*zip(*problems), names_of(problems)], SequenceOptions("smbr")
    expected, found = (make(options, tables)(*columns) for make in (make_criterion, TorchLatticeCriterion))
    errors = [[str(one) for one in outers[1:-1]] for outers in (found, expected)]
    assert errors[0] == errors[1]
    assert len({re.sub(r"utterance\d+", "", error) for error in errors[0]}) >= 9
    compare([found[0], found[-1]], [expected[0], expected[-1]], tables.num_pdfs, 1e-5, 1e-4)
    only_bad = TorchLatticeCriterion(options, tables)(*(column[1:-1] for column in columns))
    assert [str(error) for error in only_bad] == errors[0]
    assert TorchLatticeCriterion(options, tables)([], [], [], []) == []


def test_word_level_lattices():
    tables, options = small_tables(), SequenceOptions("smbr", 0.3)
    compacts = [random_compact(seed, num_frames=5, num_tids=8) for seed in range(4)]
    random = np.random.default_rng(0)
    loglikes = [random.normal(0, 3, (5, PDFS)).astype(np.float32) for _ in compacts]
    numerators = [random.integers(1, 9, 5).astype(np.int32) for _ in compacts]
    columns = loglikes, numerators, compacts, names_of(compacts)
    found = TorchLatticeCriterion(options, tables, dtype=torch.float64)(*columns)
    compare(found, make_criterion(options, tables)(*columns), PDFS, 1e-9, 1e-6)


@pytest.mark.parametrize("criterion", ["mmi", "smbr"])
def test_long_lattice_in_float32(criterion):
    """2,000 frames, whose log-likelihoods lie 20 nats apart and whose paths' log weights are about 10,000."""
    num_frames, random, tables = 2000, np.random.default_rng(1), small_tables()
    arc_frame = np.repeat(np.arange(num_frames), 3)
    loglikes = random.normal(-50, 20, (num_frames, PDFS)).astype(np.float32)
    tids = random.integers(1, 9, 3 * num_frames).astype(np.int32)
    lattice = Lattice(
        num_frames=num_frames,
        state_frame=np.arange(num_frames + 1, dtype=np.int32),
        arc_start=arc_frame.astype(np.int32),
        arc_end=(arc_frame + 1).astype(np.int32),
        arc_transition_id=tids,
        arc_word=np.zeros_like(tids),
        arc_graph_cost=random.uniform(0, 3, len(tids)).astype(np.float32),
        arc_acoustic_cost=-loglikes[arc_frame, tables.tid_to_pdf[tids]],
        final_cost=np.append(np.full(num_frames, np.inf), 0).astype(np.float32),
    )
    columns, options = ([loglikes], [tids[::3].copy()], [lattice], ["long"]), SequenceOptions(criterion)
    found = TorchLatticeCriterion(options, tables)(*columns)
    compare(found, make_criterion(options, tables)(*columns), PDFS, 1e-5, 1e-4)


def test_order_by_level():
    """Against the longest path to each state, found by walking back from it."""
    for seed in range(10):
        lattice = small_problem(seed, num_frames=5)[2]
        start, end, num_states = lattice.arc_start, lattice.arc_end, lattice.num_states

        def depth(state, start=start, end=end):
            return max((1 + depth(other) for other in start[end == state]), default=0)

        level = np.array([depth(state) for state in range(num_states)])
        number, state_begin, into, into_begin, out_of, out_begin = order_by_level(start, end, num_states)
        assert number[np.argsort(level, kind="stable")].tolist() == list(range(num_states))
        assert state_begin.tolist() == [np.count_nonzero(level < one) for one in range(level.max() + 2)]
        assert into.tolist() == np.argsort(number[end], kind="stable").tolist()
        assert into_begin.tolist() == [np.count_nonzero(level[end] < one) for one in range(level.max() + 2)]
        assert out_of.tolist() == np.argsort(number[start[into]], kind="stable").tolist()
        assert out_begin.tolist() == [np.count_nonzero(level[start] < one) for one in range(level.max() + 2)]


def test_reduced_scores_keep_what_paths_weigh():
    """Every whole path loses the same, and the best one has 0."""
    for seed in range(6):
        lattice = small_problem(seed)[2]
        score, random = -lattice.arc_graph_cost.astype(np.float64), np.random.default_rng(seed)
        reference = np.where(lattice.arc_transition_id > 0, random.normal(0, 3, len(score)), 0)
        final = -lattice.final_cost.astype(np.float64)
        new_score, new_final = score.copy(), final.copy()
        begin = np.array([0, lattice.num_states])
        (potential,) = reduce_scores(lattice.arc_start, lattice.arc_end, new_score, reference, new_final, begin)
        best = -np.inf
        for path in all_paths(lattice):
            arcs, last = list(path.arcs), path.last_state
            weight = new_score[arcs].sum() + new_final[last]
            assert weight + potential == pytest.approx(score[arcs].sum() + final[last], rel=1e-12, abs=1e-12)
            best = max(best, weight + reference[arcs].sum())
        assert best == pytest.approx(0, abs=1e-12)
