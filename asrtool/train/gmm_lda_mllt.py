"""Triphones on spliced features after LDA and MLLT (Kaldi's steps/train_lda_mllt.sh)."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrtool.data.data_dir import DataDir
from asrtool.errors import AsrtoolError
from asrtool.feat.pipeline import FeaturePipeline
from asrtool.gmm.backend import CPU, Backend
from asrtool.gmm.diag_gmm import AmDiagGmm
from asrtool.gmm.feature_options import parse_feature_options, write_feature_options
from asrtool.gmm.features import GmmFeatures
from asrtool.gmm.lda import LdaStatistics, estimate_lda
from asrtool.gmm.mllt import MlltStatistics, estimate_mllt, transform_means
from asrtool.gmm.random_prune import random_prune
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.kaldi_table import read_matrix_file, write_matrix_file
from asrtool.train.align_pass import log
from asrtool.train.gmm_corpus import GmmCorpus
from asrtool.train.gmm_lang import GmmLang
from asrtool.train.gmm_run import begin, finish, run_log
from asrtool.train.gmm_state import GmmState
from asrtool.train.gmm_trainer import Adapt
from asrtool.train.gmm_triphones import TriphoneOptions, load_alignment, run_fingerprint, run_triphones, start_triphones
from asrtool.tree.context_dependency import ContextDependency

MLLT_ITERS = (2, 4, 6, 12)
GROUP_PDFS = 64  # whose statistics a thread collects at a time; part of the arithmetic


@dataclass(frozen=True)
class LdaMlltOptions(TriphoneOptions):
    """
    Attributes:
        dim: of the features after LDA.
        splice_opts: as Kaldi's splice-feats takes them; 4 frames to each side by default.
        mllt_iters: iterations that estimate MLLT.
        rand_prune: threshold of random pruning in both; a posterior below it is mostly left out, the others raised to it.
        lda_matrix: a file to take the first transform from, instead of estimating LDA.
    """

    dim: int = 40
    splice_opts: str = ""
    mllt_iters: tuple[int, ...] = MLLT_ITERS
    rand_prune: float = 4.0
    lda_matrix: Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dim < 1 or self.rand_prune < 0:
            raise AsrtoolError("--dim must be at least 1, --randprune at least 0")


def train_lda_mllt(
    data_dir: str | Path, lang_dir: str | Path, alignment_dir: str | Path, directory: str | Path, options: LdaMlltOptions
) -> None:
    """Trains on the alignments of another model; writes an experiment directory that Kaldi's steps can read: final.mat is the
    whole transform of spliced features, full.mat the square LDA matrix.

    A run that was killed goes on after its last whole iteration, with the same results; a finished one returns at once.

    Raises:
        AsrtoolError: missing or unfitting data, too few frames or classes, or too many utterances that cannot be aligned.
    """
    directory, alignment_dir = Path(directory), Path(alignment_dir)
    data, lang = DataDir.load(data_dir), GmmLang.load(lang_dir)
    lang.check_same_phones(alignment_dir / "phones.txt")
    old_model = TransitionModel.read_file(alignment_dir / "final.mdl")
    spliced = FeaturePipeline(data, parse_feature_options(options.run.cmvn_opts, splice_opts=options.splice_opts))
    unread = GmmCorpus(spliced, data.text)
    alignment = load_alignment(unread, alignment_dir)
    files = [alignment_dir / "final.mdl", *([options.lda_matrix] if options.lda_matrix else [])]
    more = [options.dim, options.splice_opts, options.mllt_iters, options.rand_prune, *files]
    digest = run_fingerprint("lda-mllt", unread, alignment, lang, options, more)
    state, is_done = begin(directory, digest, options.training.num_iters, options.run.backend)
    if is_done:
        return
    with run_log(directory / "iterations.log", resumed=state is not None):
        if state is None:
            _write_lda(unread, alignment, old_model, lang, options, directory)
        corpus = GmmCorpus(
            GmmFeatures(spliced, read_matrix_file(directory / "0.mat")), data.text, options.run.memory_limit_mib
        )  # fmt: skip
        if state is None:
            tree, transition_model, state = start_triphones(corpus, alignment, old_model, lang, options)
            tree.write_file(directory / "tree")
            write_feature_options(directory, options.run.cmvn_opts, splice_opts=options.splice_opts)
            state.save(directory, digest)
        else:
            tree = ContextDependency.read_file(directory / "tree")
            transition_model = TransitionModel.from_tree(tree, lang.topology)
            for iteration in _mllt_before(state.iteration, options):
                corpus.transform(read_matrix_file(directory / f"{iteration}.mat.new"))
        adapt = _mllt(corpus, transition_model, lang, options, directory)
        state = run_triphones(corpus, lang, tree, transition_model, state, options, directory, digest, adapt)
        _write_final_matrix(directory, _mllt_before(state.iteration, options))
        finish(directory, corpus, state, transition_model, lang)


def _mllt_before(iteration: int, options: LdaMlltOptions) -> list[int]:
    """The iterations before this one that have estimated MLLT, the first of which is number 1."""
    return [one for one in sorted(set(options.mllt_iters)) if 1 <= one < iteration]


def _write_lda(
    corpus: GmmCorpus,
    alignment: np.ndarray,
    model: TransitionModel,
    lang: GmmLang,
    options: LdaMlltOptions,
    directory: Path,
) -> None:
    """Estimates LDA with the pdfs of an alignment as classes, silence left out, and writes 0.mat and full.mat; or copies a
    matrix that is given to 0.mat."""
    if options.lda_matrix:
        write_matrix_file(directory / "0.mat", read_matrix_file(options.lda_matrix))
        return
    statistics = LdaStatistics(model.num_pdfs, corpus.dim)
    random = np.random.default_rng([options.training.seed, 0])
    for index, utterance in enumerate(corpus.utterances):
        tids = alignment[corpus.frames_of(index)]
        weights = random_prune(_speech(tids, model, lang).astype(np.float32), options.rand_prune, random)
        if weights.any():
            statistics.add(corpus.source(utterance), model.tid_to_pdf[tids], weights)
    matrix, full, variances = estimate_lda(statistics, options.dim)
    log(
        f"LDA: {statistics.counts.sum():.0f} frames; {variances[: options.dim].sum():.4f} of {variances.sum():.4f}, the variance "
        "between classes, is kept"
    )
    write_matrix_file(directory / "0.mat", matrix.astype(np.float32))
    write_matrix_file(directory / "full.mat", full.astype(np.float32))


def _speech(tids: np.ndarray, model: TransitionModel, lang: GmmLang) -> np.ndarray:
    """bool [T]: frames that are aligned, and not with silence."""
    return (tids > 0) & ~np.isin(model.tid_to_phone[tids], lang.silence_phones)


def _mllt(corpus: GmmCorpus, transition_model: TransitionModel, lang: GmmLang, options: LdaMlltOptions, directory: Path) -> Adapt:
    """What GmmTrainer calls in each iteration; transforms features and means in those of `mllt_iters`."""

    def adapt(state: GmmState, pool: ThreadPoolExecutor) -> str:
        if state.iteration not in options.mllt_iters or state.iteration < 1:
            return ""
        speech = _speech(state.alignment, transition_model, lang)
        pdfs = np.where(speech, transition_model.tid_to_pdf[state.alignment], -1)
        seed = [options.training.seed, state.iteration]
        statistics = mllt_pass(corpus, pdfs, state.model, options.rand_prune, seed, pool, options.run.backend)
        matrix, gain = estimate_mllt(statistics)
        matrix = matrix.astype(np.float32)
        write_matrix_file(directory / f"{state.iteration}.mat.new", matrix)
        corpus.transform(matrix)
        state.model = transform_means(state.model, matrix)
        return f"MLLT gains {gain:.4f} a frame"

    return adapt


def mllt_pass(
    corpus: GmmCorpus,
    pdfs: np.ndarray,
    model: AmDiagGmm,
    rand_prune: float,
    seed: list[int],
    pool: ThreadPoolExecutor,
    backend: Backend = CPU,
) -> MlltStatistics:
    """One pass over the data; the result does not depend on the number of threads.

    Args:
        pdfs: int [frames of the corpus], -1 where a frame is left out.
    """
    total = MlltStatistics(corpus.dim)
    for batch in range(len(corpus.batches)):
        features, pdf = corpus.features(batch), pdfs[corpus.batch_frames(batch)]
        order = np.argsort(pdf, kind="stable")
        ends = np.searchsorted(pdf[order], np.arange(model.num_pdfs + 1))

        def collect(first: int, features=features, order=order, ends=ends, batch=batch) -> MlltStatistics:
            statistics = MlltStatistics(corpus.dim)
            random = np.random.default_rng([*seed, batch, first])
            ranges = ((one, order[ends[one] : ends[one + 1]]) for one in range(first, min(first + GROUP_PDFS, model.num_pdfs)))
            frames = ((one, features[rows]) for one, rows in ranges if len(rows))
            statistics.add(frames, model, rand_prune, random, backend)
            return statistics

        for part in pool.map(collect, range(0, model.num_pdfs, GROUP_PDFS)):
            total.merge(part)
    return total


def _write_final_matrix(directory: Path, iterations: list[int]) -> None:
    """final.mat: LDA and all of MLLT in one."""
    matrix = read_matrix_file(directory / "0.mat").astype(np.float64)
    for iteration in iterations:
        matrix = read_matrix_file(directory / f"{iteration}.mat.new") @ matrix
    write_matrix_file(directory / "final.mat", matrix.astype(np.float32))
