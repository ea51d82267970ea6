"""Alignment of a data directory with a trained model: what is the same for GMMs and networks."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.gmm.feature_options import FILES
from asrtool.gmm.fmllr_speakers import transform_files, write_transforms
from asrtool.graph.training_graph import TrainingGraphCompiler
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.atomic_file import write_text
from asrtool.train.align_pass import AlignOptions, AlignReport, Scores, align_corpus, check_failures, describe, log
from asrtool.train.gmm_corpus import GmmCorpus, GraphStore
from asrtool.train.gmm_lang import GmmLang
from asrtool.train.gmm_output import copy_file, summarise_alignments, utterance_alignments, write_alignment_files
from asrtool.train.gmm_run import RunOptions
from asrtool.tree.context_dependency import ContextDependency

MODEL_FILES = (*FILES, "final.occs", "final.alimdl", "tree", "final.mdl")


@dataclass(frozen=True)
class AlignDataOptions:
    """max_failed: share of utterances that may fail."""

    align: AlignOptions = field(default_factory=AlignOptions)
    run: RunOptions = field(default_factory=RunOptions)
    max_failed: float = 0.25


def check_model_files(source_dir: Path, lang: GmmLang, advice: str) -> None:
    """AsrtoolError unless the directory has final.mdl and tree, and the phones of the lang directory."""
    for name in ("final.mdl", "tree"):
        if not (source_dir / name).is_file():
            raise AsrtoolError(f"{source_dir / name}: no such file; {advice}")
    lang.check_same_phones(source_dir / "phones.txt")


def align_data(
    corpus: GmmCorpus,
    lang: GmmLang,
    source_dir: Path,
    transition_model: TransitionModel,
    scores: Scores,
    directory: Path,
    options: AlignDataOptions,
) -> AlignReport:
    """Aligns a corpus and writes an alignment directory with the model files of `source_dir`.

    Raises:
        AsrtoolError: tree and model that differ, too many utterances that cannot be aligned.
    """
    graphs = training_graphs(corpus, lang, source_dir, transition_model, options)
    with ThreadPoolExecutor(options.run.num_threads) as pool:
        alignment, report = align_once(corpus, graphs, transition_model, scores, options, pool)
    write_alignment_dir(corpus, lang, source_dir, transition_model, alignment, report, directory)
    return report


def training_graphs(
    corpus: GmmCorpus, lang: GmmLang, source_dir: Path, transition_model: TransitionModel, options: AlignDataOptions
) -> GraphStore:
    """The graphs of the corpus's texts for the tree of `source_dir`."""
    compiler = TrainingGraphCompiler(lang.path, ContextDependency.read_file(source_dir / "tree"), transition_model)
    return GraphStore(corpus, compiler.compile, transition_model.tid_to_pdf, options.run.memory_limit_mib)


def align_once(
    corpus: GmmCorpus,
    graphs: GraphStore,
    transition_model: TransitionModel,
    scores: Scores,
    options: AlignDataOptions,
    pool: ThreadPoolExecutor,
) -> tuple[np.ndarray, AlignReport]:
    """`align_corpus`, with a line in the log; AsrtoolError where too many utterances fail."""
    alignment, report = align_corpus(corpus, graphs, transition_model, scores, options.align, pool)
    log(describe(report))
    check_failures(report, options.max_failed)
    if not report.aligned:
        raise AsrtoolError("no utterance could be aligned: are features and texts of the same data, at the same frame rate?")
    return alignment, report


def write_alignment_dir(
    corpus: GmmCorpus,
    lang: GmmLang,
    source_dir: Path,
    transition_model: TransitionModel,
    alignment: np.ndarray,
    report: AlignReport,
    directory: Path,
    transforms: Mapping[str, np.ndarray] | None = None,
) -> None:
    """Writes the alignments, a summary, the model files of `source_dir`, and the speakers' fMLLR transforms where there are any.

    Files of these names that another model has left go: they would change the features.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if source_dir.resolve() != directory.resolve():
        for name in MODEL_FILES:
            if (source_dir / name).is_file():
                copy_file(source_dir / name, directory / name)
            else:
                (directory / name).unlink(missing_ok=True)
        copy_file(lang.path / "phones.txt", directory / "phones.txt")
    if transforms is None:
        for path in transform_files(directory):
            path.unlink()
    else:
        write_transforms(directory, transforms)
    alignments = utterance_alignments(corpus, alignment)
    head = [describe(report), f"not aligned: {' '.join(report.failed) or 'none'}"]
    summary = summarise_alignments(alignments, transition_model, lang.phones, set(lang.silence_phones), head)
    write_text(directory / "alignment_summary.txt", summary)
    write_alignment_files(directory, alignments, transition_model)
