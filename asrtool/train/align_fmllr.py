"""Alignment with speaker adaptation (Kaldi's steps/align_fmllr.sh)."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from asrtool.data.data_dir import DataDir
from asrtool.errors import AsrtoolError
from asrtool.gmm.features import open_features
from asrtool.gmm.fmllr import FmllrOptions
from asrtool.gmm.fmllr_speakers import describe_estimates
from asrtool.gmm.fmllr_statistics import silence_weights
from asrtool.gmm.model import read_model
from asrtool.train.align_data import align_once, check_model_files, training_graphs, write_alignment_dir
from asrtool.train.align_pass import AlignReport, log
from asrtool.train.gmm_align import AlignSiOptions
from asrtool.train.gmm_corpus import GmmCorpus
from asrtool.train.gmm_fmllr import estimate_speakers
from asrtool.train.gmm_lang import GmmLang
from asrtool.train.gmm_passes import gmm_scores
from asrtool.train.gmm_run import pdfs_of_phones


@dataclass(frozen=True)
class AlignFmllrOptions(AlignSiOptions):
    """silence_weight: of silence frames in the estimation of the transforms."""

    fmllr: FmllrOptions = field(default_factory=FmllrOptions)
    silence_weight: float = 0.0


def alignment_model(source_dir: Path) -> Path:
    """The model for features without transforms: final.alimdl of speaker adaptive training, else final.mdl."""
    path = source_dir / "final.alimdl"
    return path if path.is_file() else source_dir / "final.mdl"


def align_fmllr(
    data_dir: str | Path, lang_dir: str | Path, source_dir: str | Path, directory: str | Path, options: AlignFmllrOptions
) -> AlignReport:
    """Aligns with the speaker-independent model, estimates each speaker's transform by that, and aligns again with final.mdl.

    Writes an alignment directory with the transforms, trans.1.

    Raises:
        AsrtoolError: missing or unfitting files, another phone table, too many utterances that cannot be aligned.
    """
    source_dir, lang = Path(source_dir), GmmLang.load(lang_dir)
    check_model_files(source_dir, lang, "train a model there first")
    transition_model, model = read_model(source_dir / "final.mdl")
    path = alignment_model(source_dir)
    first_transitions, first_model = (transition_model, model) if path.name == "final.mdl" else read_model(path)
    if not (
        np.array_equal(first_transitions.tuples, transition_model.tuples)
        and np.array_equal(first_model.pdf_begin, model.pdf_begin)
    ):
        raise AsrtoolError(f"{path}: not the same as final.mdl Gaussian for Gaussian; train the model again")
    data = DataDir.load(data_dir)
    corpus = GmmCorpus(open_features(data, source_dir), data.text, options.run.memory_limit_mib)
    if corpus.dim != model.dim:
        raise AsrtoolError(
            f"{data.path}/feats.scp: features have dimension {corpus.dim}, {source_dir}/final.mdl takes {model.dim}"
        )
    graphs = training_graphs(corpus, lang, source_dir, transition_model, options)
    silence = pdfs_of_phones(transition_model, lang.optional_silence)
    weights = silence_weights(transition_model, lang.silence_phones, options.silence_weight)

    with ThreadPoolExecutor(options.run.num_threads) as pool:
        scores = gmm_scores(first_model, first_model.boosted_parameters(silence, options.boost_silence), options.run.backend)
        alignment, _ = align_once(corpus, graphs, first_transitions, scores, options, pool)
        estimates = estimate_speakers(
            corpus,
            alignment,
            transition_model.tid_to_pdf,
            weights,
            first_model,
            options.fmllr,
            pool,
            model,
            options.run.backend,
        )
        log(describe_estimates(estimates))
        transforms = {speaker: one.transform for speaker, one in estimates.items()}
        corpus.set_speaker_transforms(transforms)
        scores = gmm_scores(model, model.boosted_parameters(silence, options.boost_silence), options.run.backend)
        alignment, report = align_once(corpus, graphs, transition_model, scores, options, pool)
    write_alignment_dir(corpus, lang, source_dir, transition_model, alignment, report, Path(directory), transforms)
    return report
