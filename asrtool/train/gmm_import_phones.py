"""Import of phones with times (CTM, TextGrid) as alignments: of monophones, or of a model's states."""

from pathlib import Path

import numpy as np

from asrtool.data.data_dir import DataDir
from asrtool.errors import AsrtoolError
from asrtool.hmm.transition_model import TransitionModel
from asrtool.train.gmm_import_checks import check_phones, has_frames
from asrtool.train.gmm_import_labels import PhoneLabels, phones_in_frames
from asrtool.train.gmm_import_options import ImportOptions
from asrtool.train.gmm_import_output import Imported
from asrtool.train.gmm_import_states import StateFiller
from asrtool.train.gmm_import_times import cut_segments, read_phone_ctm, read_textgrids
from asrtool.train.gmm_lang import GmmLang
from asrtool.tree.context_dependency import ContextDependency, monophone_context_dependency


def read_timed_phones(source: Path, data: DataDir, options: ImportOptions) -> tuple[Imported, dict[str, str], list[str]]:
    """Alignments in which each phone's frames are divided evenly among its HMM states.

    Args:
        source: a CTM file, or a folder of TextGrids.
        options: lang is needed. With `model`, its tree and states; without it, monophones of the lang directory, with
            transition probabilities from the durations.

    Returns:
        what was read; why an utterance could not be; names that are not in the data directory.

    Raises:
        AsrtoolError: labels that are no phones of the lang directory, or files that are missing or damaged.
    """
    if options.lang is None:
        raise AsrtoolError(f"{source}: phones with times need --lang, the lang directory whose phones they are")
    lang = GmmLang.load(options.lang)
    model, tree = _model(lang, options)
    filler, labels = StateFiller(model, tree), PhoneLabels(lang, options.phone_map)
    if options.format == "ctm":
        found = read_phone_ctm(source, options.word_ctm)
    else:
        found = read_textgrids(source, data, options.tier)
    utterances, foreign = cut_segments(found, data)
    shift_s, wrong = options.frame_shift_s or data.frame_shift_s, dict(found.wrong)
    known = has_frames(data)
    segments: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for utterance, timed in utterances.items():
        frames = data.utt2num_frames.get(utterance) if known else None
        if known and frames is None:
            wrong[utterance] = f"no frame count in {data.path}/utt2num_frames"
            continue
        try:
            segments[utterance] = phones_in_frames(timed, labels, filler, frames, shift_s, options.frame_offset_s)
        except AsrtoolError as error:
            wrong[utterance] = str(error)
    labels.check(source)
    alignments = {}
    for utterance, (phones, lengths) in segments.items():
        try:
            alignments[utterance] = filler(phones, lengths)
        except AsrtoolError as error:
            wrong[utterance] = str(error)
    if options.model is None:
        counts = np.zeros(model.num_transition_ids + 1)
        for row in alignments.values():
            counts += np.bincount(row, minlength=len(counts))
        model.update(counts)
    return Imported(source, model, tree, alignments, lang.path / "phones.txt", options.model), wrong, foreign


def _model(lang: GmmLang, options: ImportOptions) -> tuple[TransitionModel, ContextDependency]:
    """Transition model and tree of options.model, else monophones of the lang directory."""
    if options.model is None:
        tree = monophone_context_dependency(lang.phone_sets, lang.topology)
        return TransitionModel.from_tree(tree, lang.topology), tree
    for name in ("final.mdl", "tree"):
        if not (options.model / name).is_file():
            raise AsrtoolError(f"{options.model / name}: no such file; is {options.model} a GMM experiment directory?")
    model = TransitionModel.read_file(options.model / "final.mdl")
    check_phones(options.model, model, options.lang)
    return model, ContextDependency.read_file(options.model / "tree")
