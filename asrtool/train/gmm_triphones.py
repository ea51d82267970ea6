"""What the trainings of triphones share: statistics and tree, first model, converted alignments, iterations."""

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.gmm.convert_alignment import AlignmentConverter
from asrtool.gmm.diag_gmm import AmDiagGmm
from asrtool.gmm.mixture import split_by_count
from asrtool.gmm.tree_stats import TreeStatistics
from asrtool.graph.training_graph import TrainingGraphCompiler
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.alignment import read_alignments
from asrtool.train.align_pass import log
from asrtool.train.gmm_corpus import GmmCorpus, GraphStore
from asrtool.train.gmm_lang import GmmLang, read_int_lists
from asrtool.train.gmm_run import RunOptions, pdfs_of_phones
from asrtool.train.gmm_state import GmmState, fingerprint
from asrtool.train.gmm_trainer import Adapt, GmmTrainer, GmmTrainingOptions, initial_state
from asrtool.tree.build import build_tree, read_roots
from asrtool.tree.context_dependency import ContextDependency
from asrtool.tree.questions import automatic_questions, read_questions

REALIGN_ITERS = (10, 20, 30)
VARIANCE_FLOOR = 0.01  # of the first model, as gmm-init-model
TREE_FILES = ("phones/context_indep.int", "phones/roots.int", "phones/extra_questions.int")


@dataclass(frozen=True)
class TriphoneOptions:
    """num_leaves: asked of the tree. cluster_threshold: for merging leaves, -1 the smallest gain of a split. context_width,
    central_position: the phones that a pdf depends on, and which of them is its own, from 0. The rest as in
    GmmTrainingOptions."""

    num_leaves: int
    training: GmmTrainingOptions
    cluster_threshold: float = -1.0
    run: RunOptions = field(default_factory=RunOptions)
    context_width: int = 3
    central_position: int = 1

    def __post_init__(self) -> None:
        if self.num_leaves < 1 or self.training.totgauss < self.num_leaves:
            raise AsrtoolError("the number of leaves must be at least 1, and that of Gaussians not below it")
        if self.context not in ((1, 0), (2, 0), (2, 1), (3, 1)):
            raise AsrtoolError(
                f"--context-opts: width {self.context_width}, central position {self.central_position}: "
                "a phone's context is at most one phone to each side, width 3 and position 1"
            )

    @property
    def context(self) -> tuple[int, int]:
        return self.context_width, self.central_position


def run_fingerprint(
    kind: str, corpus: GmmCorpus, alignment: np.ndarray, lang: GmmLang, options: TriphoneOptions, more: list[object]
) -> str:
    """A digest of what determines the results; `more`: other settings, and files (as Path)."""
    files = [*lang.fingerprint_files, *(lang.path / name for name in TREE_FILES)]
    settings = [options.num_leaves, options.cluster_threshold, options.training, options.run.settings]
    if options.context != (3, 1):
        settings.append(options.context)
    return fingerprint([kind, *settings, alignment, *corpus.fingerprint_parts, *files, *more])


def run_triphones(
    corpus: GmmCorpus,
    lang: GmmLang,
    tree: ContextDependency,
    transition_model: TransitionModel,
    state: GmmState,
    options: TriphoneOptions,
    directory: Path,
    digest: str,
    adapt: Adapt | None = None,
) -> GmmState:
    """The iterations from `state` on; `adapt` as in GmmTrainer."""
    compiler = TrainingGraphCompiler(lang.path, tree, transition_model)
    graphs = GraphStore(corpus, compiler.compile, transition_model.tid_to_pdf, options.run.memory_limit_mib)
    silence = pdfs_of_phones(transition_model, lang.optional_silence)
    training, run = options.training, options.run
    trainer = GmmTrainer(
        corpus,
        graphs,
        transition_model,
        silence,
        training,
        options.num_leaves,
        directory,
        digest,
        run.num_threads,
        adapt,
        run.backend,
    )
    return trainer.run(state)


def load_alignment(corpus: GmmCorpus, alignment_dir: Path) -> np.ndarray:
    """int32 [frames of the corpus], 0 where an utterance has no alignment.

    Raises:
        AsrtoolError: an alignment of another length than the features, or none of these utterances.
    """
    found = read_alignments(alignment_dir)
    alignment = np.zeros(corpus.num_frames, dtype=np.int32)
    missing = 0
    for index, utterance in enumerate(corpus.utterances):
        at = corpus.frames_of(index)
        row = found.get(utterance)
        if row is None:
            missing += 1
        elif len(row) != at.stop - at.start:
            raise AsrtoolError(
                f"{alignment_dir}: {utterance}: {len(row)} frames aligned, the features have {at.stop - at.start}: align again"
            )
        else:
            alignment[at] = row
    if missing == len(corpus.utterances):
        raise AsrtoolError(f"{alignment_dir}: no alignment of any utterance of the data directory")
    if missing:
        print(f"WARNING: {missing} of {len(corpus.utterances)} utterances have no alignment", file=sys.stderr)
    return alignment


def start_triphones(
    corpus: GmmCorpus, alignment: np.ndarray, old_model: TransitionModel, lang: GmmLang, options: TriphoneOptions
) -> tuple[ContextDependency, TransitionModel, GmmState]:
    """The tree, the transition model and the state before the first iteration: tree and first model from the corpus's present
    features and an alignment with `old_model`."""
    start = time.monotonic()
    independent = [phone for row in read_int_lists(lang.path / "phones/context_indep.int") for phone in row]
    statistics = TreeStatistics(old_model, independent, *options.context)
    aligned = [index for index in range(len(corpus.utterances)) if alignment[corpus.frames_of(index)].any()]
    for batch, (first, last) in enumerate(corpus.batches):
        rows = [alignment[corpus.frames_of(index)] for index in aligned if first <= index < last]
        used = alignment[corpus.batch_frames(batch)] > 0
        features = corpus.features(batch)
        if rows:
            statistics.add(features if used.all() else features[used], rows)
    events, sums = statistics.result()
    log(f"tree statistics: {len(events)} events; {time.monotonic() - start:.2f} s")

    start = time.monotonic()
    questions = automatic_questions(events, sums, lang.phone_sets, options.central_position)
    questions += read_questions(lang.path / "phones/extra_questions.int")
    tree, summary = build_tree(
        events,
        sums,
        questions,
        read_roots(lang.path / "phones/roots.int"),
        lang.topology.num_pdf_classes,
        central_position=options.central_position,
        max_leaves=options.num_leaves,
        cluster_threshold=options.cluster_threshold,
    )
    log(
        f"tree: {summary.num_leaves} leaves ({summary.num_split_leaves} before merging), {summary.gain / summary.num_frames:.4f} "
        f"log-likelihood a frame gained; {time.monotonic() - start:.2f} s"
    )
    transition_model = TransitionModel.from_tree(tree, lang.topology)
    model = first_model(tree, events, sums, options)
    converter = AlignmentConverter(old_model, transition_model, tree)
    converted = alignment.copy()
    for index, row in zip(aligned, converter.convert([alignment[corpus.frames_of(index)] for index in aligned])):
        converted[corpus.frames_of(index)] = row
    return tree, transition_model, initial_state(model, transition_model, converted, 1, options.run.backend)


def first_model(tree: ContextDependency, events: np.ndarray, sums: np.ndarray, options: TriphoneOptions) -> AmDiagGmm:
    """One Gaussian for each leaf from the tree's statistics (gmm-init-model); a leaf without any gets that of all frames."""
    dim = (sums.shape[1] - 1) // 2
    leaf = tree.compute_many(events)
    stats = np.zeros((tree.num_pdfs, sums.shape[1]))
    np.add.at(stats, leaf, sums)
    unseen = stats[:, 0] == 0
    if unseen.any():
        log(f"WARNING: {unseen.sum()} of {tree.num_pdfs} pdfs have no data; they start from the average of all")
    occupancies = stats[:, 0].copy()
    stats[unseen] = sums.sum(axis=0)
    mean = stats[:, 1 : 1 + dim] / stats[:, :1]
    variance = np.maximum(stats[:, 1 + dim :] / stats[:, :1] - mean**2, VARIANCE_FLOOR)
    model = AmDiagGmm.from_moments(np.arange(tree.num_pdfs + 1), np.ones(tree.num_pdfs), mean, variance)
    return split_by_count(model, occupancies, options.num_leaves, seed=[options.training.seed, 0])
