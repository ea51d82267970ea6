"""Minimum phone error against all paths of small lattices, figures by hand, and phones and lattices that Kaldi made."""

import gzip
from dataclasses import replace

import numpy as np
import pytest
from mpe_reference import accuracy, by_enumeration, phone_spans
from phone_lattices import NUM_PDFS, phone_model, phone_problem, phone_tables
from sequence_reference import dense

from asrtool.criterion.mpe import MpeCriterion, PhoneSpans
from asrtool.criterion.sequence import Outer, PhoneTables, SequenceOptions, make_criterion
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.alignment import read_alignments, read_text_ints
from asrtool.io.kaldi_table import MatrixReader
from asrtool.lattice.archive import read_lattices
from asrtool.lattice.arrays import path_lattice
from asrtool.lattice.lattice import Lattice

VARIANTS = {
    "one silence": SequenceOptions("mpe", 0.3, lm_scale=0.7),
    "silence passed over": SequenceOptions("mpe", 1.0, lm_scale=2.0, one_silence_class=False),
}
TABLES = phone_tables()


def run(options, problems, **settings):
    return MpeCriterion(options, TABLES, **settings)(*zip(*problems), [f"utterance{index}" for index in range(len(problems))])


def tree_lattice(alignments, seed=0):
    """A path for each alignment of the same length, which share only the start."""
    num_frames, random = len(alignments[0]), np.random.default_rng(seed)
    number = {(path, frame): 1 + (frame - 1) * len(alignments) + path if frame else 0 for path in range(len(alignments))
              for frame in range(num_frames + 1)}  # fmt: skip
    arcs = sorted(
        (number[path, frame], number[path, frame + 1], tid)
        for path, alignment in enumerate(alignments)
        for frame, tid in enumerate(alignment)
    )
    start, end, tids = (np.array(column, np.int32) for column in zip(*arcs))
    num_states = 1 + num_frames * len(alignments)
    return Lattice(
        num_frames=num_frames,
        state_frame=np.append(0, np.repeat(np.arange(1, num_frames + 1), len(alignments))).astype(np.int32),
        arc_start=start,
        arc_end=end,
        arc_transition_id=tids,
        arc_word=np.zeros_like(tids),
        arc_graph_cost=random.uniform(0, 2, len(tids)).astype(np.float32),
        arc_acoustic_cost=np.zeros(len(tids), np.float32),
        final_cost=np.where(np.arange(num_states) < num_states - len(alignments), np.inf, 0.5).astype(np.float32),
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_equals_the_sum_over_all_paths(variant):
    options = VARIANTS[variant]
    problems = [phone_problem(seed, num_frames=3 + seed % 6) for seed in range(12)]
    for outer, problem in zip(run(options, problems), problems):
        expected, gradient = by_enumeration(*problem, options, TABLES)
        assert isinstance(outer, Outer), outer
        assert outer.objective == pytest.approx(expected, rel=1e-10, abs=1e-10)
        np.testing.assert_allclose(dense(outer.gradient, NUM_PDFS), gradient, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("reorder", [True, False])
@pytest.mark.parametrize("variant", VARIANTS)
def test_self_loops_before_or_after_and_phones_that_are_cut(variant, reorder):
    """Alignments in either form, two of which the end of the utterance cuts inside a phone."""
    model, options = phone_model(), VARIANTS[variant]
    first, loop = model.first_tid[:-1], model.self_loop
    forward = [next(tid for tid in range(*model.first_tid[row : row + 2]) if tid != loop[row]) for row in range(len(first))]

    def state(row, frames):
        loops = [int(loop[row])] * (frames - 1)
        return [forward[row], *loops] if reorder else [*loops, forward[row]]

    alignments = [
        state(0, 3) + state(2, 1) + state(3, 3) + state(1, 2),
        state(0, 2) + state(1, 4) + state(1, 3),
        state(4, 2) + state(5, 2) + state(4, 1) + state(5, 3) + state(0, 1),
        state(1, 3) + state(2, 6),
        state(0, 4) + state(4, 2) + state(5, 2) + state(4, 1),
    ]
    loglikes = np.random.default_rng(3).normal(0, 2, (9, NUM_PDFS)).astype(np.float32)
    lattice = tree_lattice(alignments)
    for numerator in alignments:
        problem = loglikes, np.array(numerator, np.int32), lattice
        (outer,) = run(options, [problem], reorder=reorder)
        expected, gradient = by_enumeration(*problem, options, TABLES, reorder)
        assert outer.objective == pytest.approx(expected, rel=1e-10)
        np.testing.assert_allclose(dense(outer.gradient, NUM_PDFS), gradient, rtol=1e-6, atol=1e-9)
    spans = [(1, 0, 4), (4, 4, 8), (4, 8, 9)]
    assert phone_spans(alignments[4], TABLES, reorder) == spans
    phones, begin = PhoneSpans(TABLES, True, reorder).segments(np.array(alignments[4]))
    assert list(zip(phones.tolist(), begin[:-1].tolist(), begin[1:].tolist())) == spans


def test_by_hand():
    """Reference: phone 2 in frames 0 to 3, phone 3 in 4 to 9."""
    model = phone_model()
    loop = {tuple(row[:2]): tid for row, tid in zip(model.tuples.tolist(), model.self_loop.tolist())}
    forward = {place: 1 + tid if model.tid_is_self_loop[tid] else tid for place, tid in zip(loop, model.first_tid.tolist())}

    def phone(name, frames):
        """Frames of a phone with one state, or with two, the first for one frame."""
        begin = [] if name < 3 else [forward[name, 0]]
        place = (name, len(begin))
        return [*begin, forward[place]] + [loop[place]] * (frames - len(begin) - 1)

    reference = phone(2, 4) + phone(3, 6)
    cases = [
        (reference, 2.0, 2.0),
        (phone(2, 6) + phone(3, 4), 1 + (-1 + 2 * 4 / 6), 1 + (-1 + 2 * 4 / 6)),
        (phone(4, 4) + phone(3, 6), 0 + 1, 0 + 1),  # substitution
        (phone(3, 10), 1.0, 1.0),  # deletion: the reference's 2 is lost, 3 is whole
        (phone(2, 2) + phone(2, 2) + phone(3, 6), 0 + 0 + 1, 0 + 0 + 1),  # insertion: each half of 2 counts -1 + 2/2
        (phone(1, 4) + phone(3, 6), 0 + 1, 0 + 1),  # silence for a phone: -1 + e, or not counted
        (phone(1, 2) + phone(2, 2) + phone(3, 6), (-1 + 2 / 4) + 0 + 1, 0 + 0 + 1),
        (phone(2, 4) + phone(4, 3) + phone(3, 3), 1 + (-1 + 3 / 6) + 0, 1 + (-1 + 3 / 6) + 0),
    ]
    loglikes = np.zeros((10, NUM_PDFS), np.float32)
    for one_class, column in ((True, 1), (False, 2)):
        options = SequenceOptions("mpe", one_silence_class=one_class)
        problems = [(loglikes, np.array(reference, np.int32), tree_lattice([case[0]])) for case in cases]
        objectives = [outer.objective for outer in run(options, problems)]
        assert objectives == pytest.approx([case[column] for case in cases], abs=1e-12)
    # in the reference's silence: a phone, and silence
    problems = [(loglikes, np.array(phone(1, 4) + phone(3, 6), np.int32), tree_lattice([case[0]])) for case in cases[:1]]
    problems.append((*problems[0][:2], tree_lattice([phone(1, 4) + phone(3, 6)])))
    for one_class, expected in ((True, [0 + 1, 2]), (False, [-1 + 1, 1])):
        outers = run(SequenceOptions("mpe", one_silence_class=one_class), problems)
        assert [outer.objective for outer in outers] == pytest.approx(expected, abs=1e-12)


def test_phones_of_kaldis_alignments(kaldi_reference):
    directory = kaldi_reference / "gmm" / "tri3b_ali"
    model = TransitionModel.read_file(directory / "final.mdl")
    spans = PhoneSpans(PhoneTables.from_model(model), True)
    alignments, count = read_alignments(directory), 0
    with gzip.open(directory / "phones_first300.text.gz", "rt") as lines:
        for line in lines:
            name, rest = line.split(maxsplit=1)
            expected = [tuple(map(int, pair.split())) for pair in rest.split(";")]
            phones, begin = spans.segments(alignments[name])
            assert list(zip(phones.tolist(), np.diff(begin).tolist())) == expected
            count += 1
    assert count == 300


@pytest.fixture(scope="module")
def kaldi_problems(kaldi_reference):
    directory = kaldi_reference / "lattice"
    model = TransitionModel.read_file(directory / "final.mdl")
    tables = PhoneTables.from_model(model, map(int, (directory / "silence.csl").read_text().split(":")))
    loglikes, alignments = dict(MatrixReader(str(directory / "loglikes.ark")).items()), read_text_ints(directory / "ref_ali.txt")
    lattices = list(read_lattices(directory / "raw_lat.gz"))
    problems = [(loglikes[name], np.array(alignments[name], np.int32), lattice, name) for name, lattice in lattices]
    return model, tables, [problem for problem in problems if problem[2].num_arcs < 10000]


def test_kaldis_lattices(kaldi_problems):
    """Copying the states keeps all paths, and no phone of any path is missed: random paths count as they do one by one."""
    model, tables, problems = kaldi_problems
    assert len(problems) == 3
    mmi = make_criterion(SequenceOptions("mmi"), tables)(*zip(*problems))
    for one_class in (True, False):
        options = SequenceOptions("mpe", one_silence_class=one_class)
        outers = make_criterion(options, tables)(*zip(*problems))
        for outer, paths, (loglikes, numerator, lattice, name) in zip(outers, mmi, problems):
            assert outer.denominator_loglike == pytest.approx(paths.denominator_loglike, rel=1e-12)
            assert outer.silence_share == pytest.approx(paths.silence_share, rel=1e-9)
            np.testing.assert_allclose(dense(outer.gradient, tables.num_pdfs).sum(1), 0, atol=1e-6)
            reference = phone_spans(numerator, tables)
            assert -len(reference) < outer.objective < len(reference)
            random, found, expected = np.random.default_rng(0), [], []
            for _ in range(10):
                path = random_path(lattice, random)
                found.append(path_lattice(lattice, path))
                phones, lengths = model.phone_segments(found[-1].arc_transition_id[found[-1].arc_transition_id > 0])
                ends = np.cumsum(lengths).tolist()
                spans = list(zip(phones.tolist(), [0, *ends], ends))
                expected.append(accuracy(spans, reference, set(tables.silence_phones.tolist()), one_class))
            outers_of_paths = make_criterion(options, tables)([loglikes] * 10, [numerator] * 10, found, [name] * 10)
            assert [one.objective for one in outers_of_paths] == pytest.approx(expected, abs=1e-9)
            assert len(set(expected)) > 3


def random_path(lattice, random):
    state, path = 0, []
    while not lattice.final_cost[state] < np.inf:
        path.append(int(random.choice(np.flatnonzero(lattice.arc_start == state))))
        state = lattice.arc_end[path[-1]]
    return np.array(path)


def test_too_large_and_other_models():
    problems = [phone_problem(seed) for seed in (1, 2, 4)]
    loglikes, numerator, lattice = problems[1]
    chain = loglikes, numerator, tree_lattice([numerator.tolist()])
    first, bad, last = run(VARIANTS["one silence"], [chain, problems[1], chain], max_arcs=lattice.num_arcs)
    assert str(bad) == (
        f"utterance1: its lattice has more than {lattice.num_arcs} arcs once its states are told apart by phone; "
        "use a smaller lattice beam"
    )
    assert first.objective == last.objective == len(phone_spans(numerator, TABLES))
    inside = next(tid for tid in range(1, 20) if TABLES.tid_to_phone[tid] == 3 and TABLES.tid_to_hmm_state[tid] == 0)
    other = next(tid for tid in range(1, 20) if TABLES.tid_to_phone[tid] == 2)
    wrong = replace(lattice, arc_transition_id=np.where(lattice.arc_transition_id > 0, other, 0).astype(np.int32))
    wrong.arc_transition_id[lattice.arc_start == 0] = inside
    alignment = np.full_like(numerator, other)
    alignment[0] = inside
    first, bad, bad_alignment, last = run(
        VARIANTS["one silence"], [problems[0], (loglikes, numerator, wrong), (loglikes, alignment, lattice), problems[2]]
    )
    for error, name in ((bad, "utterance1"), (bad_alignment, "utterance2")):
        assert str(error).startswith(f"{name}: transition-id {other} stands before the end of another phone")
    alone = run(VARIANTS["one silence"], [problems[0], problems[2]])
    assert [first.objective, last.objective] == [outer.objective for outer in alone]


def test_memory_of_a_long_silence_is_bounded():
    """A lattice where a phone may begin at every frame and last to every other has about T^2 / 2 copies, and no more."""
    num_frames, random = 400, np.random.default_rng(0)
    model = phone_model()
    loop = int(model.self_loop[1])
    forward = int(model.first_tid[1]) if model.first_tid[1] != loop else loop + 1
    frames = np.arange(num_frames)
    tids = np.column_stack([np.full(num_frames, forward), np.full(num_frames, loop)]).astype(np.int32).ravel()[:-1]
    tids = np.delete(np.append(tids, loop), 1)  # the first frame cannot loop
    start = np.delete(np.repeat(frames, 2), 1).astype(np.int32)
    lattice = Lattice(
        num_frames=num_frames,
        state_frame=np.arange(num_frames + 1, dtype=np.int32),
        arc_start=start,
        arc_end=start + 1,
        arc_transition_id=tids,
        arc_word=np.zeros_like(tids),
        arc_graph_cost=random.uniform(0, 3, len(tids)).astype(np.float32),
        arc_acoustic_cost=np.zeros(len(tids), np.float32),
        final_cost=np.append(np.full(num_frames, np.inf), 0).astype(np.float32),
    )
    problem = np.zeros((num_frames, NUM_PDFS), np.float32), np.full(num_frames, loop, np.int32), lattice
    problem[1][::20] = forward
    (outer,) = run(VARIANTS["one silence"], [problem], max_arcs=num_frames**2 + 2 * num_frames)
    assert isinstance(outer, Outer) and outer.objective < 20
    (error,) = run(VARIANTS["one silence"], [problem], max_arcs=num_frames**2 // 2)
    assert "more than 80000 arcs" in str(error)
