"""The iterations of GMM training: align now and then, collect statistics, update, add Gaussians (Kaldi's train_mono.sh and
train_deltas.sh)."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.gmm.backend import CPU, Backend
from asrtool.gmm.diag_gmm import AmDiagGmm
from asrtool.gmm.estimate import MleOptions, mle_update
from asrtool.gmm.mixture import split_by_count
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.progress import Meter
from asrtool.train.align_pass import AlignOptions, check_failures, describe, log
from asrtool.train.gmm_corpus import GmmCorpus, GraphStore
from asrtool.train.gmm_passes import Accumulator, align_pass, equal_align_pass
from asrtool.train.gmm_state import GmmState

Adapt = Callable[[GmmState, ThreadPoolExecutor], str]
"""Changes the corpus's features, and with them the model of the state, between alignment and statistics; gives a piece of the
log line, empty where it has done nothing."""


@dataclass(frozen=True)
class GmmTrainingOptions:
    """The schedule; names and meanings as in Kaldi's steps.

    num_iters: the final model is that of this number. max_iter_inc: the last iteration that adds Gaussians.
    totgauss: their number in the end. realign_iters: iterations that align first. boost_silence: factor on the silence
    likelihoods in alignment. initial_beam: of the first iteration. max_failed: the share of utterances that may fail to align.
    """

    num_iters: int
    max_iter_inc: int
    totgauss: int
    realign_iters: tuple[int, ...]
    power: float = 0.25
    boost_silence: float = 1.0
    initial_beam: float = 10.0
    align: AlignOptions = field(default_factory=AlignOptions)
    mle: MleOptions = field(default_factory=MleOptions)
    min_count: float = 20.0
    perturb_factor: float = 0.01
    seed: int = 0
    max_failed: float = 0.25

    def __post_init__(self) -> None:
        if self.num_iters < 2 or self.max_iter_inc < 1 or self.totgauss < 1:
            raise AsrtoolError("--num-iters must be at least 2, --max-iter-inc and --totgauss at least 1")
        if min(self.initial_beam, self.align.beam) <= 0 or self.align.retry_beam <= max(self.initial_beam, self.align.beam):
            raise AsrtoolError("beams must be above 0, and --retry-beam above the others")
        if self.boost_silence <= 0:
            raise AsrtoolError("--boost-silence must be above 0")


class GmmTrainer:
    """Runs the iterations and keeps the state on disk.

    Args:
        silence_pdfs: pdfs whose likelihood is boosted in alignment.
        first_numgauss: Gaussians that the first update aims at.
        directory, fingerprint: see GmmState.
        adapt: called in each iteration, after its alignment and before its statistics (MLLT, fMLLR).
    """

    def __init__(
        self,
        corpus: GmmCorpus,
        graphs: GraphStore,
        transition_model: TransitionModel,
        silence_pdfs: np.ndarray,
        options: GmmTrainingOptions,
        first_numgauss: int,
        directory: Path,
        fingerprint: str,
        num_threads: int,
        adapt: Adapt | None = None,
        backend: Backend = CPU,
    ) -> None:
        self.corpus, self.graphs, self.transition_model = corpus, graphs, transition_model
        self.silence_pdfs, self.options, self.first_numgauss = silence_pdfs, options, first_numgauss
        self.directory, self.fingerprint, self.num_threads = directory, fingerprint, num_threads
        self.adapt = adapt or (lambda state, pool: "")
        self.backend = backend
        self._accumulator: Accumulator | None = None

    def run(self, state: GmmState) -> GmmState:
        """From `state` to the final model; the state is saved after each iteration."""
        self.transition_model.log_probs = state.log_probs.copy()
        meter = Meter(self.options.num_iters, f"{self.directory}: iterations", start=state.iteration)
        with ThreadPoolExecutor(self.num_threads) as pool:
            while state.iteration < self.options.num_iters:
                start = time.monotonic()
                aligned = self._align(state, pool)
                adapted = self.adapt(state, pool)
                state, line = self._update(state, pool)
                state.save(self.directory, self.fingerprint)
                seconds = time.monotonic() - start
                log("; ".join(filter(None, [f"iteration {state.iteration - 1}: {line}", adapted, aligned, f"{seconds:.2f} s"])))
                meter.show(state.iteration)
        return state

    def _align(self, state: GmmState, pool: ThreadPoolExecutor) -> str:
        """Aligns where the schedule says so; returns a piece of the log line."""
        options = self.options
        if state.iteration == 0:
            state.alignment, report = equal_align_pass(self.corpus, self.graphs)
        elif state.iteration in options.realign_iters:
            beam = options.initial_beam if state.iteration == 1 else options.align.beam
            align_options = replace(options.align, beam=beam)
            parameters = state.model.boosted_parameters(self.silence_pdfs, options.boost_silence)
            state.alignment, report = align_pass(
                self.corpus, self.graphs, self.transition_model, state.model, parameters, align_options, pool, self.backend
            )
        else:
            return ""
        state.alignment_iteration = state.iteration
        self._accumulator = None
        check_failures(report, options.max_failed)
        return describe(report)

    def _update(self, state: GmmState, pool: ThreadPoolExecutor) -> tuple[GmmState, str]:
        options, x = self.options, state.iteration
        if self._accumulator is None:
            pdf_of_tid = self.transition_model.tid_to_pdf
            self._accumulator = Accumulator(self.corpus, state.alignment, pdf_of_tid, state.model.num_pdfs, self.backend)
        statistics = self._accumulator.collect(state.model, pool, self.num_threads)
        if statistics.num_frames == 0:
            raise AsrtoolError("no utterance could be aligned: are features and texts of the same data, at the same frame rate?")
        counts = np.bincount(state.alignment, minlength=len(self.transition_model.log_probs)).astype(np.float64)
        counts[0] = 0
        self.transition_model.update(counts)
        # in the flat start, rare phones would lose their only Gaussian's update at the usual minimum, and never align
        mle = options.mle if x > 0 else MleOptions(min_gaussian_occupancy=3.0)
        model, update = mle_update(state.model, statistics, mle)
        occupancies = statistics.pdf_occupancies(state.model)
        numgauss, seed = self._numgauss(x), [options.seed, x]
        model = split_by_count(model, occupancies, numgauss, options.power, options.min_count, options.perturb_factor, seed)
        loglike = statistics.loglike / statistics.num_frames
        line = (
            f"loglike/frame {loglike:.4f} over {statistics.num_frames} frames; {model.num_gaussians} Gaussians, "
            f"{update.removed_gaussians} removed, {update.floored_elements} variances floored"
        )
        log_probs, loglikes = self.transition_model.log_probs.copy(), [*state.loglikes, loglike]
        at = state.alignment_iteration
        return GmmState(x + 1, model, log_probs, occupancies, state.alignment, at, loglikes, self.backend.name), line

    def _numgauss(self, iteration: int) -> int:
        """Kaldi's numgauss at an update: it grows by a fixed step after each of the iterations 1 to max_iter_inc."""
        step = (self.options.totgauss - self.first_numgauss) // self.options.max_iter_inc
        return self.first_numgauss + max(step, 0) * min(max(iteration - 1, 0), self.options.max_iter_inc)


def initial_state(
    model: AmDiagGmm, transition_model: TransitionModel, alignment: np.ndarray, iteration: int, backend: Backend = CPU
) -> GmmState:
    """Where training starts: at iteration 0 with an equal alignment to come, or at 1 with an alignment at hand."""
    log_probs, occupancies = transition_model.log_probs.copy(), np.zeros(model.num_pdfs)
    return GmmState(iteration, model, log_probs, occupancies, alignment, iteration - 1, [], backend.name)
