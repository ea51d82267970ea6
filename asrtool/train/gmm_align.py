"""Alignment of a data directory with a trained GMM (Kaldi's steps/align_si.sh)."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from asrtool.data.data_dir import DataDir
from asrtool.errors import AsrtoolError
from asrtool.feat.pipeline import FeaturePipeline
from asrtool.gmm.feature_options import FILES, read_feature_options
from asrtool.gmm.model import read_model
from asrtool.graph.training_graph import TrainingGraphCompiler
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.atomic_file import write_text
from asrtool.train.gmm_corpus import GmmCorpus, GraphStore
from asrtool.train.gmm_lang import GmmLang
from asrtool.train.gmm_output import copy_file, summarise_alignments, utterance_alignments, write_alignment_files
from asrtool.train.gmm_passes import AlignOptions, AlignReport, align_pass
from asrtool.train.gmm_run import RunOptions, pdfs_of_phones
from asrtool.train.gmm_trainer import check_failures, describe, log
from asrtool.tree.context_dependency import ContextDependency


@dataclass(frozen=True)
class AlignSiOptions:
    """boost_silence: factor on silence likelihoods; max_failed: share of utterances that may fail."""

    align: AlignOptions = field(default_factory=AlignOptions)
    run: RunOptions = field(default_factory=RunOptions)
    boost_silence: float = 1.0
    max_failed: float = 0.25


def align_si(
    data_dir: str | Path, lang_dir: str | Path, source_dir: str | Path, directory: str | Path, options: AlignSiOptions
) -> AlignReport:
    """Aligns with source_dir's final.mdl and tree; writes an alignment directory.

    Raises:
        AsrtoolError: missing or unfitting files, another phone table, too many utterances that cannot be aligned.
    """
    source_dir, directory = Path(source_dir), Path(directory)
    for name in ("final.mdl", "tree"):
        if not (source_dir / name).is_file():
            raise AsrtoolError(f"{source_dir / name}: no such file; train a model there first")
    lang = GmmLang.load(lang_dir)
    lang.check_same_phones(source_dir / "phones.txt")
    transition_model, model = read_model(source_dir / "final.mdl")
    data = DataDir.load(data_dir)
    corpus = GmmCorpus(FeaturePipeline(data, read_feature_options(source_dir)), data.text, options.run.memory_limit_mib)
    if corpus.dim != model.dim:
        raise AsrtoolError(
            f"{data.path}/feats.scp: features have dimension {corpus.dim} with deltas, {source_dir}/final.mdl takes {model.dim}"
        )
    compiler = TrainingGraphCompiler(lang.path, ContextDependency.read_file(source_dir / "tree"), transition_model)
    graphs = GraphStore(corpus, compiler.compile, transition_model.tid_to_pdf, options.run.memory_limit_mib)
    parameters = model.boosted_parameters(pdfs_of_phones(transition_model, lang.optional_silence), options.boost_silence)
    with ThreadPoolExecutor(options.run.num_threads) as pool:
        threads = options.run.num_threads
        alignment, report = align_pass(corpus, graphs, transition_model, model, parameters, options.align, pool, threads)
    log(describe(report))
    check_failures(report, options.max_failed)
    directory.mkdir(parents=True, exist_ok=True)
    if source_dir.resolve() != directory.resolve():
        for name in (*FILES, "final.occs", "tree", "final.mdl"):
            if (source_dir / name).is_file():
                copy_file(source_dir / name, directory / name)
        copy_file(lang.path / "phones.txt", directory / "phones.txt")
    _write(directory, corpus, alignment, report, transition_model, lang)
    return report


def _write(
    directory: Path,
    corpus: GmmCorpus,
    alignment: np.ndarray,
    report: AlignReport,
    transition_model: TransitionModel,
    lang: GmmLang,
) -> None:
    alignments = utterance_alignments(corpus, alignment)
    if not alignments:
        raise AsrtoolError("no utterance could be aligned: are features and texts of the same data, at the same frame rate?")
    head = [describe(report), f"not aligned: {' '.join(report.failed) or 'none'}"]
    summary = summarise_alignments(alignments, transition_model, lang.phones, set(lang.silence_phones), head)
    write_text(directory / "alignment_summary.txt", summary)
    write_alignment_files(directory, alignments, transition_model)
