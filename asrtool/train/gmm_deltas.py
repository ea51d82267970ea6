"""Triphones on deltas: tree, first model and training (Kaldi's steps/train_deltas.sh)."""

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from asrtool.data.data_dir import DataDir
from asrtool.errors import AsrtoolError
from asrtool.feat.pipeline import FeaturePipeline
from asrtool.gmm.convert_alignment import AlignmentConverter
from asrtool.gmm.diag_gmm import AmDiagGmm
from asrtool.gmm.feature_options import parse_feature_options, write_feature_options
from asrtool.gmm.mixture import split_by_count
from asrtool.gmm.tree_stats import TreeStatistics
from asrtool.graph.training_graph import TrainingGraphCompiler
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.alignment import read_alignments
from asrtool.train.gmm_corpus import GmmCorpus, GraphStore
from asrtool.train.gmm_lang import GmmLang, read_int_lists
from asrtool.train.gmm_mono import corpus_parts
from asrtool.train.gmm_run import RunOptions, begin, finish, pdfs_of_phones, run_log
from asrtool.train.gmm_state import GmmState, fingerprint
from asrtool.train.gmm_trainer import GmmTrainer, GmmTrainingOptions, initial_state, log
from asrtool.tree.build import build_tree, read_roots
from asrtool.tree.context_dependency import ContextDependency
from asrtool.tree.questions import automatic_questions, read_questions

REALIGN_ITERS = (10, 20, 30)
CONTEXT_WIDTH, CENTRAL_POSITION = 3, 1
VARIANCE_FLOOR = 0.01  # of the first model, as gmm-init-model
TREE_FILES = ("phones/context_indep.int", "phones/roots.int", "phones/extra_questions.int")


@dataclass(frozen=True)
class DeltasOptions:
    """num_leaves: asked of the tree. cluster_threshold: for merging leaves, -1 the smallest gain of a split. The rest as in
    GmmTrainingOptions."""

    num_leaves: int
    training: GmmTrainingOptions
    cluster_threshold: float = -1.0
    run: RunOptions = field(default_factory=RunOptions)

    def __post_init__(self) -> None:
        if self.num_leaves < 1 or self.training.totgauss < self.num_leaves:
            raise AsrtoolError("the number of leaves must be at least 1, and that of Gaussians not below it")


def train_deltas(
    data_dir: str | Path, lang_dir: str | Path, alignment_dir: str | Path, directory: str | Path, options: DeltasOptions
) -> None:
    """Trains on the alignments of another model; writes an experiment directory that Kaldi's steps can read.

    A run that was killed goes on after its last whole iteration, with the same results; a finished one returns at once.

    Raises:
        AsrtoolError: missing or unfitting data, or too many utterances that cannot be aligned.
    """
    directory, alignment_dir = Path(directory), Path(alignment_dir)
    data, lang = DataDir.load(data_dir), GmmLang.load(lang_dir)
    lang.check_same_phones(alignment_dir / "phones.txt")
    old_model = TransitionModel.read_file(alignment_dir / "final.mdl")
    source = FeaturePipeline(data, parse_feature_options(options.run.cmvn_opts, options.run.delta_opts))
    corpus = GmmCorpus(source, data.text, options.run.memory_limit_mib)
    alignment = load_alignment(corpus, alignment_dir)
    files = [*lang.fingerprint_files, *(lang.path / name for name in TREE_FILES), alignment_dir / "final.mdl"]
    settings = [options.num_leaves, options.cluster_threshold, options.training, options.run.settings]
    digest = fingerprint(["deltas", *settings, alignment, *corpus_parts(corpus), *files])
    state, is_done = begin(directory, digest, options.training.num_iters)
    if is_done:
        return
    with run_log(directory / "iterations.log", resumed=state is not None):
        if state is None:
            tree, transition_model, state = _start(corpus, alignment, old_model, lang, options)
            tree.write_file(directory / "tree")
            write_feature_options(directory, options.run.cmvn_opts, options.run.delta_opts)
            state.save(directory, digest)
        else:
            tree = ContextDependency.read_file(directory / "tree")
            transition_model = TransitionModel.from_tree(tree, lang.topology)
        compiler = TrainingGraphCompiler(lang.path, tree, transition_model)
        graphs = GraphStore(corpus, compiler.compile, transition_model.tid_to_pdf, options.run.memory_limit_mib)
        silence = pdfs_of_phones(transition_model, lang.optional_silence)
        training, threads = options.training, options.run.num_threads
        trainer = GmmTrainer(
            corpus, graphs, transition_model, silence, training, options.num_leaves, directory, digest, threads
        )  # fmt: skip
        finish(directory, corpus, trainer.run(state), transition_model, lang)


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


def _start(
    corpus: GmmCorpus, alignment: np.ndarray, old_model: TransitionModel, lang: GmmLang, options: DeltasOptions
) -> tuple[ContextDependency, TransitionModel, GmmState]:
    """The tree, the transition model and the state before the first iteration."""
    start = time.monotonic()
    independent = [phone for row in read_int_lists(lang.path / "phones/context_indep.int") for phone in row]
    statistics = TreeStatistics(old_model, independent, CONTEXT_WIDTH, CENTRAL_POSITION)
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
    questions = automatic_questions(events, sums, lang.phone_sets, CENTRAL_POSITION)
    questions += read_questions(lang.path / "phones/extra_questions.int")
    tree, summary = build_tree(
        events,
        sums,
        questions,
        read_roots(lang.path / "phones/roots.int"),
        lang.topology.num_pdf_classes,
        central_position=CENTRAL_POSITION,
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
    return tree, transition_model, initial_state(model, transition_model, converted, 1)


def first_model(tree: ContextDependency, events: np.ndarray, sums: np.ndarray, options: DeltasOptions) -> AmDiagGmm:
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
