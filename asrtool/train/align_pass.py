"""Viterbi alignment of all utterances of a corpus on a pool of threads, whatever gives the log-likelihoods."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from asrtool.decoder.aligner import Alignment, align_arcs
from asrtool.errors import AsrtoolError
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.progress import Meter
from asrtool.train.gmm_corpus import GmmCorpus, GraphStore, TrainingGraph, groups

GROUP_FRAMES = 1 << 14  # of the utterances that a thread takes at a time

Scores = Callable[[list[np.ndarray], list[np.ndarray]], Iterator[tuple[int, np.ndarray]]]
"""(frames float32 [T, D] of some utterances, the pdf_ids int32 [K] that each needs) -> for each of them, in any order,
(its number, log-likelihoods float32 [K, T]); called in several threads."""


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


def align_corpus(
    corpus: GmmCorpus,
    graphs: GraphStore,
    transition_model: TransitionModel,
    scores: Scores,
    options: AlignOptions,
    pool: ThreadPoolExecutor,
) -> tuple[np.ndarray, AlignReport]:
    """Viterbi alignments of all utterances: transition-ids int32 [frames of the corpus], 0 where an utterance failed.

    Utterances are grouped without regard to the number of threads, which therefore does not change the results.
    """
    alignment = np.zeros(corpus.num_frames, dtype=np.int32)
    costs = transition_model.scaled_costs(options.transition_scale, options.self_loop_scale).astype(np.float32)
    report = AlignReport()
    meter = Meter(len(corpus.utterances), "aligning")

    def align_group(features: np.ndarray, batch_graphs: list[TrainingGraph | None], batch: int, part: tuple[int, int]):
        begin, offset = corpus.batches[batch][0], corpus.batch_frames(batch).start
        places = [corpus.frames_of(begin + index) for index in range(*part)]
        frames = [features[at.start - offset : at.stop - offset] for at in places]
        return _align_group(frames, batch_graphs[slice(*part)], scores, costs, options)

    for batch, (begin, end) in enumerate(corpus.batches):
        features, batch_graphs = corpus.features(batch), graphs.graphs(batch)
        number = -(-len(features) // GROUP_FRAMES)
        parts = list(groups(np.diff(corpus.first_frame[begin : end + 1]), max(number, 1)))
        jobs = pool.map(lambda part, data=(features, batch_graphs, batch): align_group(*data, part), parts)
        for index, result in enumerate((one for part in jobs for one in part), begin):
            meter.show(index)
            if result is None:
                report.failed.append(corpus.utterances[index])
                continue
            alignment[corpus.frames_of(index)] = result.transition_ids
            report.aligned += 1
            report.retried += result.retried
            report.num_frames += len(result.transition_ids)
            report.loglike += result.log_likelihood
        del features, batch_graphs, jobs  # before the next are there
    meter.clear()
    return alignment, report


def _align_group(
    frames: list[np.ndarray], group: list[TrainingGraph | None], scores: Scores, costs: np.ndarray, options: AlignOptions
) -> list[Alignment | None]:
    """Some utterances; `costs` by transition-id."""
    results: list[Alignment | None] = [None] * len(group)
    there = [index for index, graph in enumerate(group) if graph is not None]
    for number, loglikes in scores([frames[index] for index in there], [group[index].pdf_ids for index in there]):
        training_graph, (_, size) = group[there[number]], loglikes.shape
        graph, flat, scale = training_graph.graph, loglikes.reshape(-1), options.acoustic_scale
        arc_cost = graph.arc_cost + costs[graph.arc_ilabel]
        results[there[number]] = align_arcs(
            graph, training_graph.arc_pdf, arc_cost, flat, size, 1, size, scale, options.beam, options.retry_beam
        )
    return results


def describe(report: AlignReport) -> str:
    """A piece of the log line."""
    text = f"aligned {report.aligned} utterances, {report.retried} retried, {len(report.failed)} failed"
    return text + (f", {report.loglike / report.num_frames:.4f} a frame" if report.loglike and report.num_frames else "")


def check_failures(report: AlignReport, max_failed: float) -> None:
    """Lists the utterances that failed; AsrtoolError when they are too many."""
    total = report.aligned + len(report.failed)
    if report.failed:
        log(f"WARNING: not aligned: {' '.join(report.failed[:20])}{' ...' if len(report.failed) > 20 else ''}")
    if len(report.failed) > max_failed * total:
        raise AsrtoolError(
            f"{len(report.failed)} of {total} utterances could not be aligned (allowed: {max_failed:.0%}), the first: "
            f"{report.failed[0]}; do texts and recordings belong together, and are the words in the lexicon?"
        )


def log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
