"""The directory that an import writes: alignments, model, tree, what Kaldi keeps beside them, phones with their times."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrtool.data.data_dir import DataDir
from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph
from asrtool.gmm.feature_options import FILES
from asrtool.gmm.fmllr_speakers import read_transforms, transform_files, write_transforms
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.alignment import write_alignments
from asrtool.io.atomic_file import write_text
from asrtool.io.ctm import write_ctm
from asrtool.io.kaldi_binary import KaldiWriter
from asrtool.io.kaldi_table import read_matrix_file
from asrtool.io.symbols import SymbolTable
from asrtool.io.whole_file import write_bytes
from asrtool.lattice.ctm import WordTime, ctm_digits, ctm_words
from asrtool.train.gmm_import_checks import some
from asrtool.train.gmm_lang import read_int_lists
from asrtool.train.gmm_output import copy_file, summarise_alignments, write_alignment_files
from asrtool.tree.context_dependency import ContextDependency

OPTIONAL_FILES = ("final.occs", "final.alimdl", *FILES, "phones.txt")
GRAPH_FILES = ("words.txt", "phones.txt", "num_pdfs", "disambig_tid.int", "phones/*", "HCLG.fst")  # HCLG.fst last


@dataclass
class Imported:
    """What was read of an experiment.

    home: the directory of the model, whose files come along as they are; None where model and tree were made here.
    phones: the phone table. factor: frames of features to a frame of the alignments.
    """

    path: Path
    transition_model: TransitionModel
    tree: ContextDependency
    alignments: dict[str, np.ndarray]
    phones: Path | SymbolTable
    home: Path | None = None
    factor: int = 1

    @property
    def symbols(self) -> SymbolTable:
        return self.phones if isinstance(self.phones, SymbolTable) else SymbolTable.read(self.phones)


def write_import(imported: Imported, directory: Path, alignments: Mapping[str, np.ndarray], lang: Path | None, head: list[str]):
    """Writes ali.1.gz, counts, summary, phones.txt, tree and, last, final.mdl."""
    directory.mkdir(parents=True, exist_ok=True)
    model, symbols = imported.transition_model, imported.symbols
    silence = {phone for row in read_int_lists(lang / "phones/silence.int") for phone in row} if lang else named_silence(symbols)
    summary = summarise_alignments(alignments, model, symbols, set(silence), head)
    write_alignment_files(directory, alignments, model)
    write_text(directory / "alignment_summary.txt", summary)
    if isinstance(imported.phones, SymbolTable):
        symbols.write(directory / "phones.txt")
    else:
        copy_file(imported.phones, directory / "phones.txt")
    factor = directory / "frame_subsampling_factor"
    factor.unlink(missing_ok=True)
    if imported.factor > 1:
        write_text(factor, f"{imported.factor}\n")
    if imported.home is None:
        imported.tree.write_file(directory / "tree")
        with KaldiWriter.open(directory / "final.mdl") as writer:
            model.write(writer)
    else:
        for name in ("tree", "final.mdl"):
            copy_file(imported.home / name, directory / name)


def named_silence(phones: Path | SymbolTable) -> list[int]:
    """Without a lang directory, for the summary alone: phones that are called as silence usually is."""
    names = {"SIL", "SPN", "NSN", "LAUGHTER", "sil", "spn", "nsn"}
    table = phones if isinstance(phones, SymbolTable) else SymbolTable.read(phones)
    return [number for symbol, number in table.symbol_to_id.items() if symbol.split("_")[0] in names]


def write_phone_files(directory: Path, alignments: Mapping[str, np.ndarray], imported: Imported, frame_shift_s: float) -> None:
    """Writes phones.1.gz, "utterance phone frames ; phone frames ..." (Kaldi's ali-to-phones --write-lengths), and phones.ctm."""
    symbols, shift = imported.symbols, frame_shift_s * imported.factor
    lines, words = [], []
    for utterance, alignment in alignments.items():
        phones, lengths = imported.transition_model.phone_segments(alignment)
        columns = phones.tolist(), (lengths.cumsum() - lengths).tolist(), lengths.tolist()
        lines.append(f"{utterance} " + "; ".join(f"{phone} {frames} " for phone, _, frames in zip(*columns)) + "\n")
        words += ctm_words(utterance, map(WordTime, *columns), shift, symbols.symbol, confidences=False)
    write_bytes(directory / "phones.1.gz", "".join(lines).encode("utf-8"))
    write_ctm(directory / "phones.ctm", words, ctm_digits(shift))


def write_pdf_file(directory: Path, alignments: Mapping[str, np.ndarray], transition_model: TransitionModel) -> None:
    """Writes pdf.1.gz, pdf-ids by utterance (Kaldi's ali-to-pdf)."""
    pdfs = {utterance: transition_model.tid_to_pdf[row] for utterance, row in alignments.items()}
    write_alignments(directory / "pdf.1.gz", pdfs)


def take_along(experiment: Path | None, directory: Path, data: DataDir) -> list[str]:
    """Copies what says how features are made (cmvn_opts, final.mat, ...), and the speakers' transforms (trans.*) as one trans.1.

    Args:
        experiment: None: nothing is copied; what an earlier import left is removed.

    Returns:
        what does not fit: speakers without a transform.

    Raises:
        AsrtoolError: a transform of another size than final.mat makes, or damaged.
    """
    for name in OPTIONAL_FILES[:-1]:
        (directory / name).unlink(missing_ok=True)
        if experiment is not None and (experiment / name).is_file():
            copy_file(experiment / name, directory / name)
    for old in transform_files(directory):
        old.unlink()
    transforms = read_transforms(experiment) if experiment is not None else {}
    if not transforms:
        return []
    matrix = experiment / "final.mat"
    dim = len(read_matrix_file(matrix)) if matrix.is_file() else len(next(iter(transforms.values())))
    for speaker, one in transforms.items():
        if one.shape not in ((dim, dim), (dim, dim + 1)):
            raise AsrtoolError(
                f"{experiment}/trans.*: {speaker}: a transform of shape {one.shape}, features have {dim} dimensions: "
                "of another experiment"
            )
    write_transforms(directory, transforms)
    missing = sorted(set(data.spk2utt) - set(transforms))
    if missing:
        return [f"{len(missing)} of {len(data.spk2utt)} speakers of {data.path} have no transform in trans.*: {some(missing)}"]
    return []


def graph_dirs(experiment: Path) -> list[Path]:
    """The directories with an HCLG.fst: the experiment's own, those below it."""
    return sorted(path.parent for path in [*experiment.glob("HCLG.fst"), *experiment.glob("*/HCLG.fst")])


def copy_graph(graph: Path, directory: Path, transition_model: TransitionModel) -> None:
    """Copies a decoding graph with its words and phones; `directory` becomes what utils/mkgraph.sh makes.

    Raises:
        AsrtoolError: a graph without words.txt, or of another model.
    """
    if not (graph / "words.txt").is_file():
        raise AsrtoolError(f"{graph}/words.txt: no such file; a graph is of no use without it")
    labels = CsrGraph.from_fst_file(graph / "HCLG.fst").arc_ilabel
    largest = int(labels.max(initial=0))
    if largest > transition_model.num_transition_ids:
        raise AsrtoolError(
            f"{graph}/HCLG.fst: transition-id {largest}, the model has {transition_model.num_transition_ids}: of another model"
        )
    number = graph / "num_pdfs"
    if number.is_file() and number.read_text().split() != [str(transition_model.num_pdfs)]:
        raise AsrtoolError(f"{number}: not the {transition_model.num_pdfs} pdfs of the model: a graph of another model")
    for pattern in GRAPH_FILES:
        for path in sorted(graph.glob(pattern)):
            if path.is_file():
                copy_file(path, directory / path.relative_to(graph))
    write_text(directory / "num_pdfs", f"{transition_model.num_pdfs}\n")
