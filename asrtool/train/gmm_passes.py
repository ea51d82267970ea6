"""The two passes of GMM training over the data: alignment, and accumulation of statistics; both on a pool of threads.

An utterance's alignment depends on nothing but the utterance. Statistics are collected in pieces of a fixed number of frames
of one pdf, and the pieces added in a fixed order: the results do not depend on the number of threads.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from asrtool.decoder.aligner import Alignment, align_arcs, align_equally
from asrtool.gmm.diag_gmm import AmDiagGmm
from asrtool.gmm.estimate import GmmStatistics
from asrtool.gmm.gmm_kernels import accumulate, pdf_loglikes
from asrtool.hmm.transition_model import TransitionModel
from asrtool.train.gmm_corpus import GmmCorpus, GraphStore, TrainingGraph, groups

PIECE_FRAMES = 8192
GROUPS_A_THREAD = 4


@dataclass(frozen=True)
class AlignOptions:
    """Scales and beams of the aligner (Kaldi's gmm-align-compiled)."""

    acoustic_scale: float = 0.1
    transition_scale: float = 1.0
    self_loop_scale: float = 0.1
    beam: float = 10.0
    retry_beam: float = 40.0


@dataclass
class AlignReport:
    """How a pass went; loglike is the sum over aligned utterances, graph costs included, over num_frames."""

    loglike: float = 0.0
    num_frames: int = 0
    aligned: int = 0
    retried: int = 0
    failed: list[str] = field(default_factory=list)


def align_pass(
    corpus: GmmCorpus,
    graphs: GraphStore,
    transition_model: TransitionModel,
    model: AmDiagGmm,
    parameters: np.ndarray,
    options: AlignOptions,
    pool: ThreadPoolExecutor,
    num_threads: int,
) -> tuple[np.ndarray, AlignReport]:
    """Viterbi alignments of all utterances: transition-ids int32 [frames of the corpus], 0 where an utterance failed.

    Args:
        parameters: `model.parameters`, or with boosted silence.
    """
    alignment = np.zeros(corpus.num_frames, dtype=np.int32)
    costs = transition_model.scaled_costs(options.transition_scale, options.self_loop_scale).astype(np.float32)
    report = AlignReport()

    def align_group(batch: int, first: int, last: int) -> list[Alignment | None]:
        begin, offset = corpus.batches[batch][0], corpus.batch_frames(batch).start
        results = []
        for index in range(first, last):
            at, graph = corpus.frames_of(begin + index), batch_graphs[index]
            frames = features[at.start - offset : at.stop - offset]
            results.append(None if graph is None else _align_one(frames, graph, model, parameters, costs, options))
        return results

    for batch, (begin, end) in enumerate(corpus.batches):
        features, batch_graphs = corpus.features(batch), graphs.graphs(batch)
        parts = list(groups(np.diff(corpus.first_frame[begin : end + 1]), GROUPS_A_THREAD * num_threads))
        results = [one for part in pool.map(lambda part, batch=batch: align_group(batch, *part), parts) for one in part]
        for index, result in enumerate(results, begin):
            if result is None:
                report.failed.append(corpus.utterances[index])
                continue
            alignment[corpus.frames_of(index)] = result.transition_ids
            report.aligned += 1
            report.retried += result.retried
            report.num_frames += len(result.transition_ids)
            report.loglike += result.log_likelihood
    return alignment, report


def _align_one(
    frames: np.ndarray,
    training_graph: TrainingGraph,
    model: AmDiagGmm,
    parameters: np.ndarray,
    costs: np.ndarray,
    options: AlignOptions,
) -> Alignment | None:
    """One utterance, float32 [T, D]; `costs` by transition-id."""
    graph, size = training_graph.graph, len(frames)
    loglikes = np.empty((len(training_graph.pdf_ids), size), dtype=np.float32)
    pdf_loglikes(frames, parameters, model.pdf_begin, training_graph.pdf_ids, loglikes)
    arc_cost = graph.arc_cost + costs[graph.arc_ilabel]
    flat, scale = loglikes.reshape(-1), options.acoustic_scale
    return align_arcs(graph, training_graph.arc_pdf, arc_cost, flat, size, 1, size, scale, options.beam, options.retry_beam)


def equal_align_pass(corpus: GmmCorpus, graphs: GraphStore) -> tuple[np.ndarray, AlignReport]:
    """Alignments for the flat start: a random path of each graph, its states about equally long; otherwise as `align_pass`."""
    alignment = np.zeros(corpus.num_frames, dtype=np.int32)
    report = AlignReport()
    for batch, (begin, _) in enumerate(corpus.batches):
        for index, graph in enumerate(graphs.graphs(batch), begin):
            at, utterance = corpus.frames_of(index), corpus.utterances[index]
            path = None if graph is None else align_equally(graph.graph, at.stop - at.start, utterance)
            if path is None:
                report.failed.append(utterance)
                continue
            alignment[at] = path
            report.aligned += 1
            report.num_frames += len(path)
    return alignment, report


class Accumulator:
    """Collects statistics for a fixed alignment; frames are grouped by pdf once.

    Args:
        alignment: int32 [frames of the corpus], 0 where a frame is not aligned.
        pdf_of_tid: int32 [num_transition_ids + 1].
    """

    def __init__(self, corpus: GmmCorpus, alignment: np.ndarray, pdf_of_tid: np.ndarray, num_pdfs: int) -> None:
        self.corpus = corpus
        self.alignment = alignment
        self.pdf_of_tid = pdf_of_tid
        self.num_pdfs = num_pdfs
        self._sorted: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def collect(self, model: AmDiagGmm, pool: ThreadPoolExecutor, num_threads: int) -> GmmStatistics:
        """One pass over the data."""
        statistics = GmmStatistics.zeros(model)
        for batch in range(len(self.corpus.batches)):
            features = self.corpus.features(batch)
            order, pieces, pdf_of_piece = self._pieces(batch)
            self._collect_batch(features, order, pieces, pdf_of_piece, model, statistics, pool, num_threads)
        return statistics

    def _pieces(self, batch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(frames by pdf int64 [M], ranges of it int64 [K, 2], pdf of each int64 [K])."""
        if batch in self._sorted:
            return self._sorted[batch]
        pdf = self.pdf_of_tid[self.alignment[self.corpus.batch_frames(batch)]]
        order = np.argsort(pdf, kind="stable")[np.count_nonzero(pdf < 0) :]
        counts = np.bincount(pdf[pdf >= 0], minlength=self.num_pdfs)
        ends = np.cumsum(counts)
        number = -(-counts // PIECE_FRAMES)
        pdf_of_piece = np.repeat(np.arange(self.num_pdfs), number)
        rank = np.arange(len(pdf_of_piece)) - np.repeat(np.cumsum(number) - number, number)
        begin = (ends - counts)[pdf_of_piece] + PIECE_FRAMES * rank
        pieces = np.stack([begin, np.minimum(begin + PIECE_FRAMES, ends[pdf_of_piece])], axis=1)
        result = order, pieces, pdf_of_piece
        if self.corpus.in_memory:
            self._sorted[batch] = result
        return result

    @staticmethod
    def _collect_batch(features, order, pieces, pdf_of_piece, model, statistics, pool, num_threads) -> None:
        rows = np.stack([model.pdf_begin[pdf_of_piece], model.pdf_begin[pdf_of_piece + 1]], axis=1)
        sizes = rows[:, 1] - rows[:, 0]
        out = np.cumsum(sizes) - sizes
        partial = np.zeros((int(sizes.sum()), statistics.gaussians.shape[1]))
        loglikes = np.zeros(len(pieces))
        parameters = model.parameters

        def collect_group(part: tuple[int, int]) -> None:
            accumulate(features, order, pieces, rows, out, parameters, part[0], part[1], partial, loglikes)

        work = (pieces[:, 1] - pieces[:, 0]) * (4 + sizes)
        list(pool.map(collect_group, groups(work, GROUPS_A_THREAD * num_threads)))
        for (first, last), begin, size in zip(rows.tolist(), out.tolist(), sizes.tolist()):
            statistics.gaussians[first:last] += partial[begin : begin + size]
        statistics.loglike += float(loglikes.sum())
        statistics.num_frames += len(order)
