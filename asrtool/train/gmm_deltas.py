"""Triphones on deltas (Kaldi's steps/train_deltas.sh)."""

from dataclasses import dataclass
from pathlib import Path

from asrtool.data.data_dir import DataDir
from asrtool.feat.pipeline import FeaturePipeline
from asrtool.gmm.feature_options import parse_feature_options, write_feature_options
from asrtool.hmm.transition_model import TransitionModel
from asrtool.train.gmm_corpus import GmmCorpus
from asrtool.train.gmm_lang import GmmLang
from asrtool.train.gmm_run import begin, finish, run_log
from asrtool.train.gmm_triphones import TriphoneOptions, load_alignment, run_fingerprint, run_triphones, start_triphones
from asrtool.tree.context_dependency import ContextDependency


@dataclass(frozen=True)
class DeltasOptions(TriphoneOptions):
    """As those of all triphones."""


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
    digest = run_fingerprint("deltas", corpus, alignment, lang, options, [alignment_dir / "final.mdl"])
    state, is_done = begin(directory, digest, options.training.num_iters, options.run.backend)
    if is_done:
        return
    with run_log(directory / "iterations.log", resumed=state is not None):
        if state is None:
            tree, transition_model, state = start_triphones(corpus, alignment, old_model, lang, options)
            tree.write_file(directory / "tree")
            write_feature_options(directory, options.run.cmvn_opts, options.run.delta_opts)
            state.save(directory, digest)
        else:
            tree = ContextDependency.read_file(directory / "tree")
            transition_model = TransitionModel.from_tree(tree, lang.topology)
        state = run_triphones(corpus, lang, tree, transition_model, state, options, directory, digest)
        finish(directory, corpus, state, transition_model, lang)
