"""Which phones a network takes for which.

Frames are counted at the network's output rate, one a window, as in training. The reference is the alignment's own phone at
a window's middle frame; the network's phone is that of its best pdf. Where phones share a pdf, the pdf cannot tell them apart:
it counts as the reference's phone if that is one of them, else as the one that the alignments use it for most often.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.symbols import SymbolTable

POSITION_SUFFIXES = ("_B", "_E", "_I", "_S")


@dataclass
class PhoneClasses:
    """Phones without their position in the word.

    Attributes:
        names: [C].
        class_of: int32 [highest phone id + 1], -1 for ids that are no phone.
    """

    names: list[str]
    class_of: np.ndarray


def read_transitions(ali_dir: Path, num_pdfs: int, model_path: Path) -> TransitionModel:
    """The transition model of an alignment directory; raises AsrtoolError when it has not the network's `num_pdfs`."""
    path = ali_dir / "final.mdl"
    if not path.is_file():
        raise AsrtoolError(f"{path}: no such file; is {ali_dir} an alignment directory?")
    model = TransitionModel.read_file(path)
    if model.num_pdfs != num_pdfs:
        raise AsrtoolError(f"{model_path}: {num_pdfs} pdfs, {path} has {model.num_pdfs}; align with the network's tree")
    return model


def phone_classes(phones: list[int], phones_txt: Path | None) -> PhoneClasses:
    """Merges AA_B, AA_I, AA_E, AA_S into AA, in the order of phones.txt; without that file, phones go by their ids.

    A suffix is dropped only where all four variants exist. Silence phones are classes as all others.
    """
    table = SymbolTable.read(phones_txt) if phones_txt is not None else None
    name_of = {phone: table.symbol(phone) if table is not None else str(phone) for phone in phones}
    known = set(table.symbol_to_id) if table is not None else set()
    classes: dict[str, int] = {}
    class_of = np.full(max(phones) + 1, -1, np.int32)
    for phone in sorted(phones):
        name = name_of[phone]
        stem = name[:-2]
        if name.endswith(POSITION_SUFFIXES) and all(stem + suffix in known for suffix in POSITION_SUFFIXES):
            name = stem
        class_of[phone] = classes.setdefault(name, len(classes))
    return PhoneClasses(list(classes), class_of)


class PdfPhones:
    """Which phone class a pdf stands for, given the reference's (see the top of this file)."""

    def __init__(self, model: TransitionModel, classes: PhoneClasses, transition_ids: list[np.ndarray]) -> None:
        num_tids = model.num_transition_ids + 1
        counts_T = sum((np.bincount(tids, minlength=num_tids) for tids in transition_ids), np.zeros(num_tids, np.int64))
        class_T, pdf_T = classes.class_of[model.tid_to_phone[1:]], model.tid_to_pdf[1:]
        seen_PC = np.zeros((model.num_pdfs, len(classes.names)), np.int64)
        np.add.at(seen_PC, (pdf_T, class_T), counts_T[1:])
        self.owns_PC = np.zeros(seen_PC.shape, bool)
        self.owns_PC[pdf_T, class_T] = True
        self.usual_P = np.where(self.owns_PC, seen_PC, -1).argmax(axis=1)

    def __call__(self, pdf_N: np.ndarray, reference_N: np.ndarray) -> np.ndarray:
        return np.where(self.owns_PC[pdf_N, reference_N], reference_N, self.usual_P[pdf_N])


def top_confusions(confusion_CC: np.ndarray, names: list[str], count: int) -> list[tuple[str, str, int]]:
    """The most frequent pairs (reference, network's phone, targets) of different phones."""
    wrong = confusion_CC - np.diag(np.diag(confusion_CC))
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    pairs = [divmod(int(index), len(names)) for index in order]
    return [(names[row], names[column], int(wrong[row, column])) for row, column in pairs if wrong[row, column]]


def phone_accuracies(confusion_CC: np.ndarray, names: list[str]) -> dict[str, dict[str, float]]:
    """Targets of every phone that occurs, and the share of them at which the network's phone is the same."""
    totals, right = confusion_CC.sum(axis=1).tolist(), np.diag(confusion_CC).tolist()
    found = zip(names, totals, right)
    return {name: {"targets": total, "accuracy": correct / total} for name, total, correct in found if total}
