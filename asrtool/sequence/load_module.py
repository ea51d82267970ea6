"""The speech module of files on disk."""

from pathlib import Path

import numpy as np
import torch

from asrtool.criterion.sequence import PhoneTables, SequenceOptions, make_criterion
from asrtool.decoder.network import load_network
from asrtool.errors import AsrtoolError
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.alignment import read_alignments
from asrtool.sequence.denominators import Denominators, NumeratorPaths, SearchedLattices
from asrtool.sequence.module import SpeechModule
from asrtool.sequence.numerators import Alignments, Numerators, Realigner
from asrtool.sequence.options import SpeechOptions, SpeechPaths
from asrtool.sequence.stored_lattices import StoredLattices

NO_LATTICE_CRITERIA = ("lfmmi",)


def load_module(
    options: SpeechOptions,
    paths: SpeechPaths,
    criterion_options: SequenceOptions,
    device: str | torch.device = "cpu",
    numerators: Numerators | None = None,
) -> SpeechModule:
    """The speech module of files.

    Args:
        device: of the forward pass.
        numerators: instead of those that `options.numerator` names.

    Raises:
        AsrtoolError: files that are missing, damaged, or do not fit each other, or none that would give denominators.
    """
    final_mdl = Path(paths.ali_dir) / "final.mdl"
    model = TransitionModel.read_file(final_mdl)
    bundle = load_network(paths.model, model.num_pdfs, final_mdl)
    bundle.model.to(device)
    pipeline = bundle.pipeline(paths.data_dir)
    tables = PhoneTables.from_model(model, silence_phones(paths.lang_dir))
    scale = criterion_options.acoustic_scale
    if numerators is None and options.numerator == "realign":
        numerators = Realigner.load(options, paths, model, pipeline.data.text, scale)
    elif numerators is None:
        numerators = Alignments(read_alignments(paths.ali_dir), model.num_transition_ids)
    denominators, numerator_paths = _denominators(options, paths, criterion_options, model)
    lattice_free = criterion_options.criterion in NO_LATTICE_CRITERIA  # lattices are quicker on the CPU, where they are made
    criterion = make_criterion(criterion_options, tables, _denominator_graph(paths), str(device) if lattice_free else "cpu")
    return SpeechModule(bundle, pipeline, criterion, tables, numerators, denominators, options, numerator_paths)


def _denominators(
    options: SpeechOptions, paths: SpeechPaths, criterion_options: SequenceOptions, model: TransitionModel
) -> tuple[Denominators | None, NumeratorPaths | None]:
    if criterion_options.criterion in NO_LATTICE_CRITERIA:
        return None, None
    if paths.graph_dir is None and (paths.denlats_dir is None or options.missing_numerator == "add"):
        what = 'missing_numerator "add" needs' if paths.denlats_dir else "lattices need"
        raise AsrtoolError(
            f"{what} the denominator's graph: name its directory, as steps/nnet/make_denominator_graph.sh makes it"
        )
    searched = None
    if paths.graph_dir is not None and (paths.denlats_dir is None or options.missing_numerator == "add"):
        searched = SearchedLattices.load(paths.graph_dir, model, options, criterion_options.acoustic_scale)
    adder = None
    if options.missing_numerator == "add":
        adder = NumeratorPaths(searched.decoder.graph, np.ascontiguousarray(model.tid_to_pdf, np.int32))
    return (searched if paths.denlats_dir is None else StoredLattices(paths.denlats_dir)), adder


def _denominator_graph(paths: SpeechPaths):
    if paths.denominator_graph is None:
        return None
    from asrtool.graph.denominator import DenominatorGraph

    return DenominatorGraph.load(paths.denominator_graph)


def silence_phones(lang_dir: str | Path) -> list[int]:
    """Ids of the silence phones of a lang directory (phones/silence.csl, 1:2:3).

    Raises:
        AsrtoolError: no such file, or something else in it.
    """
    path = Path(lang_dir) / "phones/silence.csl"
    try:
        return [int(phone) for phone in path.read_text().strip().split(":") if phone]
    except FileNotFoundError:
        raise AsrtoolError(f"{path}: no such file; make the lang directory with utils/prepare_lang.sh") from None
    except ValueError:
        raise AsrtoolError(f"{path}: expected phone ids with colons between them; make the lang directory again") from None
