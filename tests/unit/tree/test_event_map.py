"""Trees: arrays against objects, renumbering, and files that are damaged."""

import numpy as np
import pytest

from asrtool.errors import AsrtoolError
from asrtool.tree.context_dependency import ContextDependency, check_phone_sets, stub_map
from asrtool.tree.event_map import (
    PDF_CLASS,
    ConstantEventMap,
    SplitEventMap,
    TableEventMap,
    flatten,
    lookup,
    max_answer,
    possible_answers,
    renumber_leaves,
)


def random_tree(rng, depth=6):
    if depth == 0 or rng.random() < 0.1:
        return ConstantEventMap(int(rng.integers(100)))
    key = int(rng.integers(-1, 3))
    if rng.random() < 0.3:
        children = tuple(random_tree(rng, depth - 1) if rng.random() < 0.8 else None for _ in range(rng.integers(1, 5)))
        return TableEventMap(key, children)
    yes_set = tuple(sorted(rng.choice(7, size=rng.integers(1, 5), replace=False).tolist()))
    return SplitEventMap(key, yes_set, random_tree(rng, depth - 1), random_tree(rng, depth - 1))


def as_event(row):
    return {key: int(value) for key, value in zip((0, 1, 2, PDF_CLASS), row) if value >= 0}


@pytest.mark.parametrize("seed", range(10))
def test_arrays_answer_as_objects_do(seed):
    rng = np.random.default_rng(seed)
    tree = random_tree(rng)
    events = rng.integers(-1, 8, size=(300, 4))
    expected = [lookup(tree, as_event(row)) for row in events]
    assert flatten(tree).answers(events).tolist() == [-1 if answer is None else answer for answer in expected]


@pytest.mark.parametrize("seed", range(5))
def test_possible_answers_are_all_answers_over_the_missing_keys(seed):
    rng = np.random.default_rng(seed)
    tree = random_tree(rng, depth=4)
    full = [{0: a, 1: 3, 2: c, PDF_CLASS: 1} for a in range(9) for c in range(9)]
    answers = {lookup(tree, event) for event in full} - {None}
    assert answers <= possible_answers(tree, {1: 3, PDF_CLASS: 1})


def test_renumbering_keeps_the_order():
    tree = TableEventMap(0, (ConstantEventMap(7), None, ConstantEventMap(3), ConstantEventMap(7)))
    renumbered, count = renumber_leaves(tree)
    assert renumbered == TableEventMap(0, (ConstantEventMap(1), None, ConstantEventMap(0), ConstantEventMap(1)))
    assert (count, max_answer(renumbered)) == (2, 1)


def test_stub_of_shared_and_unshared_roots():
    tree, count = stub_map(1, [(1, 2), (3,), (4, 5)], dict.fromkeys(range(1, 6), 3), [True, False, True])
    assert count == 5
    answers = {(phone, c): lookup(tree, {0: 0, 1: phone, 2: 0, PDF_CLASS: c}) for phone in range(1, 6) for c in range(3)}
    assert [answers[phone, 0] for phone in range(1, 6)] == [0, 0, 1, 4, 4]
    assert [answers[3, c] for c in range(3)] == [1, 2, 3]


def test_no_answer_names_the_window():
    tree = ContextDependency(3, 1, TableEventMap(1, (None, ConstantEventMap(0))))
    assert tree.compute([5, 1, 0], 0) == 0
    with pytest.raises(AsrtoolError, match="no pdf for the phones 1 2 0 and pdf class 1"):
        tree.compute([1, 2, 0], 1)
    with pytest.raises(AsrtoolError, match="asks for 3 phones"):
        tree.compute([1], 0)
    with pytest.raises(AsrtoolError, match="central position 3 lies outside"):
        ContextDependency(3, 3, ConstantEventMap(0))


@pytest.mark.parametrize(
    "sets, message",
    [
        ([], "there are none"),
        ([[1, 2], []], "in ascending order"),
        ([[2, 1]], "in ascending order"),
        ([[1], [1, 2]], "phone 1 occurs in two sets"),
        ([[1], [9]], "phone 9 is not in the topology"),
    ],
)
def test_bad_phone_sets(sets, message):
    with pytest.raises(AsrtoolError, match=message):
        check_phone_sets(sets, {1: 3, 2: 3})


@pytest.mark.parametrize(
    "data, message",
    [
        (b"ContextDependency 3 1 ToPdf XE 1", "expected a tree node"),
        (b"ContextDependency 3 1 ToPdf NULL EndContextDependency ", "the tree is empty"),
        (b"ContextDependency 3 1 ToPdf SE 0 [ 1 2 ]\n{ CE 0 NULL } EndContextDependency", "lacks a branch"),
        (b"ContextDependency 3 1 ToPdf SE 0 [ 1 2 ]\n{ CE 0 CE 1 ", "expected a token"),
        (b"ContextDependency 3 1 ToPdf CE 0 ", "expected a token"),
        (b"\0BContextDependency \4\3\0", "truncated"),
        (b"<TransitionModel> ", "expected ContextDependency"),
    ],
)
def test_damaged_tree_files(tmp_path, data, message):
    (tmp_path / "tree").write_bytes(data)
    with pytest.raises(AsrtoolError, match=message) as caught:
        ContextDependency.read_file(tmp_path / "tree")
    assert "tree" in str(caught.value) and "\n" not in str(caught.value)
