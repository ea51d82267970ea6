"""Alignment of a data directory with a trained GMM (Kaldi's steps/align_si.sh)."""

from dataclasses import dataclass
from pathlib import Path

from asrtool.data.data_dir import DataDir
from asrtool.errors import AsrtoolError
from asrtool.gmm.features import open_features
from asrtool.gmm.model import read_model
from asrtool.train.align_data import AlignDataOptions, align_data, check_model_files
from asrtool.train.align_pass import AlignReport
from asrtool.train.gmm_corpus import GmmCorpus
from asrtool.train.gmm_lang import GmmLang
from asrtool.train.gmm_passes import gmm_scores
from asrtool.train.gmm_run import pdfs_of_phones


@dataclass(frozen=True)
class AlignSiOptions(AlignDataOptions):
    """boost_silence: factor on silence likelihoods."""

    boost_silence: float = 1.0


def align_si(
    data_dir: str | Path, lang_dir: str | Path, source_dir: str | Path, directory: str | Path, options: AlignSiOptions
) -> AlignReport:
    """Aligns with source_dir's final.mdl and tree; writes an alignment directory.

    Raises:
        AsrtoolError: missing or unfitting files, another phone table, too many utterances that cannot be aligned.
    """
    source_dir, lang = Path(source_dir), GmmLang.load(lang_dir)
    check_model_files(source_dir, lang, "train a model there first")
    transition_model, model = read_model(source_dir / "final.mdl")
    data = DataDir.load(data_dir)
    corpus = GmmCorpus(open_features(data, source_dir), data.text, options.run.memory_limit_mib)
    if corpus.dim != model.dim:
        raise AsrtoolError(
            f"{data.path}/feats.scp: features have dimension {corpus.dim} with deltas or final.mat, "
            f"{source_dir}/final.mdl takes {model.dim}"
        )
    parameters = model.boosted_parameters(pdfs_of_phones(transition_model, lang.optional_silence), options.boost_silence)
    scores = gmm_scores(model, parameters, options.run.backend)
    return align_data(corpus, lang, source_dir, transition_model, scores, Path(directory), options)
