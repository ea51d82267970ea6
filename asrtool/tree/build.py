"""Decision-tree building: Kaldi's BuildTree with diagonal Gaussian statistics.

From the roots on, the leaf and question with the largest gain in log-likelihood are split next; then leaves of the
same root are merged bottom-up while the loss stays below the smallest gain of a split.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.io.whole_file import read_text
from asrtool.tree.context_dependency import ContextDependency, check_phone_sets, stub_map
from asrtool.tree.event_map import PDF_CLASS, ConstantEventMap, EventMap, SplitEventMap, flatten, renumber_leaves, replace_leaves
from asrtool.tree.merge import merge_leaves
from asrtool.tree.stats import log_likelihood, sum_by_value


@dataclass(frozen=True)
class Root:
    """A line of roots.int: `phones` (sorted), whether its HMM states share one root, whether it may be split."""

    phones: tuple[int, ...]
    shared: bool
    split: bool


@dataclass(frozen=True)
class TreeSummary:
    """Leaves after splitting and after merging, the gain in log-likelihood of the splits, and the frames behind it."""

    num_split_leaves: int
    num_leaves: int
    gain: float
    num_frames: float


def read_roots(path: str | Path) -> list[Root]:
    """Reads lang/phones/roots.int.

    Raises:
        AsrtoolError: a line does not read `shared|not-shared split|not-split PHONE...`.
    """
    roots = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        words = line.split()
        if (
            len(words) < 3
            or words[0] not in ("shared", "not-shared")
            or words[1] not in ("split", "not-split")
            or not all(word.isdecimal() for word in words[2:])
        ):
            raise AsrtoolError(f"{path}: line {number}: expected 'shared|not-shared split|not-split PHONE-NUMBER ...'")
        roots.append(Root(tuple(sorted(map(int, words[2:]))), words[0] == "shared", words[1] == "split"))
    return roots


def build_tree(
    event_keys: np.ndarray,
    stats: np.ndarray,
    questions: Sequence[Sequence[int]],
    roots: Sequence[Root],
    num_pdf_classes: Mapping[int, int],
    central_position: int = 1,
    max_leaves: int = 2000,
    split_threshold: float = 300.0,
    cluster_threshold: float = -1.0,
    round_num_leaves: bool = True,
) -> tuple[ContextDependency, TreeSummary]:
    """Builds the tree of `build-tree --thresh --max-leaves --cluster-thresh --round-num-leaves`.

    Questions are taken as they are (Kaldi's --num-iters-refine 0, its default): they are not refined at each node.

    Args:
        event_keys, stats: see `tree.stats`.
        questions: sets of phones, asked of every place of the window; of pdf classes the sets {0}, {0, 1}, ... are asked.
        roots: where the phones begin in the tree.
        num_pdf_classes: phone -> number of pdf classes (HmmTopology.num_pdf_classes).
        max_leaves: no further split beyond this number of leaves (merging comes after).
        split_threshold: a split must gain more log-likelihood than this.
        cluster_threshold: merge leaves while the loss is below it; -1: the smallest gain of a split; 0: never.
        round_num_leaves: merge up to seven leaves more, for a multiple of eight.
    """
    check_phone_sets([root.phones for root in roots], num_pdf_classes)
    central = event_keys[:, central_position]
    rootless = np.setdiff1d(central, [phone for root in roots for phone in root.phones])
    if len(rootless):
        raise AsrtoolError(f"roots: phone {rootless[0]} occurs in the alignments but in no root: make the lang directory again")
    stub, num_stub_leaves = stub_map(
        central_position, [root.phones for root in roots], num_pdf_classes, [root.shared for root in roots]
    )
    root_of_event = flatten(stub).answers(event_keys)
    fixed = {phone for root in roots if not root.split for phone in root.phones}
    may_split = ~np.isin(central, list(fixed))
    splitter = _Splitter(event_keys, stats, questions, max(num_pdf_classes.values()))
    leaf_of_event = splitter.run(root_of_event.copy(), may_split, num_stub_leaves, max_leaves, split_threshold)
    grown = replace_leaves(stub, {leaf: splitter.subtree(leaf) for leaf in range(num_stub_leaves)})
    num_split_leaves = num_stub_leaves + len(splitter.splits)
    threshold = splitter.smallest_gain if cluster_threshold < 0 else cluster_threshold
    merged = {}
    if splitter.splits:
        merged = merge_leaves(leaf_of_event, root_of_event, stats, threshold, num_split_leaves, 8 if round_num_leaves else 1)
    to_pdf, num_leaves = renumber_leaves(replace_leaves(grown, {old: ConstantEventMap(new) for old, new in merged.items()}))
    summary = TreeSummary(num_split_leaves, num_leaves, splitter.gain, float(stats[:, 0].sum()))
    return ContextDependency(event_keys.shape[1] - 1, central_position, to_pdf), summary


class _Splitter:
    """Splits leaves, best gain first."""

    def __init__(self, event_keys: np.ndarray, stats: np.ndarray, questions: Sequence[Sequence[int]], max_classes: int) -> None:
        self.event_keys, self.stats = event_keys, stats
        highest = max([int(event_keys[:, :-1].max(initial=0)), *(max(question) for question in questions)])
        self.phone_questions = _membership(questions, highest + 1)
        self.class_questions = _membership([range(last + 1) for last in range(max_classes - 1)], max_classes)
        self.splits: dict[int, tuple[int, np.ndarray, int, int]] = {}
        self.gain = 0.0
        self.smallest_gain = np.inf

    def run(
        self, leaf_of_event: np.ndarray, may_split: np.ndarray, num_leaves: int, max_leaves: int, threshold: float
    ) -> np.ndarray:
        """Splits until nothing gains more than `threshold`; returns the leaf of each event, int [E].

        The halves of a leaf get new numbers, so that a number stands for one node for good.
        """
        queue: list[tuple[float, int, np.ndarray, int, np.ndarray]] = []
        next_number = num_leaves

        def consider(leaf: int, rows: np.ndarray) -> None:
            gain, key, yes_set = self._best_split(rows)
            if gain > threshold:
                heapq.heappush(queue, (-gain, leaf, rows, key, yes_set))

        for leaf in np.unique(leaf_of_event[may_split]).tolist():
            consider(leaf, np.flatnonzero((leaf_of_event == leaf) & may_split))
        while queue and num_leaves < max_leaves:
            negative_gain, leaf, rows, key, yes_set = heapq.heappop(queue)
            yes = np.isin(self.event_keys[rows, key], yes_set)
            self.splits[leaf] = (key, yes_set, next_number, next_number + 1)
            for number, part in ((next_number, rows[yes]), (next_number + 1, rows[~yes])):
                leaf_of_event[part] = number
                consider(number, part)
            next_number += 2
            num_leaves += 1
            self.gain -= negative_gain
            self.smallest_gain = min(self.smallest_gain, -negative_gain)
        return leaf_of_event

    def _best_split(self, rows: np.ndarray) -> tuple[float, int, np.ndarray]:
        """The question with the largest gain for the events `rows`: gain, key, values whose answer is yes."""
        best = (0.0, 0, np.zeros(0, dtype=np.int64))
        stats = self.stats[rows]
        total = log_likelihood(stats.sum(0))
        for key in (*range(self.event_keys.shape[1] - 1), PDF_CLASS):
            values = self.event_keys[rows, key]
            if values.min() < 0 or values.min() == values.max():
                continue
            membership = self.class_questions if key == PDF_CLASS else self.phone_questions
            distinct, sums = sum_by_value(values, stats)
            asked = membership[:, distinct]
            useful = np.flatnonzero(asked.any(1) & ~asked.all(1))
            if not len(useful):
                continue
            yes = asked[useful].astype(np.float64) @ sums
            gains = log_likelihood(yes) + log_likelihood(sums.sum(0) - yes) - total
            index = int(gains.argmax())
            if gains[index] > best[0]:
                best = (float(gains[index]), key, np.flatnonzero(membership[useful[index]]))
        return best

    def subtree(self, leaf: int) -> EventMap:
        """What has grown out of a leaf."""
        if leaf not in self.splits:
            return ConstantEventMap(leaf)
        key, yes_set, yes, no = self.splits[leaf]
        return SplitEventMap(key, tuple(yes_set.tolist()), self.subtree(yes), self.subtree(no))


def _membership(questions: Sequence[Sequence[int]], num_values: int) -> np.ndarray:
    """bool [Q, num_values]: is the value in the question's set?"""
    member = np.zeros((len(questions), num_values), dtype=bool)
    for row, question in zip(member, questions):
        row[list(question)] = True
    return member
