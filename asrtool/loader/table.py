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
from asrtool.io.alignment import alignment_files, read_alignments
from asrtool.loader.config import SHARD_FRAMES
from asrtool.loader.pdf_file import PdfFile, is_current, write_pdf_file

MIN_SHARDS = 4
"""A worker has at least so many shards, or the corpus is dealt in utterances: few shards would not come out even."""
LARGE_ALIGNMENTS = 200 << 20
"""Bytes of packed alignments (about 400 million frames) above which they are not held in memory."""


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
        pdfs: integers [T] of each utterance.
        num_without_alignment: utterances of the data directory that had none and are not in the table.
        shard_U: int64 [U], rising: the run of the archive that each utterance is read with, where the table was dealt to the
            workers in such runs; None where utterances were dealt one by one.
    """

    names: list[str]
    num_frames_U: np.ndarray
    pdfs: list[np.ndarray]
    num_without_alignment: int = 0
    shard_U: np.ndarray | None = None

    @property
    def total_frames(self) -> int:
        return int(self.num_frames_U.sum())

    def subset(self, indices: np.ndarray) -> "UtteranceTable":
        names, pdfs = [self.names[i] for i in indices], [self.pdfs[i] for i in indices]
        shard_U = None if self.shard_U is None else self.shard_U[indices]
        return UtteranceTable(names, self.num_frames_U[indices], pdfs, shard_U=shard_U)

    def pdf_counts(self, num_pdfs: int) -> np.ndarray:
        """Frames by pdf-id, int64 [num_pdfs]."""
        counts = np.zeros(num_pdfs, np.int64)
        for pdfs in self.pdfs:
            counts += np.bincount(pdfs, minlength=num_pdfs)
        return counts


def read_pdf_alignments(directory: str | Path, cache: Path | None = None) -> tuple[Mapping[str, np.ndarray], int]:
    """Pdf-ids by utterance ([T]) and the number of pdfs, from ali.*.gz and final.mdl of an alignment directory.

    Args:
        cache: a folder in which alignments of more than LARGE_ALIGNMENTS bytes are kept unpacked (loader/pdf_file.py); made
            when it is missing or older. Of several workers one should be first.
    Raises:
        AsrtoolError: files missing or broken, or a transition-id that final.mdl does not have.
    """
    directory = Path(directory)
    model_path = directory / "final.mdl"
    if not model_path.is_file():
        raise AsrtoolError(f"{model_path}: no such file; is {directory} an alignment directory?")
    transition_model = TransitionModel.read_file(model_path)
    num_pdfs = int(transition_model.num_pdfs)

    def to_pdfs(utterance: str, tids: np.ndarray) -> np.ndarray:
        if len(tids) and (tids.min() < 1 or tids.max() > transition_model.num_transition_ids):
            raise AsrtoolError(
                f"{directory}: {utterance}: transition-id {int(tids.max())} is not in {model_path} "
                f"(1..{transition_model.num_transition_ids}); align with that model"
            )
        return transition_model.tid_to_pdf[tids].astype(np.int32)

    if cache is not None and sum(file.stat().st_size for file in alignment_files(directory)) > LARGE_ALIGNMENTS:
        if not is_current(cache, directory):
            write_pdf_file(directory, cache, to_pdfs, num_pdfs)
        return PdfFile(cache), num_pdfs
    alignments = read_alignments(directory)
    for utterance, tids in alignments.items():
        alignments[utterance] = to_pdfs(utterance, tids)
    return alignments, num_pdfs


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


def split_table(table: UtteranceTable, rank: int, size: int, shard_frames: int = SHARD_FRAMES) -> UtteranceTable:
    """The part of worker `rank` of `size`: disjoint parts of about equal numbers of frames, the same in every run.

    A large corpus is cut into runs of the archive of about `shard_frames` frames, and the runs are dealt to the workers; a
    corpus of fewer than MIN_SHARDS runs a worker is dealt utterance by utterance. Longest first, each goes to the worker with
    the fewest frames so far; a part keeps the archive's order.

    Raises:
        AsrtoolError: fewer utterances than workers.
    """
    if len(table.names) < size:
        raise AsrtoolError(f"{len(table.names)} utterances cannot be split over {size} workers; use fewer workers")
    shard_U = cut_shards(table.num_frames_U, size, shard_frames)
    if shard_U is not None:
        worker_U = _deal(np.bincount(shard_U, table.num_frames_U), size)[shard_U]
        table = UtteranceTable(table.names, table.num_frames_U, table.pdfs, table.num_without_alignment, shard_U)
    elif size > 1:
        worker_U = _deal(table.num_frames_U, size)
    return table.subset(np.flatnonzero(worker_U == rank)) if size > 1 else table


def cut_shards(num_frames_U: np.ndarray, size: int, shard_frames: int) -> np.ndarray | None:
    """The number of the run of each utterance, int64 [U], or None where there would be fewer than MIN_SHARDS a worker.

    All runs have about the same number of frames, at most about `shard_frames`, and every worker can have as many.
    """
    total = int(num_frames_U.sum())
    if total < MIN_SHARDS * size * shard_frames:
        return None
    num_shards = size * -(-total // (size * shard_frames))
    middle_U = np.cumsum(num_frames_U) - num_frames_U // 2
    _, shard_U = np.unique((middle_U - 1) * num_shards // total, return_inverse=True)
    return shard_U if shard_U[-1] + 1 >= MIN_SHARDS * size else None


def _deal(num_frames_S: np.ndarray, size: int) -> np.ndarray:
    """The worker of each of S things, int64 [S]: longest first, each to the one with the fewest frames so far."""
    loads = [(0, worker) for worker in range(size)]
    worker_S = np.zeros(len(num_frames_S), np.int64)
    for index in np.argsort(-num_frames_S, kind="stable"):
        load, worker = heapq.heappop(loads)
        worker_S[index] = worker
        heapq.heappush(loads, (load + int(num_frames_S[index]), worker))
    return worker_S
