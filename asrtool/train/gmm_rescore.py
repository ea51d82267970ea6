"""Lattices with the log-likelihoods of another model or of other features (Kaldi's gmm-rescore-lattice)."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from asrtool.decoder.decode_data import PART
from asrtool.errors import AsrtoolError
from asrtool.gmm.backend import CPU, Backend
from asrtool.gmm.diag_gmm import AmDiagGmm
from asrtool.lattice.archive import read_lattices
from asrtool.lattice.lattice import Lattice


def rescore_acoustic(
    lattice: Lattice, features: np.ndarray, model: AmDiagGmm, pdf_of_tid: np.ndarray, backend: Backend = CPU
) -> Lattice:
    """The lattice with acoustic costs of `model` in place of its own; paths and graph costs stay.

    Args:
        features: float32 [T, D].
        pdf_of_tid: int32 [num_transition_ids + 1].

    Raises:
        AsrtoolError: another number of frames, a transition-id that the model lacks, features of another dimension.
    """
    if len(features) != lattice.num_frames:
        raise AsrtoolError(f"the lattice has {lattice.num_frames} frames, the features have {len(features)}")
    emits = lattice.arc_transition_id > 0
    tids = lattice.arc_transition_id[emits]
    if len(tids) and tids.max() >= len(pdf_of_tid):
        raise AsrtoolError(f"transition-id {tids.max()} is not one of the model: was the lattice made with another?")
    pdf_ids, column = np.unique(pdf_of_tid[tids], return_inverse=True)
    costs = np.zeros(lattice.num_arcs, np.float32)
    if len(tids):
        frames = lattice.state_frame[lattice.arc_start[emits]]
        costs[emits] = -model.loglikes(features, pdf_ids, backend)[frames, column]
    return replace(lattice, arc_acoustic_cost=costs)


class DecodedLattices:
    """The lattices that `decode_data` has written for some utterances, for threads that ask for each once, about in that order.

    Args:
        directory: the decoding directory.
        utterances: those that were decoded, in their order.
    """

    def __init__(self, directory: Path, utterances: list[str]) -> None:
        self.directory = directory
        self._part = {utterance: number // PART + 1 for number, utterance in enumerate(utterances)}
        self._sources: dict[int, Iterator] = {}
        self._read: dict[str, Lattice] = {}  # those that were passed on the way to another
        self._lock = threading.Lock()

    def __call__(self, utterance: str) -> Lattice:
        """
        Raises:
            AsrtoolError: the utterance was not decoded.
        """
        with self._lock:
            if utterance in self._read:
                return self._read.pop(utterance)
            part = self._part[utterance]
            if part not in self._sources:
                path = self.directory / f"lat.{part}.gz"
                if not path.is_file():  # all of its utterances failed
                    raise AsrtoolError("not decoded in the pass before")
                for old in self._sources:  # what is left of them; done, they hold no file open
                    self._read.update(self._sources[old])
                    self._sources[old] = iter(())
                self._sources[part] = read_lattices(path)
            for name, lattice in self._sources[part]:
                if name == utterance:
                    return lattice
                self._read[name] = lattice
        raise AsrtoolError("not decoded in the pass before")
