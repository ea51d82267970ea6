"""Do imported alignments, models and phone tables agree with a data directory, and where exactly do they not?"""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from asrtool.data.data_dir import DataDir
from asrtool.errors import AsrtoolError
from asrtool.hmm.transition_model import TransitionModel
from asrtool.hmm.warp_alignment import warp_alignment
from asrtool.io.symbols import SymbolTable
from asrtool.train.gmm_lang import compare_phone_tables

MAX_LISTED = 5
SNIPPED_FRAMES = 2  # Kaldi's 25 ms windows every 10 ms: so many more frames with --snip-edges=false


@dataclass
class ImportReport:
    """Utterances by what was found of them.

    wrong: why an alignment is of no use. lengths: utterance -> (frames aligned, frames expected) where these differ and the
    alignment is left out; fitted: the same where it was made to fit. notes: what else is to be said.
    """

    done: int = 0
    no_alignment: list[str] = field(default_factory=list)
    not_in_data: list[str] = field(default_factory=list)
    wrong: dict[str, str] = field(default_factory=dict)
    lengths: dict[str, tuple[int, int]] = field(default_factory=dict)
    fitted: dict[str, tuple[int, int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def lines(self, experiment: Path, data: Path) -> list[str]:
        """What disagrees, a line a kind."""
        lines = [f"{self.done} utterances imported"]
        if self.no_alignment:
            number = len(self.no_alignment)
            lines.append(f"{number} utterances of {data} have no alignment in {experiment}: {some(self.no_alignment)}")
        if self.not_in_data:
            lines.append(f"{len(self.not_in_data)} aligned utterances are not in {data}: {some(self.not_in_data)}")
        if self.fitted:
            lines.append(f"{len(self.fitted)} alignments made to fit: {describe_lengths(self.fitted)}")
        if self.wrong:
            lines.append(f"{len(self.wrong)} alignments do not fit:")
            lines.extend(f"  {utterance}: {why}" for utterance, why in list(self.wrong.items())[:MAX_LISTED])
        if self.lengths:
            lines.append(f"  lengths: {describe_lengths(self.lengths)}; {explain_lengths(self.lengths)}")
        return lines + self.notes

    def check(self, data: DataDir, experiment: Path, max_failed: float) -> None:
        """AsrtoolError where more utterances than `max_failed` of the data directory lack a usable alignment."""
        missing = len(self.no_alignment) + len(set(self.wrong) & set(data.utterances))
        if self.done and missing <= max_failed * len(data.utterances):
            return
        first = next(iter(self.wrong.items()), None) or (next(iter(self.no_alignment), "?"), f"no alignment in {experiment}")
        why = f"; {explain_lengths(self.lengths)}" if self.lengths else ""
        raise AsrtoolError(
            f"{missing} of the {len(data.utterances)} utterances of {data.path} have no usable alignment (allowed: "
            f"{max_failed:.0%}), the first: {first[0]}: {first[1]}{why}"
        )


def some(names: list[str]) -> str:
    """The first names of a list."""
    return " ".join(names[:MAX_LISTED]) + (" ..." if len(names) > MAX_LISTED else "")


def describe_lengths(lengths: dict[str, tuple[int, int]]) -> str:
    """By how much (frames aligned, frames expected) differ, the most frequent first."""
    counts = Counter(found - due for found, due in lengths.values()).most_common(MAX_LISTED)
    return ", ".join(f"{number} by {difference:+d} frames" for difference, number in counts)


def explain_lengths(lengths: dict[str, tuple[int, int]]) -> str:
    """What is likely to have made alignments of other lengths than the features."""
    found, due = np.array(list(lengths.values())).T
    difference = int(np.median(found - due))
    if np.mean(np.abs(found - due) <= SNIPPED_FRAMES + 1) > 0.9:
        ours, theirs = ("false", "true") if difference < 0 else ("true", "false")
        sure = "" if abs(difference) == SNIPPED_FRAMES else "perhaps "
        mend = f"make features with --snip-edges={theirs}, or give --length-tolerance {SNIPPED_FRAMES + 1}"
        return f"{sure}--snip-edges={theirs} there, {ours} here: {mend}"
    ratio = float(np.median(due / np.maximum(found, 1)))
    factor = round(ratio)
    if factor > 1 and np.mean(np.abs(due - factor * found) <= factor + SNIPPED_FRAMES) > 0.9:
        return f"frames are {factor} times longer there: give --frame-subsampling-factor {factor}"
    if np.mean(np.abs(due / np.maximum(found, 1) - ratio) < 0.02 * ratio) > 0.9:
        return f"its frame shift is {ratio:.3g} times that of the features: make features with its frame shift"
    return "check that these are the same recordings, and the frame shift and snip-edges"


def check_phones(experiment: Path, transition_model: TransitionModel, lang: Path | None) -> Path:
    """The experiment's phones.txt, else that of lang.

    Raises:
        AsrtoolError: the experiment's phones.txt, its model and the lang directory have not the same phones; or no phones.txt.
    """
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
    return table


def has_frames(data: DataDir) -> bool:
    """Whether the lengths of the utterances are known."""
    return (data.path / "utt2num_frames").is_file() or (data.path / "feats.scp").is_file()


def select_alignments(
    found: dict[str, np.ndarray], data: DataDir, transition_model: TransitionModel, factor: int = 1, tolerance: int = 0
) -> tuple[dict[str, np.ndarray], ImportReport]:
    """The alignments that fit the data directory, in its order, and a report of those that do not.

    Args:
        factor: frames of features to a frame of an alignment.
        tolerance: alignments that are longer or shorter by so many frames are made to fit (`fit_length`).
    """
    report = ImportReport(not_in_data=sorted(set(found) - set(data.utt2spk)))
    selected = {}
    known = has_frames(data)
    for utterance in data.utterances:
        if utterance not in found:
            report.no_alignment.append(utterance)
            continue
        alignment = found[utterance]
        frames = data.utt2num_frames.get(utterance) if known else len(alignment) * factor
        if frames is None:
            report.wrong[utterance] = f"no frame count in {data.path}/utt2num_frames"
            continue
        due = -(-frames // factor)
        if abs(due - len(alignment)) > tolerance:
            unit = "" if factor == 1 else f", {due} expected at a {factor} times lower rate"
            report.wrong[utterance] = f"{len(alignment)} frames aligned, {frames} frames of features{unit}"
            report.lengths[utterance] = len(alignment), due
            continue
        try:
            selected[utterance] = fit_length(alignment, due, transition_model)
        except AsrtoolError as error:
            report.wrong[utterance] = str(error)
            continue
        if due != len(alignment):
            report.fitted[utterance] = len(alignment), due
    report.done = len(selected)
    return selected, report


def fit_length(alignment: np.ndarray, num_frames: int, transition_model: TransitionModel) -> np.ndarray:
    """A few frames more or less, half of them at each end: what windows that reach beyond the edges do (--snip-edges).

    The first and the last phone are stretched or squeezed; where they are too short, the whole utterance is.

    Raises:
        AsrtoolError: not an alignment of this model, or too many states for so few frames.
    """
    _, lengths = transition_model.phone_segments(alignment)
    change = num_frames - len(alignment)
    if change == 0:
        return np.asarray(alignment, np.int32)
    if len(lengths) < 2:
        return warp_alignment(alignment, num_frames, transition_model)
    at_start = change // 2
    first, middle, last = np.split(alignment, [lengths[0], len(alignment) - lengths[-1]])
    try:
        first = warp_alignment(first, len(first) + at_start, transition_model)
        last = warp_alignment(last, len(last) + change - at_start, transition_model)
    except AsrtoolError:
        return warp_alignment(alignment, num_frames, transition_model)
    return np.concatenate([first, middle, last])
