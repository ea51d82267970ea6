"""Alignments for another tree: the same phones and states, the new model's transition-ids (Kaldi's convert-ali)."""

from collections.abc import Sequence

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.gmm.tree_stats import phone_windows
from asrtool.hmm.transition_model import TransitionModel
from asrtool.tree.context_dependency import ContextDependency


class AlignmentConverter:
    """From the transition-ids of one model to those of another with the same topology.

    Raises:
        AsrtoolError: the topologies differ.
    """

    def __init__(self, old: TransitionModel, new: TransitionModel, tree: ContextDependency) -> None:
        if old.topology != new.topology:
            raise AsrtoolError(
                f"{old.name}: its HMM topology is not that of the lang directory: align again with a model made from this lang"
            )
        self.old, self.new, self.tree = old, new, tree
        states = [old.topology.states(phone)[state] for phone, state in old.tuples[:, :2].tolist()]
        self._classes = np.array([(state.forward_pdf_class, state.self_loop_pdf_class) for state in states], dtype=np.int32)
        self._tuple_number = {tuple(row): number for number, row in enumerate(new.tuples.tolist())}

    def convert(self, alignments: Sequence[np.ndarray]) -> list[np.ndarray]:
        """int32 [T] of each utterance.

        Raises:
            AsrtoolError: an alignment that does not consist of whole phones, or a state that the new model lacks.
        """
        if not alignments:
            return []
        tree, windows = self.tree, []
        for alignment in alignments:
            phones, lengths = self.old.phone_segments(alignment)
            window = phone_windows(phones, tree.context_width, tree.central_position)
            windows.append(np.repeat(window, lengths, axis=0))
        tids = np.concatenate(alignments)
        old_tuple = self.old.tid_to_tuple[tids]
        keys = np.concatenate([*windows]).astype(np.int64)
        code = old_tuple.astype(np.int64)
        for column in range(keys.shape[1]):
            code = code * (int(keys[:, column].max()) + 1) + keys[:, column]
        _, first, index = np.unique(code, return_index=True, return_inverse=True)
        new_tuple = self._new_tuples(old_tuple[first], keys[first])[index]
        converted = (self.new.first_tid[new_tuple] + self.old.tid_to_index[tids]).astype(np.int32)
        return np.split(converted, np.cumsum([len(alignment) for alignment in alignments])[:-1])

    def _new_tuples(self, old_tuple: np.ndarray, windows: np.ndarray) -> np.ndarray:
        """Rows of the new model's tuples for old ones in their windows, int [M] and int [M, N]."""
        pdfs = [
            self.tree.compute_many(np.concatenate([windows, self._classes[old_tuple, which, None]], axis=1).astype(np.int32))
            for which in (0, 1)
        ]
        rows = np.stack([*self.old.tuples[old_tuple, :2].T, *pdfs], axis=1).tolist()
        try:
            return np.array([self._tuple_number[tuple(row)] for row in rows])
        except KeyError as error:
            raise AsrtoolError(
                f"{self.new.name}: no transition-state {error.args[0]}: tree and model do not belong together"
            ) from None
