"""Monophones from a flat start (Kaldi's steps/train_mono.sh, gmm-init-mono)."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from asrtool.data.data_dir import DataDir
from asrtool.errors import AsrtoolError
from asrtool.feat.pipeline import FeaturePipeline
from asrtool.gmm.diag_gmm import AmDiagGmm
from asrtool.gmm.feature_options import parse_feature_options, write_feature_options
from asrtool.graph.training_graph import TrainingGraphCompiler
from asrtool.hmm.transition_model import TransitionModel
from asrtool.train.align_pass import AlignOptions
from asrtool.train.gmm_corpus import GmmCorpus, GraphStore
from asrtool.train.gmm_lang import GmmLang
from asrtool.train.gmm_run import RunOptions, begin, finish, pdfs_of_phones, run_log
from asrtool.train.gmm_state import fingerprint
from asrtool.train.gmm_trainer import GmmTrainer, GmmTrainingOptions, initial_state
from asrtool.tree.context_dependency import monophone_context_dependency

REALIGN_ITERS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 23, 26, 29, 32, 35, 38)
INIT_UTTERANCES = 10


@dataclass(frozen=True)
class MonoOptions:
    """Kaldi's defaults; see GmmTrainingOptions."""

    training: GmmTrainingOptions = field(
        default_factory=lambda: GmmTrainingOptions(40, 30, 1000, REALIGN_ITERS, initial_beam=6.0, align=AlignOptions())
    )
    run: RunOptions = field(default_factory=RunOptions)


def train_mono(data_dir: str | Path, lang_dir: str | Path, directory: str | Path, options: MonoOptions) -> None:
    """Trains and writes an experiment directory that Kaldi's steps can read.

    A run that was killed goes on after its last whole iteration, with the same results; a finished one returns at once.

    Raises:
        AsrtoolError: missing or unfitting data, or too many utterances that cannot be aligned.
    """
    directory = Path(directory)
    data, lang = DataDir.load(data_dir), GmmLang.load(lang_dir)
    source = FeaturePipeline(data, parse_feature_options(options.run.cmvn_opts, options.run.delta_opts))
    corpus = GmmCorpus(source, data.text, options.run.memory_limit_mib)
    tree = monophone_context_dependency(lang.phone_sets, lang.topology)
    transition_model = TransitionModel.from_tree(tree, lang.topology)
    digest = fingerprint(["mono", options.training, options.run.settings, *corpus.fingerprint_parts, *lang.fingerprint_files])
    state, is_done = begin(directory, digest, options.training.num_iters, options.run.backend)
    if is_done:
        return
    with run_log(directory / "iterations.log", resumed=state is not None):
        if state is None:
            model = flat_model(corpus, transition_model.num_pdfs)
            state = initial_state(model, transition_model, np.zeros(corpus.num_frames, dtype=np.int32), 0)
        tree.write_file(directory / "tree")
        write_feature_options(directory, options.run.cmvn_opts, options.run.delta_opts)
        compiler = TrainingGraphCompiler(lang.path, tree, transition_model)
        graphs = GraphStore(corpus, compiler.compile, transition_model.tid_to_pdf, options.run.memory_limit_mib)
        silence = pdfs_of_phones(transition_model, lang.optional_silence)
        trainer = GmmTrainer(
            corpus,
            graphs,
            transition_model,
            silence,
            options.training,
            transition_model.num_pdfs,
            directory,
            digest,
            options.run.num_threads,
            backend=options.run.backend,
        )
        finish(directory, corpus, trainer.run(state), transition_model, lang)


def flat_model(corpus: GmmCorpus, num_pdfs: int, num_utterances: int = INIT_UTTERANCES) -> AmDiagGmm:
    """One Gaussian for each pdf, all with the mean and variance of the first utterances.

    Raises:
        AsrtoolError: a feature that never changes.
    """
    rows = np.concatenate([corpus.source(utterance) for utterance in corpus.utterances[:num_utterances]]).astype(np.float64)
    mean, variance = rows.mean(axis=0), (rows**2).mean(axis=0) - rows.mean(axis=0) ** 2
    if not np.all(variance > 0):
        raise AsrtoolError(f"feature {int(variance.argmin())} is constant in the first utterances: check the features")
    shape = (num_pdfs, 1)
    return AmDiagGmm.from_moments(np.arange(num_pdfs + 1), np.ones(num_pdfs), np.tile(mean, shape), np.tile(variance, shape))
