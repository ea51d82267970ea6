"""Import of a Kaldi experiment, or of pdf-ids or phones with times, as an alignment directory that every later step takes."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from asrtool.data.data_dir import DataDir
from asrtool.errors import AsrtoolError
from asrtool.hmm.topology import HmmTopology
from asrtool.hmm.transition_model import TransitionModel
from asrtool.hmm.warp_alignment import warp_alignment
from asrtool.io.alignment import read_alignments
from asrtool.lattice.archive import read_lattices
from asrtool.lattice.lattice import best_path
from asrtool.train.gmm_import_checks import ImportReport, check_phones, has_frames, select_alignments
from asrtool.train.gmm_import_options import ImportOptions as ImportOptions
from asrtool.train.gmm_import_options import find_format
from asrtool.train.gmm_import_output import OPTIONAL_FILES as OPTIONAL_FILES
from asrtool.train.gmm_import_output import (
    Imported,
    copy_graph,
    graph_dirs,
    take_along,
    write_import,
    write_pdf_file,
    write_phone_files,
)
from asrtool.train.gmm_import_output import named_silence as named_silence
from asrtool.train.gmm_import_pdfs import read_pdf_ids
from asrtool.train.gmm_import_phones import read_timed_phones
from asrtool.tree.context_dependency import ContextDependency

SINGLE_FILES = ("ali.gz", "ali.ark", "ali.ark.gz", "ali.txt", "ali")
LATTICE_SCALE = 0.1  # of acoustic costs, as the aligner's


def import_alignment(experiment: str | Path, data_dir: str | Path, directory: str | Path, options: ImportOptions) -> ImportReport:
    """Writes `directory` with ali.1.gz, final.mdl, tree, phones.txt, counts and more; every later step takes it for our own.

    Args:
        experiment: a Kaldi directory with final.mdl (text or binary, Triples or Tuples), tree, ali.*.gz (any split, text or
            binary); or an archive of pdf-ids, a CTM file or a folder of TextGrids (see ImportOptions.format).
        data_dir: utterances and, in utt2num_frames, their lengths.

    Raises:
        AsrtoolError: something missing or damaged, phone tables that differ, or more unusable utterances than allowed.
    """
    experiment, directory = Path(experiment), Path(directory)
    if experiment.resolve() == directory.resolve():
        raise AsrtoolError(f"{directory}: is the experiment itself; give another directory")
    options = replace(options, format=options.format or find_format(experiment))
    if options.format == "kaldi":
        imported = read_experiment(experiment, options)
        data, wrong, foreign = DataDir.load(data_dir), {}, []
    else:
        data = DataDir.load(data_dir)
        read = read_pdf_ids if options.format == "text-pdf" else read_timed_phones
        imported, wrong, foreign = read(experiment, data, options)
    alignments, report = select_alignments(
        imported.alignments, data, imported.transition_model, imported.factor, options.length_tolerance
    )
    report.wrong |= wrong
    report.no_alignment = [utterance for utterance in report.no_alignment if utterance not in wrong]
    report.not_in_data = sorted({*report.not_in_data, *foreign})
    report.notes += compare_topologies(imported, options.lang)
    if imported.factor > 1:
        rate = f"a {imported.factor} times lower frame rate"
        stretched = f"stretched from {rate} to that of the features; --stretch false leaves them as they are"
        report.notes.append(f"alignments {stretched if options.stretch else f'stay at {rate}'}")
    print("\n".join(report.lines(experiment, data.path)), file=sys.stderr)
    report.check(data, experiment, options.max_failed)
    if imported.factor > 1 and options.stretch:
        alignments = stretch(alignments, data, imported)
    _write(imported, directory, alignments, options, report, data)
    return report


def stretch(alignments: dict[str, np.ndarray], data: DataDir, imported: Imported) -> dict[str, np.ndarray]:
    """Alignments with a transition-id for each frame of the features: every stay in a state gets longer. Sets `factor` to 1."""
    factor, imported.factor = imported.factor, 1
    frames = data.utt2num_frames if has_frames(data) else {name: factor * len(row) for name, row in alignments.items()}
    return {name: warp_alignment(row, frames[name], imported.transition_model) for name, row in alignments.items()}


def read_experiment(experiment: Path, options: ImportOptions) -> Imported:
    """Model, tree, phones and alignments of a Kaldi directory.

    Raises:
        AsrtoolError: missing or damaged files, or files of different experiments.
    """
    for name in ("final.mdl", "tree"):
        if not (experiment / name).is_file():
            raise AsrtoolError(f"{experiment / name}: no such file; is {experiment} a Kaldi alignment or model directory?")
    model = TransitionModel.read_file(experiment / "final.mdl")
    tree = ContextDependency.read_file(experiment / "tree")
    if tree.num_pdfs != model.num_pdfs:
        raise AsrtoolError(f"{experiment}: tree has {tree.num_pdfs} pdfs, final.mdl {model.num_pdfs}: of different experiments")
    phones = check_phones(experiment, model, options.lang)
    factor = options.frame_subsampling_factor or read_factor(experiment)
    return Imported(experiment, model, tree, find_alignments(options.alignments or experiment), phones, experiment, factor)


def find_alignments(place: Path) -> dict[str, np.ndarray]:
    """Utterance -> transition-ids of a file, or of a directory: its ali.N.gz, else its one archive, else the best paths of its
    lattices, such as steps/align_fmllr_lats.sh leaves.

    Raises:
        AsrtoolError: none of these is there, or damaged.
    """
    if not place.is_dir() or any(re.match(r"ali\.\d", path.name) for path in place.glob("ali.*")):
        return read_alignments(place)
    for name in SINGLE_FILES:
        if (place / name).is_file():
            return read_alignments(place / name)
    if not any(place.glob("lat.*.gz")):
        raise AsrtoolError(f"{place}: neither ali.*.gz nor lat.*.gz in it; is it an alignment directory? Else give --alignments")
    paths = ((utterance, best_path(lattice, LATTICE_SCALE)) for utterance, lattice in read_lattices(place))
    return {utterance: np.asarray(path.transition_ids, np.int32) for utterance, path in paths if path is not None}


def read_factor(experiment: Path) -> int:
    """The experiment's frame_subsampling_factor; 1 without it."""
    path = experiment / "frame_subsampling_factor"
    if not path.is_file():
        return 1
    text = path.read_text().strip()
    if not re.fullmatch(r"[1-9]\d*", text):
        raise AsrtoolError(f"{path}: expected a number above 0, found '{text[:40]}'")
    return int(text)


def compare_topologies(imported: Imported, lang: Path | None) -> list[str]:
    """What to say where the lang directory's HMMs are others than the model's."""
    if lang is None or not (lang / "topo").is_file():
        return []
    if HmmTopology.read_file(lang / "topo") == imported.transition_model.topology:
        return []
    return [
        f"the HMMs of {lang}/topo are not those of the model: networks can be trained on these alignments, GMMs with this lang "
        "directory cannot"
    ]


def _write(
    imported: Imported, directory: Path, alignments: dict, options: ImportOptions, report: ImportReport, data: DataDir
) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "final.mdl").unlink(missing_ok=True)  # it comes last: what is half written has none
    notes = take_along(imported.home, directory, data)
    graphs = graph_dirs(imported.home) if options.copy_graphs and imported.home is not None else []
    for graph in graphs + ([options.graph] if options.graph else []):
        target = directory / ("graph" if graph == imported.home else graph.name)
        copy_graph(graph, target, imported.transition_model)
        notes.append(f"{graph}/HCLG.fst: now in {target}")
    for name in ("phones.1.gz", "phones.ctm", "pdf.1.gz"):
        (directory / name).unlink(missing_ok=True)
    if options.write_phones:
        write_phone_files(directory, alignments, imported, options.frame_shift_s or data.frame_shift_s)
    if options.write_pdfs:
        write_pdf_file(directory, alignments, imported.transition_model)
    print(*notes, sep="\n", end="\n" if notes else "", file=sys.stderr)
    report.notes += notes
    head = [f"imported from {imported.path}", *report.lines(imported.path, Path("the data directory"))[1:]]
    write_import(imported, directory, alignments, options.lang, head)
