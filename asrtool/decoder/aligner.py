"""Forced alignment: the best path of an utterance through its training graph (Kaldi's gmm-align-compiled, align-equal)."""

import zlib
from dataclasses import dataclass

import numpy as np

from asrtool.fst.csr import CsrGraph


@dataclass(frozen=True)
class Alignment:
    """transition_ids int32 [T]; log_likelihood: minus the path's cost, divided by the acoustic scale as in Kaldi's logs;
    retried: whether the first beam was too narrow."""

    transition_ids: np.ndarray
    log_likelihood: float
    retried: bool


def align(
    graph: CsrGraph,
    loglikes: np.ndarray,
    tid_to_pdf: np.ndarray,
    acoustic_scale: float = 0.1,
    beam: float = 10.0,
    retry_beam: float = 40.0,
) -> Alignment | None:
    """The best path of a training graph that has its transition costs; None where no path survives the wider beam.

    Args:
        graph: input labels are transition-ids (0 is epsilon).
        loglikes: float32 [T, P], natural logs.
        tid_to_pdf: int32 [num_transition_ids + 1].
        retry_beam: tried when `beam` ends in no final state; 0 for no second attempt.
    """
    arc_pdf = np.where(graph.arc_ilabel == 0, -1, tid_to_pdf[graph.arc_ilabel]).astype(np.int32)
    loglikes = np.require(loglikes, np.float32, ["C", "W"])
    num_frames, num_pdfs = loglikes.shape
    flat = loglikes.reshape(-1)
    return align_arcs(graph, arc_pdf, graph.arc_cost, flat, num_frames, num_pdfs, 1, acoustic_scale, beam, retry_beam)


def align_arcs(
    graph: CsrGraph,
    arc_pdf: np.ndarray,
    arc_cost: np.ndarray,
    loglikes: np.ndarray,
    num_frames: int,
    frame_stride: int,
    pdf_stride: int,
    acoustic_scale: float,
    beam: float,
    retry_beam: float,
) -> Alignment | None:
    """As `align`, for arrays prepared by the caller (see `aligner_kernels.viterbi_align`)."""
    from asrtool.decoder.aligner_kernels import viterbi_align

    if graph.start < 0 or num_frames == 0:
        return None
    path = np.empty(num_frames, dtype=np.int32)
    for attempt, width in enumerate((beam, retry_beam) if retry_beam else (beam,)):
        cost = viterbi_align(
            int(graph.start),
            graph.arc_begin,
            arc_pdf,
            graph.arc_nextstate,
            arc_cost,
            graph.final_cost,
            loglikes,
            num_frames,
            frame_stride,
            pdf_stride,
            float(acoustic_scale),
            float(width),
            path,
        )
        if cost < np.inf:
            return Alignment(graph.arc_ilabel[path], -cost / acoustic_scale, attempt > 0)
    return None


def align_equally(graph: CsrGraph, num_frames: int, utterance: str, num_retries: int = 10) -> np.ndarray | None:
    """int32 [T] transition-ids of a random path, its states about equally long; None where the utterance is too short for it.

    The choice depends on the utterance's name alone.
    """
    from asrtool.decoder.aligner_kernels import random_equal_path

    path = np.zeros(num_frames, dtype=np.int32)
    if graph.start < 0 or num_frames == 0:
        return None
    found = random_equal_path(
        int(graph.start),
        graph.arc_begin,
        graph.arc_ilabel,
        graph.arc_nextstate,
        graph.final_cost,
        num_frames,
        zlib.crc32(utterance.encode()),
        num_retries,
        path,
    )
    return path if found else None
