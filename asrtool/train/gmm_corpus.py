"""The training utterances of a GMM: features in memory batch by batch, and their training graphs.

Everything is grouped into batches of about a million frames, in the order of the utterance names. What fits the memory limit
stays in memory; beyond it features are read and graphs compiled again in every pass, with the same results.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph
from asrtool.gmm.features import apply_transform

BATCH_FRAMES = 1_000_000


class FeatureSource(Protocol):
    """What gmm.features.GmmFeatures and feat.pipeline.FeaturePipeline offer; transforms of speakers need `data` too."""

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
        self._memory_limit = memory_limit_mib << 20
        self.in_memory = self._size <= self._memory_limit
        self._features: dict[int, np.ndarray] = {}
        self._adapted: dict[int, np.ndarray] = {}
        self._transforms: list[np.ndarray] = []
        self._speaker_transforms: dict[str, np.ndarray] = {}
        self._reader = ThreadPoolExecutor(1)
        self._ahead: tuple[int, Future] | None = None

    @property
    def num_frames(self) -> int:
        return int(self.first_frame[-1])

    @property
    def _size(self) -> int:
        """Bytes of all features."""
        return self.num_frames * self.dim * 4

    @property
    def fingerprint_parts(self) -> list[object]:
        """What a run's fingerprint says of its data."""
        return [self.utterances, self.first_frame, [self.texts[utterance] for utterance in self.utterances], self.dim]

    def frames_of(self, index: int) -> slice:
        """Where utterance number `index` lies in arrays over all frames."""
        return slice(int(self.first_frame[index]), int(self.first_frame[index + 1]))

    def batch_frames(self, batch: int) -> slice:
        """Where a batch lies in arrays over all frames."""
        first, last = self.batches[batch]
        return slice(int(self.first_frame[first]), int(self.first_frame[last]))

    def speaker(self, index: int) -> str:
        """The speaker of utterance number `index`, by the data directory's utt2spk."""
        return self.source.data.speaker(self.utterances[index])

    def transform(self, matrix: np.ndarray) -> None:
        """From now on all features are also transformed by `matrix`, [D, D] or [D, D + 1], after earlier ones (MLLT).

        Utterance by utterance, so that a corpus that is made anew and given the same matrices has the same features.
        """
        matrix = np.ascontiguousarray(matrix, dtype=np.float32)
        self._check_transform(matrix, "a transform of all features")
        self._forget_ahead()
        self._transforms.append(matrix)
        self._adapted.clear()
        for batch, features in self._features.items():
            for _, rows in self._utterances_of(batch, features):
                rows[:] = apply_transform(rows, matrix)

    def set_speaker_transforms(self, transforms: Mapping[str, np.ndarray]) -> None:
        """From now on `features` gives those of each speaker transformed by [D, D] or [D, D + 1] (fMLLR), instead of by earlier
        ones; a speaker without a transform has features as they are.

        Raises:
            AsrtoolError: a transform of another size.
        """
        transforms = {speaker: np.ascontiguousarray(one, dtype=np.float32) for speaker, one in transforms.items()}
        for speaker, matrix in transforms.items():
            self._check_transform(matrix, f"the transform of speaker '{speaker}'")
        self._speaker_transforms = transforms
        self._adapted.clear()

    def _check_transform(self, matrix: np.ndarray, name: str) -> None:
        if matrix.shape not in ((self.dim, self.dim), (self.dim, self.dim + 1)) or not np.all(np.isfinite(matrix)):
            raise AsrtoolError(f"{name} is {matrix.shape} or not finite; features have {self.dim} dimensions")

    def features(self, batch: int) -> np.ndarray:
        """float32 [N, D] of all utterances of a batch, one after the other, with the speakers' transforms.

        Raises:
            AsrtoolError: frames that differ in number from utt2num_frames, another dimension, or values that are not numbers.
        """
        return self.adapted(batch, self.base_features(batch))

    def adapted(self, batch: int, base: np.ndarray) -> np.ndarray:
        """`features` from those without the speakers' transforms, which are left as they are."""
        if not self._speaker_transforms:
            return base
        if batch not in self._adapted:
            adapted = base.copy()
            for index, rows in self._utterances_of(batch, adapted):
                matrix = self._speaker_transforms.get(self.speaker(index))
                if matrix is not None:
                    rows[:] = apply_transform(rows, matrix)
            if 2 * self._size > self._memory_limit:
                return adapted
            self._adapted[batch] = adapted
        return self._adapted[batch]

    def base_features(self, batch: int) -> np.ndarray:
        """The same without the speakers' transforms."""
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

    def _forget_ahead(self) -> None:
        """Drops what was read ahead."""
        if self._ahead is not None:
            self._ahead[1].result()
            self._ahead = None

    def _utterances_of(self, batch: int, features: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """(number of the utterance, its rows of the batch's features)."""
        offset = self.batch_frames(batch).start
        for index in range(*self.batches[batch]):
            at = self.frames_of(index)
            yield index, features[at.start - offset : at.stop - offset]

    def _load(self, batch: int) -> np.ndarray:
        frames = self.batch_frames(batch)
        features = np.empty((frames.stop - frames.start, self.dim), dtype=np.float32)
        for index, rows in self._utterances_of(batch, features):
            rows[:] = self._read(index, len(rows))
            for matrix in self._transforms:
                rows[:] = apply_transform(rows, matrix)
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
