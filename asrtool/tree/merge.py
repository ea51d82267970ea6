"""Merging of a tree's leaves: bottom-up clustering within each root (Kaldi's ClusterEventMapRestrictedByMap)."""

import numpy as np

from asrtool.tree.stats import log_likelihood, sum_by_value


def merge_leaves(
    leaf_of_event: np.ndarray, root_of_event: np.ndarray, stats: np.ndarray, threshold: float, num_leaves: int, multiple: int = 1
) -> dict[int, int]:
    """Merges leaves of the same root while the loss in log-likelihood is at most `threshold`, the smallest loss first.

    Args:
        leaf_of_event, root_of_event: int [E].
        stats: float64 [E, 1 + 2D].
        threshold: 0 merges nothing.
        num_leaves: of the whole tree, with those that no event reaches.
        multiple: then merges on, over all roots, until the number of leaves is a multiple of this, where the roots are not
            more than that (Kaldi's round-num-leaves).

    Returns:
        Merged leaf -> leaf that stands for it now.
    """
    leaves, sums = sum_by_value(leaf_of_event, stats)
    _, first_event = np.unique(leaf_of_event, return_index=True)
    root_of_leaf = root_of_event[first_event]
    groups = [
        _Group(leaves[members], sums[members])
        for members in map(np.flatnonzero, root_of_leaf == np.unique(root_of_leaf)[:, None])
    ]
    merged: dict[int, int] = {}
    if threshold > 0:
        for group in groups:
            while group.smallest_loss <= threshold:
                merged.update([group.merge()])
    left = num_leaves - len(merged)
    for _ in range(left % multiple if left - left % multiple >= len(groups) else 0):
        best = min(groups, key=lambda group: group.smallest_loss)
        if not np.isfinite(best.smallest_loss):
            break
        merged.update([best.merge()])
    for leaf in merged:  # a leaf may have gone into one that went later
        while merged[leaf] in merged:
            merged[leaf] = merged[merged[leaf]]
    return merged


class _Group:
    """The leaves of one root: leaves int [M], sums float64 [M, 1 + 2D] of their statistics."""

    def __init__(self, leaves: np.ndarray, sums: np.ndarray) -> None:
        self.leaves, self.sums = leaves, sums.copy()
        self.alone = log_likelihood(self.sums)
        self.loss = np.full((len(sums), len(sums)), np.inf)  # of merging row and column; row < column
        for row in range(len(sums) - 1):
            both = log_likelihood(self.sums[row] + self.sums[row + 1 :])
            self.loss[row, row + 1 :] = self.alone[row] + self.alone[row + 1 :] - both
        self.smallest_loss = float(self.loss.min())

    def merge(self) -> tuple[int, int]:
        """Merges the two leaves that lose least; returns (leaf gone, leaf kept)."""
        kept, gone = map(int, np.unravel_index(int(self.loss.argmin()), self.loss.shape))
        self.sums[kept] += self.sums[gone]
        self.alone[kept] = log_likelihood(self.sums[kept])
        self.loss[gone, :] = self.loss[:, gone] = np.inf
        others = np.flatnonzero(np.isfinite(self.loss[kept, :]) | np.isfinite(self.loss[:, kept]))
        fresh = self.alone[kept] + self.alone[others] - log_likelihood(self.sums[kept] + self.sums[others])
        self.loss[np.minimum(kept, others), np.maximum(kept, others)] = fresh
        self.smallest_loss = float(self.loss.min())
        return int(self.leaves[gone]), int(self.leaves[kept])
