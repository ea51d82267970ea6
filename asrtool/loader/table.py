"""Which utterances there are to train on: lengths and targets, checked against the features, split over workers."""

import heapq
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.alignment import read_alignments


class Features(Protocol):
    """What is asked of `asrtool.feat.pipeline.FeaturePipeline`."""

    @property
    def dim(self) -> int: ...

    def utterances(self) -> list[str]: ...

    def num_frames(self, utterance: str) -> int: ...

    def __call__(self, utterance: str) -> np.ndarray: ...


@dataclass
class UtteranceTable:
    """Utterances in the order of the feature archive.

    Attributes:
        names: [U].
        num_frames_U: int64 [U], 10 ms frames.
        pdfs: int32 [T] of each utterance.
        num_without_alignment: utterances of the data directory that had none and are not in the table.
    """

    names: list[str]
    num_frames_U: np.ndarray
    pdfs: list[np.ndarray]
    num_without_alignment: int = 0

    @property
    def total_frames(self) -> int:
        return int(self.num_frames_U.sum())

    def subset(self, indices: np.ndarray) -> "UtteranceTable":
        return UtteranceTable([self.names[i] for i in indices], self.num_frames_U[indices], [self.pdfs[i] for i in indices])

    def pdf_counts(self, num_pdfs: int) -> np.ndarray:
        """Frames by pdf-id, int64 [num_pdfs]."""
        counts = np.zeros(num_pdfs, np.int64)
        for pdfs in self.pdfs:
            counts += np.bincount(pdfs, minlength=num_pdfs)
        return counts


def read_pdf_alignments(directory: str | Path) -> tuple[dict[str, np.ndarray], int]:
    """Pdf-ids by utterance (int32 [T]) and the number of pdfs, from ali.*.gz and final.mdl of an alignment directory.

    Raises:
        AsrtoolError: files missing or broken, or a transition-id that final.mdl does not have.
    """
    model_path = Path(directory) / "final.mdl"
    if not model_path.is_file():
        raise AsrtoolError(f"{model_path}: no such file; is {directory} an alignment directory?")
    transition_model = TransitionModel.read_file(model_path)
    pdfs = {}
    for utterance, tids in read_alignments(directory).items():
        if len(tids) and (tids.min() < 1 or tids.max() > transition_model.num_transition_ids):
            raise AsrtoolError(
                f"{directory}: {utterance}: transition-id {int(tids.max())} is not in {model_path} "
                f"(1..{transition_model.num_transition_ids}); align with that model"
            )
        pdfs[utterance] = transition_model.tid_to_pdf[tids].astype(np.int32)
    return pdfs, int(transition_model.num_pdfs)


def make_table(features: Features, alignments: Mapping[str, np.ndarray], where: str) -> UtteranceTable:
    """Pairs features with alignments; utterances without an alignment are counted and left out.

    Args:
        where: the data directory, named in messages.
    Raises:
        AsrtoolError: an alignment whose length is not that of the features; no utterance left.
    """
    names, lengths, pdfs, without = [], [], [], 0
    for utterance in features.utterances():
        alignment = alignments.get(utterance)
        if alignment is None:
            without += 1
            continue
        num_frames = features.num_frames(utterance)
        if num_frames != len(alignment):
            raise AsrtoolError(
                f"{where}: {utterance}: {num_frames} frames of features but an alignment of {len(alignment)}; "
                "align the same features that the network is trained on"
            )
        if num_frames > 0:
            names.append(utterance)
            lengths.append(num_frames)
            pdfs.append(alignment)
    if not names:
        raise AsrtoolError(f"{where}: none of its {without} utterances has an alignment; align this data")
    if without:
        print(f"WARNING: {where}: {without} of {without + len(names)} utterances have no alignment", file=sys.stderr)
    return UtteranceTable(names, np.array(lengths, np.int64), pdfs, without)


def split_table(table: UtteranceTable, rank: int, size: int) -> UtteranceTable:
    """The part of worker `rank` of `size`: disjoint parts of about equal numbers of frames, the same in every run.

    Longest first, each utterance goes to the worker with the fewest frames so far; a part keeps the archive's order.

    Raises:
        AsrtoolError: fewer utterances than workers.
    """
    if size == 1:
        return table
    if len(table.names) < size:
        raise AsrtoolError(f"{len(table.names)} utterances cannot be split over {size} workers; use fewer workers")
    loads = [(0, worker) for worker in range(size)]
    own = []
    for index in np.argsort(-table.num_frames_U, kind="stable"):
        load, worker = heapq.heappop(loads)
        if worker == rank:
            own.append(index)
        heapq.heappush(loads, (load + int(table.num_frames_U[index]), worker))
    return table.subset(np.sort(np.array(own)))
