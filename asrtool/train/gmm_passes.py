"""The two passes of GMM training over the data: alignment, and accumulation of statistics; both on a pool of threads.

An utterance's alignment depends on nothing but the utterance. Statistics are collected in pieces of a fixed number of frames
of one pdf, and the pieces added in a fixed order: the results do not depend on the number of threads.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from asrtool.decoder.aligner import align_equally
from asrtool.gmm.backend import CPU, Backend
from asrtool.gmm.diag_gmm import AmDiagGmm
from asrtool.gmm.estimate import GmmStatistics
from asrtool.hmm.transition_model import TransitionModel
from asrtool.train.align_pass import AlignOptions, AlignReport, Scores, align_corpus
from asrtool.train.gmm_corpus import GmmCorpus, GraphStore, groups

PIECE_FRAMES = 8192
GROUPS_A_THREAD = 4


def align_pass(
    corpus: GmmCorpus,
    graphs: GraphStore,
    transition_model: TransitionModel,
    model: AmDiagGmm,
    parameters: np.ndarray,
    options: AlignOptions,
    pool: ThreadPoolExecutor,
    backend: Backend = CPU,
) -> tuple[np.ndarray, AlignReport]:
    """`align_corpus` with a GMM's log-likelihoods.

    Args:
        parameters: `model.parameters`, or with boosted silence.
    """
    return align_corpus(corpus, graphs, transition_model, gmm_scores(model, parameters, backend), options, pool)


def gmm_scores(model: AmDiagGmm, parameters: np.ndarray, backend: Backend = CPU) -> Scores:
    """Log-likelihoods of a GMM for `align_corpus`."""
    return lambda frames, pdf_ids: backend.pdf_loglikes(frames, parameters, model.pdf_begin, pdf_ids)


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

    def __init__(
        self, corpus: GmmCorpus, alignment: np.ndarray, pdf_of_tid: np.ndarray, num_pdfs: int, backend: Backend = CPU
    ) -> None:
        self.corpus, self.backend = corpus, backend
        self.alignment = alignment
        self.pdf_of_tid = pdf_of_tid
        self.num_pdfs = num_pdfs
        self._sorted: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}

    def collect(self, model: AmDiagGmm, pool: ThreadPoolExecutor, num_threads: int) -> GmmStatistics:
        """One pass over the data."""
        statistics = GmmStatistics.zeros(model)
        for batch in range(len(self.corpus.batches)):
            # no name for the features: they would stay in memory while the next batch is read
            self._collect_batch(self.corpus.features(batch), *self._pieces(batch), model, statistics, pool, num_threads)
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

    def _collect_batch(self, features, order, pieces, pdf_of_piece, model, statistics, pool, num_threads) -> None:
        rows = np.stack([model.pdf_begin[pdf_of_piece], model.pdf_begin[pdf_of_piece + 1]], axis=1)
        sizes = rows[:, 1] - rows[:, 0]
        out = np.cumsum(sizes) - sizes
        partial = np.zeros((int(sizes.sum()), statistics.gaussians.shape[1]))
        loglikes = np.zeros(len(pieces))
        parameters = model.parameters

        def collect_group(part: tuple[int, int]) -> None:
            self.backend.accumulate(features, order, pieces, rows, out, parameters, part[0], part[1], partial, loglikes)

        work = (pieces[:, 1] - pieces[:, 0]) * (4 + sizes)
        number = 1 if self.backend.one_at_a_time else GROUPS_A_THREAD * num_threads
        list(pool.map(collect_group, groups(work, number)))
        for (first, last), begin, size in zip(rows.tolist(), out.tolist(), sizes.tolist()):
            statistics.gaussians[first:last] += partial[begin : begin + size]
        statistics.loglike += float(loglikes.sum())
        statistics.num_frames += len(order)
