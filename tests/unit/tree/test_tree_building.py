"""Questions and trees against brute force."""

import itertools

import numpy as np
import pytest

from asrtool.errors import AsrtoolError
from asrtool.tree.build import Root, build_tree, read_roots
from asrtool.tree.context_dependency import ContextDependency
from asrtool.tree.merge import merge_leaves
from asrtool.tree.questions import automatic_questions, read_questions
from asrtool.tree.stats import log_likelihood

CLASSES = dict.fromkeys(range(1, 7), 3)


def frames_to_stats(frames: np.ndarray) -> np.ndarray:
    return np.concatenate([[len(frames)], frames.sum(0), (frames**2).sum(0)])


def random_events(rng, num_phones: int = 6, num_events: int = 120, dim: int = 3):
    """Triphone events of phones 1..num_phones; the last phone is context-independent."""
    keys, rows = [], []
    for left, centre, right, pdf_class in itertools.product(range(num_phones + 1), range(1, num_phones + 1), range(3), range(3)):
        if centre == num_phones:
            left, right = -1, -1
        mean = np.array([centre + 0.4 * (left % 2), pdf_class, right * 0.3])[:dim]
        keys.append((left, centre, right, pdf_class))
        rows.append(frames_to_stats(mean + 0.5 * rng.standard_normal((rng.integers(5, 20), dim))))
    keys, rows = np.array(keys, dtype=np.int32), np.array(rows)
    pick = rng.permutation(len(keys))[:num_events]
    return keys[pick], rows[pick]


def test_log_likelihood_is_that_of_the_fitted_gaussian():
    rng = np.random.default_rng(0)
    frames = rng.standard_normal((50, 4)) * [1, 2, 0.5, 3]
    density = -0.5 * (np.log(2 * np.pi * frames.var(0)) + (frames - frames.mean(0)) ** 2 / frames.var(0))
    assert log_likelihood(frames_to_stats(frames)) == pytest.approx(density.sum(), rel=1e-12)
    assert log_likelihood(np.zeros(9)) == 0


def test_floored_variance_stands_in_all_terms():
    frames = np.full((10, 1), 3.0) + 0.001 * np.arange(10)[:, None]
    raw = frames.var()
    expected = -5 * (np.log(2 * np.pi * 0.01) + raw / 0.01)
    assert log_likelihood(frames_to_stats(frames)) == pytest.approx(expected, rel=1e-9)


def brute_force_split(keys, stats, questions, max_classes):
    """The best first question over all events by trying each."""
    best = -np.inf, None, None
    for column in range(keys.shape[1]):
        if (keys[:, column] < 0).any():
            continue
        last = column == keys.shape[1] - 1
        for question in [set(range(k + 1)) for k in range(max_classes - 1)] if last else map(set, questions):
            yes = np.array([value in question for value in keys[:, column]])
            if yes.all() or not yes.any():
                continue
            gain = log_likelihood(stats[yes].sum(0)) + log_likelihood(stats[~yes].sum(0)) - log_likelihood(stats.sum(0))
            best = max(best, (float(gain), -1 if last else column, tuple(sorted(question))), key=lambda item: item[0])
    return best


def test_first_split_is_the_best_of_all_questions():
    rng = np.random.default_rng(1)
    keys, stats = random_events(rng, num_phones=5)
    keys, stats = keys[keys[:, 1] < 5], stats[keys[:, 1] < 5]
    questions = [(1, 2), (1, 3), (2, 4), (0, 1), (2,), (3,)]
    roots = [Root((1, 2, 3, 4), True, True)]
    tree, summary = build_tree(
        keys, stats, questions, roots, dict.fromkeys(range(1, 5), 3), max_leaves=2, split_threshold=0, cluster_threshold=0
    )
    gain, key, yes_set = brute_force_split(keys, stats, questions, 3)
    assert (tree.to_pdf.key, tree.to_pdf.yes_set) == (key, yes_set)
    assert summary.gain == pytest.approx(gain, rel=1e-9) and tree.num_pdfs == summary.num_leaves == 2


def test_tree_is_a_partition_within_its_roots(tmp_path):
    rng = np.random.default_rng(2)
    keys, stats = random_events(rng, num_events=300)
    questions = automatic_questions(keys, stats, [(phone,) for phone in range(1, 7)], 1)
    roots = [Root((1, 2), True, True), Root((3,), False, True), Root((4, 5), True, False), Root((6,), False, True)]
    num_classes = CLASSES
    tree, summary = build_tree(keys, stats, questions, roots, num_classes, max_leaves=30, split_threshold=1)
    pdfs = tree.compute_many(keys)
    assert set(pdfs) == set(range(tree.num_pdfs)) and summary.num_leaves == tree.num_pdfs <= summary.num_split_leaves == 30
    for first, second in itertools.combinations(roots, 2):
        assert not set(pdfs[np.isin(keys[:, 1], first.phones)]) & set(pdfs[np.isin(keys[:, 1], second.phones)])
    assert len(set(pdfs[np.isin(keys[:, 1], (4, 5))])) == 1
    of_six = keys[:, 1] == 6  # context-independent: one pdf for each pdf class, whatever stands beside it
    assert len(set(zip(pdfs[of_six], keys[of_six, 3]))) == 3
    tree.write_file(tmp_path / "tree")
    again = ContextDependency.read_file(tmp_path / "tree")
    assert (again.compute_many(keys) == pdfs).all()
    unseen = np.array([[0, 1, 6, 0], [6, 3, 6, 2]], dtype=np.int32)
    assert (tree.compute_many(unseen) >= 0).all()


def test_gain_is_the_difference_to_the_roots_and_grows_with_leaves():
    rng = np.random.default_rng(3)
    keys, stats = random_events(rng, num_events=300)
    questions = automatic_questions(keys, stats, [(phone,) for phone in range(1, 7)], 1)
    roots = [Root((phone,), True, True) for phone in range(1, 7)]
    gains = []
    for max_leaves in (10, 20, 40):
        tree, summary = build_tree(keys, stats, questions, roots, CLASSES, 1, max_leaves, 0, 0, round_num_leaves=False)
        pdfs = tree.compute_many(keys)
        leaves = sum(float(log_likelihood(stats[pdfs == pdf].sum(0))) for pdf in range(tree.num_pdfs))
        at_roots = sum(float(log_likelihood(stats[keys[:, 1] == phone].sum(0))) for phone in range(1, 7))
        assert summary.gain == pytest.approx(leaves - at_roots, rel=1e-9)
        gains.append(summary.gain)
    assert gains == sorted(gains) and gains[0] < gains[-1]


def test_merging_loses_less_than_the_smallest_split_gained():
    rng = np.random.default_rng(4)
    keys, stats = random_events(rng, num_events=400)
    questions = automatic_questions(keys, stats, [(phone,) for phone in range(1, 7)], 1)
    roots = [Root(tuple(range(1, 6)), True, True), Root((6,), False, True)]
    classes = CLASSES
    grown, _ = build_tree(keys, stats, questions, roots, classes, 1, 60, 0, 0, round_num_leaves=False)
    merged, _ = build_tree(keys, stats, questions, roots, classes, 1, 60, 0, -1, round_num_leaves=False)
    assert merged.num_pdfs < grown.num_pdfs
    rounded, _ = build_tree(keys, stats, questions, roots, classes, 1, 60, 0, -1)
    assert rounded.num_pdfs % 8 == 0 and merged.num_pdfs - 8 < rounded.num_pdfs <= merged.num_pdfs
    before, after = grown.compute_many(keys), merged.compute_many(keys)
    pairs = {}
    for old, new in zip(before, after):
        assert pairs.setdefault(old, new) == new  # leaves are merged whole


def test_automatic_questions_find_the_two_clusters():
    rng = np.random.default_rng(5)
    keys = np.array([(0, phone, 0, 1) for phone in range(1, 9)], dtype=np.int32)
    centres = np.where(np.arange(1, 9) % 2 == 0, 5.0, -5.0) + 0.1 * np.arange(8)
    stats = np.array([frames_to_stats(centre + rng.standard_normal((40, 2))) for centre in centres])
    questions = automatic_questions(keys, stats, [(phone,) for phone in range(1, 9)], 1)
    assert questions[0] == tuple(range(1, 9)) and {(2, 4, 6, 8), (1, 3, 5, 7)} <= set(questions)
    assert all((phone,) in questions for phone in range(1, 9))
    with pytest.raises(AsrtoolError, match="none for the pdf classes 7"):
        automatic_questions(keys, stats, [(1,)], 1, pdf_classes=(7,))


def test_bad_roots_and_questions_name_file_and_line(tmp_path):
    (tmp_path / "roots.int").write_text("shared split 1 2\nshared sometimes 3\n")
    with pytest.raises(AsrtoolError, match=r"roots\.int: line 2: expected"):
        read_roots(tmp_path / "roots.int")
    (tmp_path / "questions.int").write_text("1 2\nAA BB\n")
    with pytest.raises(AsrtoolError, match=r"questions\.int: line 2: .*give the \.int file"):
        read_questions(tmp_path / "questions.int")
    keys, stats = random_events(np.random.default_rng(6))
    with pytest.raises(AsrtoolError, match="occurs in the alignments but in no root"):
        build_tree(keys, stats, [(1,)], [Root((1,), True, True)], CLASSES)


def brute_force_merges(points, threshold):
    """Clusters (sets of row numbers) by trying every pair again after each merge."""
    clusters = [frozenset([row]) for row in range(len(points))]

    def loss(pair):
        one, two = (points[sorted(cluster)].sum(0) for cluster in pair)
        return float(log_likelihood(one) + log_likelihood(two) - log_likelihood(one + two))

    while len(clusters) > 1:
        best = min(itertools.combinations(clusters, 2), key=loss)
        if loss(best) > threshold:
            break
        clusters = [cluster for cluster in clusters if cluster not in best] + [best[0] | best[1]]
    return set(clusters)


@pytest.mark.parametrize("threshold", [0.0, 20.0, 100.0, 1e9])
def test_merging_against_brute_force(threshold):
    rng = np.random.default_rng(7)
    points = np.array([frames_to_stats(rng.integers(4) + 0.7 * rng.standard_normal((20, 2))) for _ in range(14)])
    roots = np.arange(14) % 2
    merged = merge_leaves(np.arange(14), roots, points, threshold, 14)
    ours = {frozenset(row for row in range(14) if merged.get(row, row) == leaf) for leaf in set(range(14)) - set(merged)}
    expected = set()
    for root in (0, 1):
        rows = np.flatnonzero(roots == root)
        expected |= {frozenset(rows[list(cluster)].tolist()) for cluster in brute_force_merges(points[rows], threshold)}
    assert ours == (expected if threshold else {frozenset([row]) for row in range(14)})
