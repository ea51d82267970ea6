"""Import of a Kaldi experiment: its model, tree and alignments, checked against a data directory."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from asrtool.data.data_dir import DataDir
from asrtool.errors import AsrtoolError
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.alignment import read_alignments
from asrtool.io.atomic_file import write_text
from asrtool.io.symbols import SymbolTable
from asrtool.train.gmm_lang import compare_phone_tables, read_int_lists
from asrtool.train.gmm_output import copy_file, summarise_alignments, write_alignment_files
from asrtool.tree.context_dependency import ContextDependency

OPTIONAL_FILES = ("final.occs", "cmvn_opts", "delta_opts", "splice_opts", "final.mat", "full.mat", "final.alimdl", "phones.txt")
MAX_LISTED = 5


@dataclass(frozen=True)
class ImportOptions:
    """max_failed: the share of the data directory's utterances that may lack a usable alignment. lang: its phones.txt is compared
    with the experiment's. frame_subsampling_factor: alignment frames are so many times longer than features' (chain models: 3).
    """

    max_failed: float = 0.05
    lang: Path | None = None
    frame_subsampling_factor: int = 1


@dataclass
class ImportReport:
    """Utterances by what was found of them; `wrong` says why."""

    done: int = 0
    no_alignment: list[str] = field(default_factory=list)
    not_in_data: list[str] = field(default_factory=list)
    wrong: dict[str, str] = field(default_factory=dict)

    def lines(self, experiment: Path, data: Path) -> list[str]:
        """What disagrees, a line a kind."""
        lines = [f"{self.done} utterances imported"]
        if self.no_alignment:
            number = len(self.no_alignment)
            lines.append(f"{number} utterances of {data} have no alignment in {experiment}: {_some(self.no_alignment)}")
        if self.not_in_data:
            lines.append(f"{len(self.not_in_data)} aligned utterances are not in {data}: {_some(self.not_in_data)}")
        if self.wrong:
            lines.append(f"{len(self.wrong)} alignments do not fit:")
            lines.extend(f"  {utterance}: {why}" for utterance, why in list(self.wrong.items())[:MAX_LISTED])
        return lines


def import_alignment(experiment: str | Path, data_dir: str | Path, directory: str | Path, options: ImportOptions) -> ImportReport:
    """Writes `directory` with ali.1.gz, final.mdl, tree, phones.txt, counts; every later step takes it for our own.

    Args:
        experiment: final.mdl (text or binary, Triples or Tuples), tree, ali.*.gz (any split, text or binary).
        data_dir: utterances and, in utt2num_frames, their lengths.

    Raises:
        AsrtoolError: something missing or damaged, phone tables that differ, or more unusable utterances than allowed.
    """
    experiment, directory = Path(experiment), Path(directory)
    for name in ("final.mdl", "tree"):
        if not (experiment / name).is_file():
            raise AsrtoolError(f"{experiment / name}: no such file; is {experiment} a Kaldi alignment or model directory?")
    transition_model = TransitionModel.read_file(experiment / "final.mdl")
    tree = ContextDependency.read_file(experiment / "tree")
    if tree.num_pdfs != transition_model.num_pdfs:
        raise AsrtoolError(
            f"{experiment}: tree has {tree.num_pdfs} pdfs, final.mdl {transition_model.num_pdfs}: of different experiments"
        )
    check_phones(experiment, transition_model, options.lang)
    data = DataDir.load(data_dir)
    alignments, report = select_alignments(read_alignments(experiment), data, transition_model, options.frame_subsampling_factor)
    for line in report.lines(experiment, data.path):
        print(line, file=sys.stderr)
    missing = len(report.no_alignment) + len(set(report.wrong) & set(data.utterances))
    if not report.done or missing > options.max_failed * len(data.utterances):
        first = next(iter(report.wrong.items()), None) or (next(iter(report.no_alignment), "?"), f"no alignment in {experiment}")
        raise AsrtoolError(
            f"{missing} of the {len(data.utterances)} utterances of {data.path} have no usable alignment (allowed: "
            f"{options.max_failed:.0%}), the first: {first[0]}: {first[1]}"
        )
    _write(experiment, directory, alignments, transition_model, options.lang, report)
    return report


def check_phones(experiment: Path, transition_model: TransitionModel, lang: Path | None) -> None:
    """AsrtoolError unless the experiment's phones.txt, its model and the lang directory have the same phones."""
    table = experiment / "phones.txt"
    if lang is not None and not (lang / "phones.txt").is_file():
        raise AsrtoolError(f"{lang / 'phones.txt'}: no such file; is {lang} a lang directory?")
    if lang is not None and table.is_file():
        compare_phone_tables(lang / "phones.txt", table)
    if not table.is_file():
        if lang is None:
            raise AsrtoolError(f"{table}: no such file; name the lang directory of the experiment with --lang")
        table = lang / "phones.txt"
    known = set(SymbolTable.read(table).id_to_symbol)
    unknown = [phone for phone in transition_model.phones if phone not in known]
    if unknown:
        raise AsrtoolError(f"{table}: phone {unknown[0]} of {experiment / 'final.mdl'} is not in it: another phone table")


def select_alignments(
    found: dict[str, np.ndarray], data: DataDir, transition_model: TransitionModel, factor: int
) -> tuple[dict[str, np.ndarray], ImportReport]:
    """The alignments that fit the data directory, in its order, and a report of those that do not."""
    report = ImportReport(not_in_data=sorted(set(found) - set(data.utt2spk)))
    selected = {}
    has_frames = (data.path / "utt2num_frames").is_file() or (data.path / "feats.scp").is_file()
    for utterance in data.utterances:
        if utterance not in found:
            report.no_alignment.append(utterance)
            continue
        alignment = found[utterance]
        frames = data.utt2num_frames.get(utterance) if has_frames else len(alignment) * factor
        if frames is None:
            report.wrong[utterance] = f"no frame count in {data.path}/utt2num_frames"
        elif -(-frames // factor) != len(alignment):
            unit = "" if factor == 1 else f", {-(-frames // factor)} expected at a {factor} times lower rate"
            report.wrong[utterance] = (
                f"{len(alignment)} frames aligned, {frames} frames of features{unit}: check the frame shift and snip-edges"
            )
        else:
            try:
                transition_model.phone_segments(alignment)
            except AsrtoolError as error:
                report.wrong[utterance] = str(error)
                continue
            selected[utterance] = alignment
    report.done = len(selected)
    return selected, report


def _write(experiment, directory, alignments, transition_model, lang, report) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    phones = experiment / "phones.txt" if (experiment / "phones.txt").is_file() else lang / "phones.txt"
    silence = (phone for row in read_int_lists(lang / "phones/silence.int") for phone in row) if lang else named_silence(phones)
    head = [f"imported from {experiment}", *report.lines(experiment, Path("the data directory"))[1:]]
    summary = summarise_alignments(alignments, transition_model, SymbolTable.read(phones), set(silence), head)
    write_alignment_files(directory, alignments, transition_model)
    write_text(directory / "alignment_summary.txt", summary)
    for name in OPTIONAL_FILES:
        if (experiment / name).is_file():
            copy_file(experiment / name, directory / name)
    copy_file(phones, directory / "phones.txt")
    copy_file(experiment / "tree", directory / "tree")
    copy_file(experiment / "final.mdl", directory / "final.mdl")


def named_silence(phones: Path) -> list[int]:
    """Without a lang directory, for the summary alone: phones that are called as silence usually is."""
    names = {"SIL", "SPN", "NSN", "LAUGHTER", "sil", "spn", "nsn"}
    return [number for symbol, number in SymbolTable.read(phones).symbol_to_id.items() if symbol.split("_")[0] in names]


def _some(utterances: list[str]) -> str:
    return " ".join(utterances[:MAX_LISTED]) + (" ..." if len(utterances) > MAX_LISTED else "")
