"""Transition models and GMMs in words: what Kaldi's show-transitions, am-info and gmm-info print."""

from collections.abc import Iterator

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.gmm.diag_gmm import AmDiagGmm
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.symbols import SymbolTable


def transition_lines(model: TransitionModel, phones: SymbolTable, occupancies: np.ndarray | None = None) -> Iterator[str]:
    """Every transition-state with its transition-ids and their probabilities.

    Args:
        occupancies: float [P], counts of the pdfs (final.occs), to be printed beside the transitions.

    Raises:
        AsrtoolError: a phone without a name, or another number of occupancies than pdfs.
    """
    if occupancies is not None and len(occupancies) != model.num_pdfs:
        raise AsrtoolError(f"{model.name}: it has {model.num_pdfs} pdfs, the counts are of {len(occupancies)}: of another model")
    probs = np.exp(model.log_probs.astype(np.float64)).astype(np.float32)  # rounded as Kaldi's, numpy's in float32 is not
    for number, (phone, state, forward, loop) in enumerate(model.tuples.tolist(), 1):
        pdfs = f"pdf = {forward}" if model.topology.is_hmm else f"forward-pdf = {forward} self-loop-pdf = {loop}"
        yield f"Transition-state {number}: phone = {phones.symbol(phone)} hmm-state = {state} {pdfs}"
        for tid in range(model.first_tid[number - 1], model.first_tid[number]):
            count = "" if occupancies is None else f" count of pdf = {occupancies[model.tid_to_pdf[tid]]:.6g}"
            where = "self-loop" if model.tid_is_self_loop[tid] else f"{state} -> {model.tid_destination[tid]}"
            yield f" Transition-id = {tid} p = {probs[tid]:.6g}{count} [{where}]"


def model_lines(model: TransitionModel, gmm: AmDiagGmm | None = None) -> Iterator[str]:
    """The numbers of phones, pdfs, transition-ids and transition-states; of dimensions and Gaussians where there are GMMs."""
    yield f"number of phones {len(model.phones)}"
    yield f"number of pdfs {model.num_pdfs}"
    yield f"number of transition-ids {model.num_transition_ids}"
    yield f"number of transition-states {len(model.tuples)}"
    if gmm is not None:
        yield f"feature dimension {gmm.dim}"
        yield f"number of gaussians {gmm.num_gaussians}"


def alignment_lines(model: TransitionModel, phones: SymbolTable, utterance: str, alignment: np.ndarray) -> Iterator[str]:
    """An alignment's transition-ids in groups by phone, the phones' names beneath, then an empty line (show-alignments).

    Args:
        alignment: int [T], transition-ids.

    Raises:
        AsrtoolError: not an alignment of this model, or a phone without a name.
    """
    names, lengths = model.phone_segments(alignment)
    ends = np.cumsum(lengths).tolist()
    ids = list(map(str, np.asarray(alignment).tolist()))
    upper, lower = [], []
    for phone, begin, end in zip(names.tolist(), [0, *ends], ends):
        group, name = f"[ {' '.join(ids[begin:end])} ] ", f"{phones.symbol(phone)} "
        width = max(len(group), len(name))
        upper.append(group.ljust(width))
        lower.append(name.ljust(width))
    yield f"{utterance}  {''.join(upper)}"
    yield f"{utterance}  {''.join(lower)}"
    yield ""
