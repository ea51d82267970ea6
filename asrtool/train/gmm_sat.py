"""Speaker adaptive training: triphones on features with an fMLLR transform for each speaker (Kaldi's steps/train_sat.sh)."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from asrtool.data.data_dir import DataDir
from asrtool.errors import AsrtoolError
from asrtool.gmm.diag_gmm import AmDiagGmm
from asrtool.gmm.feature_options import FILES, feature_files
from asrtool.gmm.features import open_features
from asrtool.gmm.fmllr import FmllrEstimate, FmllrOptions
from asrtool.gmm.fmllr_speakers import compose_estimates, describe_estimates, read_transforms, transform_files, write_transforms
from asrtool.gmm.fmllr_statistics import silence_weights
from asrtool.gmm.model import read_model, write_model
from asrtool.hmm.transition_model import TransitionModel
from asrtool.train.align_pass import log
from asrtool.train.gmm_alimdl import alignment_model_of
from asrtool.train.gmm_corpus import GmmCorpus
from asrtool.train.gmm_fmllr import estimate_speakers
from asrtool.train.gmm_lang import GmmLang
from asrtool.train.gmm_output import copy_file
from asrtool.train.gmm_run import begin, finish, run_log
from asrtool.train.gmm_state import GmmState
from asrtool.train.gmm_trainer import Adapt
from asrtool.train.gmm_triphones import TriphoneOptions, load_alignment, run_fingerprint, run_triphones, start_triphones
from asrtool.tree.context_dependency import ContextDependency

FMLLR_ITERS = (2, 4, 6, 12)


@dataclass(frozen=True)
class SatOptions(TriphoneOptions):
    """fmllr_iters: iterations that estimate the transforms anew. silence_weight: of silence frames in that."""

    fmllr: FmllrOptions = field(default_factory=FmllrOptions)
    fmllr_iters: tuple[int, ...] = FMLLR_ITERS
    silence_weight: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.silence_weight <= 1:
            raise AsrtoolError("--silence-weight must be from 0 to 1")


def train_sat(
    data_dir: str | Path, lang_dir: str | Path, alignment_dir: str | Path, directory: str | Path, options: SatOptions
) -> None:
    """Trains on the alignments, the features and, where there are any, the transforms of another model's alignment directory.

    Writes an experiment directory that Kaldi's steps can read: final.mdl for transformed features, final.alimdl for features
    without transforms, trans.1. A run that was killed goes on after its last whole iteration, with the same results; a finished
    one returns at once.

    Raises:
        AsrtoolError: missing or unfitting data, or too many utterances that cannot be aligned.
    """
    directory, alignment_dir = Path(directory), Path(alignment_dir)
    if directory.resolve() == alignment_dir.resolve():
        raise AsrtoolError(f"{directory}: is the alignment directory too; give the new model a directory of its own")
    data, lang = DataDir.load(data_dir), GmmLang.load(lang_dir)
    lang.check_same_phones(alignment_dir / "phones.txt")
    corpus = GmmCorpus(open_features(data, alignment_dir), data.text, options.run.memory_limit_mib)
    alignment = load_alignment(corpus, alignment_dir)
    taken = feature_files(alignment_dir) + transform_files(alignment_dir)
    speakers = [corpus.speaker(index) for index in range(len(corpus.utterances))]
    more = [options.fmllr, options.fmllr_iters, options.silence_weight, speakers, alignment_dir / "final.mdl", *taken]
    digest = run_fingerprint("sat", corpus, alignment, lang, options, more)
    state, is_done = begin(directory, digest, options.training.num_iters, options.run.backend)
    if is_done:
        return
    with run_log(directory / "iterations.log", resumed=state is not None):
        training = _SatTraining(corpus, lang, options, directory)
        if state is None:
            old_transitions, old_model = read_model(alignment_dir / "final.mdl")
            training.begin(alignment, alignment_dir, old_transitions, old_model)
            tree, transition_model, state = start_triphones(corpus, alignment, old_transitions, lang, options)
            tree.write_file(directory / "tree")
            _copy_feature_files(alignment_dir, directory)
            state.save(directory, digest)
        else:
            training.resume(state.iteration)
            tree = ContextDependency.read_file(directory / "tree")
            transition_model = TransitionModel.from_tree(tree, lang.topology)
        adapt = training.adapt(transition_model)
        state = run_triphones(corpus, lang, tree, transition_model, state, options, directory, digest, adapt)
        mle, run = options.training.mle, options.run
        alignment_model = alignment_model_of(corpus, state, transition_model, mle, run.num_threads, run.backend)
        write_transforms(directory, training.transforms)
        write_model(directory / "final.alimdl", transition_model, alignment_model)
        finish(directory, corpus, state, transition_model, lang)
        training.clean_up()


def _copy_feature_files(source: Path, directory: Path) -> None:
    for name in FILES:
        if (source / name).is_file():
            copy_file(source / name, directory / name)
        else:
            (directory / name).unlink(missing_ok=True)


class _SatTraining:
    """The speakers' transforms in the course of training; those of an iteration are kept on disk, for a run that goes on.

    Attributes:
        transforms: speaker -> float32 [D, D + 1], what the corpus's features have.
    """

    def __init__(self, corpus: GmmCorpus, lang: GmmLang, options: SatOptions, directory: Path) -> None:
        self.corpus, self.lang, self.options, self.directory = corpus, lang, options, directory
        self.transforms: dict[str, np.ndarray] = {}

    def begin(self, alignment: np.ndarray, alignment_dir: Path, transition_model: TransitionModel, model: AmDiagGmm) -> None:
        """The transforms of the alignment directory, or without any there such as its model and alignments give."""
        transforms = read_transforms(alignment_dir)
        if transforms:
            log(f"transforms of {len(transforms)} speakers from {alignment_dir}")
            missing = {self.corpus.speaker(index) for index in range(len(self.corpus.utterances))} - set(transforms)
            if missing:
                log(f"WARNING: {alignment_dir}/trans.*: {len(missing)} speakers are not in it: {' '.join(sorted(missing)[:20])}")
            self._set({speaker: _affine(one) for speaker, one in transforms.items()}, 0)
            return
        if model.dim != self.corpus.dim:
            raise AsrtoolError(
                f"{alignment_dir}/final.mdl: takes features of dimension {model.dim}, found {self.corpus.dim}: are cmvn_opts, "
                "splice_opts, delta_opts and final.mat there?"
            )
        with ThreadPoolExecutor(self.options.run.num_threads) as pool:
            estimates = self._estimate(alignment, transition_model, model, pool)
        log(describe_estimates(estimates))
        self._set({speaker: one.transform for speaker, one in estimates.items()}, 0)

    def resume(self, iteration: int) -> None:
        """Takes up the transforms that the iterations before this one have left."""
        done = [0, *(one for one in self.options.fmllr_iters if 1 <= one < iteration)]
        self.transforms = read_transforms(self.directory, _name(max(done)))
        if not self.transforms:
            raise AsrtoolError(f"{self.directory}/{_name(max(done))}.1: missing; remove {self.directory} and train anew")
        self.corpus.set_speaker_transforms(self.transforms)

    def adapt(self, transition_model: TransitionModel) -> Adapt:
        """What GmmTrainer calls in each iteration."""

        def adapt(state: GmmState, pool: ThreadPoolExecutor) -> str:
            if state.iteration not in self.options.fmllr_iters:
                return ""
            estimates = self._estimate(state.alignment, transition_model, state.model, pool)
            self._set(compose_estimates(estimates, self.transforms, self.corpus.dim), state.iteration)
            return describe_estimates(estimates)

        return adapt

    def _estimate(
        self, alignment: np.ndarray, transition_model: TransitionModel, model: AmDiagGmm, pool: ThreadPoolExecutor
    ) -> dict[str, FmllrEstimate]:
        weights = silence_weights(transition_model, self.lang.silence_phones, self.options.silence_weight)
        return estimate_speakers(
            self.corpus,
            alignment,
            transition_model.tid_to_pdf,
            weights,
            model,
            self.options.fmllr,
            pool,
            backend=self.options.run.backend,
        )

    def _set(self, transforms: dict[str, np.ndarray], iteration: int) -> None:
        self.transforms = transforms
        write_transforms(self.directory, transforms, _name(iteration))
        self.corpus.set_speaker_transforms(transforms)

    def clean_up(self) -> None:
        """Removes what only a run that goes on needs."""
        for iteration in (0, *self.options.fmllr_iters):
            for path in transform_files(self.directory, _name(iteration)):
                path.unlink()


def _name(iteration: int) -> str:
    return f"{iteration}.trans"


def _affine(matrix: np.ndarray) -> np.ndarray:
    """[D, D + 1] of a matrix that may lack the offset."""
    return matrix if matrix.shape[1] > len(matrix) else np.pad(matrix, ((0, 0), (0, 1)))
