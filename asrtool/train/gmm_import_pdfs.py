"""Import of alignments that are pdf-ids alone, "utterance pdf pdf ..." in text or as a binary archive."""

from pathlib import Path

import numpy as np

from asrtool.data.data_dir import DataDir
from asrtool.decoder.aligner import align_arcs
from asrtool.errors import AsrtoolError
from asrtool.graph.training_graph import TrainingGraphCompiler
from asrtool.hmm.topology import HmmState, HmmTopology
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.alignment import read_alignments
from asrtool.io.symbols import SymbolTable
from asrtool.train.gmm_corpus import TrainingGraph
from asrtool.train.gmm_import_checks import check_phones
from asrtool.train.gmm_import_options import ImportOptions
from asrtool.train.gmm_import_output import Imported
from asrtool.train.gmm_import_states import StateFiller
from asrtool.tree.context_dependency import ContextDependency, monophone_context_dependency

_ELSEWHERE = -1000.0  # log-likelihood of all pdfs but the given one
_BEAM = 500.0  # below that, above what transitions cost


def read_pdf_ids(source: Path, data: DataDir, options: ImportOptions) -> tuple[Imported, dict[str, str], list[str]]:
    """Alignments with these pdf-ids.

    With `options.model` and a lang directory: the path through the transcript's training graph that has them. Without a model:
    each run of a pdf is a phone of its own with one state, which serves the training of networks and nothing that needs phones.

    Returns:
        what was read; why an utterance could not be; no names.

    Raises:
        AsrtoolError: damaged files, pdf-ids below 0 or above what there are.
    """
    pdfs = read_alignments(source)
    _check_range(pdfs, source, options)
    if options.model is None:
        return _made_up(source, pdfs, options), {}, []
    files = options.model / "final.mdl", options.model / "tree"
    if options.lang is None or not data.text:
        raise AsrtoolError(f"{source}: pdf-ids of a model need --lang, and {data.path}/text: the path is found by the transcript")
    model, tree = TransitionModel.read_file(files[0]), ContextDependency.read_file(files[1])
    phones = check_phones(options.model, model, options.lang)
    compiler, costs = TrainingGraphCompiler(options.lang, tree, model), model.scaled_costs()
    alignments, wrong = {}, {}
    for utterance in data.utterances:
        if utterance not in pdfs:
            continue
        try:
            if utterance not in data.text:
                raise AsrtoolError(f"has no transcript in {data.path}/text")
            alignments[utterance] = find_path(pdfs[utterance], compiler, data.text[utterance], model, costs)
        except AsrtoolError as error:
            wrong[utterance] = str(error)
    foreign = sorted(set(pdfs) - set(data.utt2spk))
    return Imported(source, model, tree, alignments, phones, options.model), wrong, foreign


def _check_range(pdfs: dict[str, np.ndarray], source: Path, options: ImportOptions) -> None:
    if options.model is not None:
        number, whose = TransitionModel.read_file(options.model / "final.mdl").num_pdfs, f"{options.model}/final.mdl"
    else:
        number, whose = options.num_pdfs, "--num-pdfs"
    for utterance, row in pdfs.items():
        if len(row) and (row.min() < 0 or (number and row.max() >= number)):
            allowed = f"{whose} says {number}" if number else "they count from 0"
            raise AsrtoolError(f"{source}: {utterance}: pdf-id {int(row.max() if row.min() >= 0 else row.min())}, but {allowed}")


def find_path(
    pdfs: np.ndarray, compiler: TrainingGraphCompiler, words: list[str], model: TransitionModel, costs: np.ndarray
) -> np.ndarray:
    """Int32 [T]: the likeliest transition-ids of a transcript that have these pdf-ids, int [T].

    Raises:
        AsrtoolError: the transcript cannot have them.
    """
    graph = TrainingGraph.of(compiler.compile(words), model.tid_to_pdf)
    loglikes = np.where(pdfs[:, None] == graph.pdf_ids, np.float32(0), np.float32(_ELSEWHERE))
    cost = graph.graph.arc_cost + costs[graph.graph.arc_ilabel]
    size = len(graph.pdf_ids)
    found = align_arcs(graph.graph, graph.arc_pdf, cost, loglikes.reshape(-1), len(pdfs), size, 1, 1.0, _BEAM, 0.0)
    differs = np.zeros(1, np.int64) if found is None else np.flatnonzero(model.tid_to_pdf[found.transition_ids] != pdfs)
    if len(differs):
        raise AsrtoolError(
            f"no path through '{' '.join(words)[:60]}' has its pdf-ids (about frame {differs[0]}): another transcript, lexicon "
            "or model"
        )
    return found.transition_ids


def _made_up(source: Path, pdfs: dict[str, np.ndarray], options: ImportOptions) -> Imported:
    """With a model of a phone a pdf, of one state each."""
    number = options.num_pdfs or 1 + max((int(row.max()) for row in pdfs.values() if len(row)), default=-1)
    if number < 1:
        raise AsrtoolError(f"{source}: no pdf-ids in it")
    state = HmmState(0, 0, ((0, 0.5), (1, 0.5)))
    topology = HmmTopology([(state, HmmState())], dict.fromkeys(range(1, number + 1), 0), str(source))
    tree = monophone_context_dependency([[phone] for phone in range(1, number + 1)], topology)
    model = TransitionModel.from_tree(tree, topology)
    filler, alignments = StateFiller(model, tree), {}
    for utterance, row in pdfs.items():
        if len(row):
            begins = np.flatnonzero(np.append(True, row[1:] != row[:-1]))
            alignments[utterance] = filler(row[begins] + 1, np.diff(np.append(begins, len(row))))
    phones = SymbolTable.from_symbols(["<eps>", *(f"pdf{pdf}" for pdf in range(number))])
    return Imported(source, model, tree, alignments, phones)
