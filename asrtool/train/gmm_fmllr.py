"""fMLLR transforms of a corpus's speakers from alignments (Kaldi's ali-to-post | weight-silence-post | gmm-est-fmllr)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from asrtool.gmm.backend import CPU, Backend
from asrtool.gmm.diag_gmm import AmDiagGmm
from asrtool.gmm.fmllr import FmllrEstimate, FmllrOptions, FmllrStatistics
from asrtool.gmm.fmllr_speakers import SpeakerEstimator
from asrtool.gmm.fmllr_statistics import FramePdfs, collect_fmllr
from asrtool.train.gmm_corpus import GmmCorpus

PART_FRAMES = 1 << 14


def estimate_speakers(
    corpus: GmmCorpus,
    alignment: np.ndarray,
    pdf_of_tid: np.ndarray,
    weight_of_tid: np.ndarray,
    model: AmDiagGmm,
    options: FmllrOptions,
    pool: ThreadPoolExecutor,
    target: AmDiagGmm | None = None,
    backend: Backend = CPU,
) -> dict[str, FmllrEstimate]:
    """The transform of each speaker, in addition to the one that the corpus's features have already.

    Statistics are collected in parts that do not depend on the number of threads, and added in a fixed order.

    Args:
        alignment: transition-ids int32 [frames of the corpus], 0 where a frame is not aligned.
        pdf_of_tid: int32 [num_transition_ids + 1]; weight_of_tid: float32, e.g. `silence_weights`.
        model, target: see `collect_fmllr`.
    """
    parts = [list(_parts(corpus, batch)) for batch in range(len(corpus.batches))]
    estimator = SpeakerEstimator([speaker for its in parts for speaker, _ in its], options)

    def collect(features: np.ndarray, rows: slice, offset: int) -> FmllrStatistics:
        tids = alignment[rows]
        pairs = FramePdfs.aligned(pdf_of_tid[tids], np.where(tids > 0, weight_of_tid[tids], 0))
        return collect_fmllr(features[rows.start - offset : rows.stop - offset], pairs, model, target, backend)

    for batch, its in enumerate(parts):
        features, offset = corpus.features(batch), corpus.batch_frames(batch).start
        results = pool.map(lambda part, features=features, offset=offset: collect(features, part[1], offset), its)
        for (speaker, _), statistics in zip(its, results, strict=True):
            estimator.add(speaker, statistics)
    return estimator.finish()


def _parts(corpus: GmmCorpus, batch: int) -> Iterator[tuple[str, slice]]:
    """(speaker, frames of the corpus): runs of utterances of one speaker, of about PART_FRAMES at most."""
    speaker, begin, end = "", 0, 0
    for index in range(*corpus.batches[batch]):
        rows, its = corpus.frames_of(index), corpus.speaker(index)
        if end > begin and (its != speaker or rows.stop - begin > PART_FRAMES):
            yield speaker, slice(begin, end)
            begin = rows.start
        elif end == begin:
            begin = rows.start
        speaker, end = its, rows.stop
    if end > begin:
        yield speaker, slice(begin, end)
