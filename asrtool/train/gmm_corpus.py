"""The training utterances of a GMM: features in memory batch by batch, and their training graphs.

Everything is grouped into batches of about a million frames, in the order of the utterance names. What fits the memory limit
stays in memory; beyond it features are read and graphs compiled again in every pass, with the same results.
"""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph

BATCH_FRAMES = 1_000_000


class FeatureSource(Protocol):
    """What feat.pipeline.FeaturePipeline offers."""

    def utterances(self) -> list[str]: ...
    def num_frames(self, utterance: str) -> int: ...
    def __call__(self, utterance: str) -> np.ndarray: ...
    @property
    def dim(self) -> int: ...


@dataclass(frozen=True)
class TrainingGraph:
    """A training graph and the pdfs that it needs.

    pdf_ids int32 [K], ascending; arc_pdf int32 [A]: index into pdf_ids, -1 for an epsilon arc.
    """

    graph: CsrGraph
    pdf_ids: np.ndarray
    arc_pdf: np.ndarray

    @classmethod
    def of(cls, graph: CsrGraph, tid_to_pdf: np.ndarray) -> "TrainingGraph":
        emits = graph.arc_ilabel > 0
        pdf_ids, index = np.unique(tid_to_pdf[graph.arc_ilabel[emits]], return_inverse=True)
        arc_pdf = np.full(graph.num_arcs, -1, dtype=np.int32)
        arc_pdf[emits] = index
        return cls(graph, pdf_ids.astype(np.int32), arc_pdf)


class GmmCorpus:
    """
    Args:
        source: the features.
        texts: utterance -> words. Utterances without features or without a text are left out and counted.
        memory_limit_mib: for features; beyond it they are read again in every pass.
        batch_frames: part of the arithmetic: sums are taken batch by batch.

    Attributes:
        utterances: in the order of their names; first_frame int64 [U + 1].
        batches: (first utterance, one past the last).
    """

    def __init__(
        self, source: FeatureSource, texts: dict[str, list[str]], memory_limit_mib: int = 2048, batch_frames: int = BATCH_FRAMES
    ) -> None:
        self.source = source
        self.texts = texts
        with_features = source.utterances()
        self.utterances = sorted(utterance for utterance in with_features if utterance in texts)
        if not self.utterances:
            raise AsrtoolError("no utterance has both features and a text: are feats.scp and text of the same data directory?")
        if len(self.utterances) < len(texts):
            print(f"WARNING: {len(texts) - len(self.utterances)} of {len(texts)} utterances have no features", file=sys.stderr)
        frames = np.array([source.num_frames(utterance) for utterance in self.utterances], dtype=np.int64)
        self.first_frame = np.concatenate([[0], np.cumsum(frames)])
        self.dim = source.dim
        self.batches = _split(frames, batch_frames)
        self.in_memory = self.num_frames * self.dim * 4 <= memory_limit_mib << 20
        self._features: dict[int, np.ndarray] = {}
        self._reader = ThreadPoolExecutor(1)
        self._ahead: tuple[int, Future] | None = None

    @property
    def num_frames(self) -> int:
        return int(self.first_frame[-1])

    def frames_of(self, index: int) -> slice:
        """Where utterance number `index` lies in arrays over all frames."""
        return slice(int(self.first_frame[index]), int(self.first_frame[index + 1]))

    def batch_frames(self, batch: int) -> slice:
        """Where a batch lies in arrays over all frames."""
        first, last = self.batches[batch]
        return slice(int(self.first_frame[first]), int(self.first_frame[last]))

    def features(self, batch: int) -> np.ndarray:
        """float32 [N, D] of all utterances of a batch, one after the other.

        Raises:
            AsrtoolError: frames that differ in number from utt2num_frames, another dimension, or values that are not numbers.
        """
        if self.in_memory:
            if batch not in self._features:
                self._features[batch] = self._load(batch)
            return self._features[batch]
        number, ahead = self._ahead or (-1, None)
        features = ahead.result() if ahead is not None else None  # waited for in any case: a source has one reader at a time
        if number != batch:
            features = self._load(batch)
        following = (batch + 1) % len(self.batches)
        self._ahead = following, self._reader.submit(self._load, following)  # while the caller works on this one
        return features

    def _load(self, batch: int) -> np.ndarray:
        first, last = self.batches[batch]
        frames = self.batch_frames(batch)
        features = np.empty((frames.stop - frames.start, self.dim), dtype=np.float32)
        for index in range(first, last):
            at = self.frames_of(index)
            features[at.start - frames.start : at.stop - frames.start] = self._read(index, at.stop - at.start)
        return features

    def _read(self, index: int, num_frames: int) -> np.ndarray:
        utterance = self.utterances[index]
        matrix = self.source(utterance)
        if matrix.shape != (num_frames, self.dim):
            raise AsrtoolError(
                f"{utterance}: features are {matrix.shape[0]} frames x {matrix.shape[1]}, expected {num_frames} x {self.dim}; "
                "make the features again"
            )
        if not np.isfinite(np.sum(matrix, dtype=np.float64)):
            raise AsrtoolError(f"{utterance}: features hold a value that is not a number; make the features again")
        return matrix


class GraphStore:
    """The corpus's training graphs, kept in memory up to a limit.

    Args:
        compile_graph: words -> CsrGraph without transition costs; raises AsrtoolError where it cannot.
    """

    def __init__(
        self,
        corpus: GmmCorpus,
        compile_graph: Callable[[list[str]], CsrGraph],
        tid_to_pdf: np.ndarray,
        memory_limit_mib: int = 2048,
    ) -> None:
        self.corpus = corpus
        self.compile_graph = compile_graph
        self.tid_to_pdf = tid_to_pdf
        self.failures: dict[str, str] = {}
        self._memory_left = memory_limit_mib << 20
        self._graphs: dict[int, list[TrainingGraph | None]] = {}

    def graphs(self, batch: int) -> list[TrainingGraph | None]:
        """A graph for each utterance of the batch; None where there is none (see `failures`)."""
        if batch in self._graphs:
            return self._graphs[batch]
        first, last = self.corpus.batches[batch]
        graphs = [self._compile(utterance) for utterance in self.corpus.utterances[first:last]]
        size = sum(24 * graph.graph.num_arcs + 12 * graph.graph.num_states + 2000 for graph in graphs if graph is not None)
        if size <= self._memory_left:
            self._memory_left -= size
            self._graphs[batch] = graphs
        return graphs

    def _compile(self, utterance: str) -> TrainingGraph | None:
        try:
            return TrainingGraph.of(self.compile_graph(self.corpus.texts[utterance]), self.tid_to_pdf)
        except AsrtoolError as error:
            if utterance not in self.failures:
                print(f"WARNING: {utterance}: {error}", file=sys.stderr)
            self.failures[utterance] = str(error)
            return None


def _split(frames: np.ndarray, batch_frames: int) -> list[tuple[int, int]]:
    batches, first, size = [], 0, 0
    for index, count in enumerate(frames.tolist()):
        if size and size + count > batch_frames:
            batches.append((first, index))
            first, size = index, 0
        size += count
    return [*batches, (first, len(frames))]


def groups(weights: np.ndarray, number: int) -> Iterator[tuple[int, int]]:
    """Cuts items into at most `number` runs of about the same weight: (first, one past the last)."""
    ends = np.concatenate([[0], np.cumsum(weights)])
    cuts = np.searchsorted(ends, np.linspace(0, ends[-1], number + 1)[1:-1])
    bounds = np.unique(np.concatenate([[0], cuts, [len(weights)]]))
    yield from zip(bounds[:-1].tolist(), bounds[1:].tolist())
