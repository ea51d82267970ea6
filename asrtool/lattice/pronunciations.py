"""Which phones each word was spoken with, from word-aligned paths (Kaldi's nbest-to-prons)."""

from typing import NamedTuple

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.hmm.transition_model import TransitionModel
from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.ctm import best_arcs


class SpokenWord(NamedTuple):
    """word: id, 0 for silence; phones: ids; phone_frames: of each."""

    word: int
    start_frame: int
    num_frames: int
    phones: tuple[int, ...]
    phone_frames: tuple[int, ...]


def spoken_words(aligned: CompactLattice, transition_model: TransitionModel) -> list[SpokenWord]:
    """The words and silences on the best path of a lattice that `align_words` made, in order.

    Raises:
        AsrtoolError: no path, transition-ids on the final weight, or words that do not consist of whole phones.
    """
    arcs = best_arcs(aligned)
    if len(arcs) == 0:
        return []
    last = int(aligned.arc_end[arcs[-1]])
    if aligned.final_tid_begin[last + 1] > aligned.final_tid_begin[last]:
        raise AsrtoolError("transition-ids that belong to no word: align the lattice with lattice-align-words first")
    frames = np.diff(aligned.tid_begin)[arcs]
    ends = np.cumsum(frames)
    tids = np.concatenate([aligned.transition_id[aligned.tid_begin[arc] : aligned.tid_begin[arc + 1]] for arc in arcs.tolist()])
    phones, lengths = transition_model.phone_segments(tids)
    phone_ends = np.cumsum(lengths)
    behind = np.searchsorted(phone_ends, ends, side="right")  # phones up to the end of each word
    if len(phones) and not np.array_equal(np.concatenate([[0], phone_ends])[behind], ends):
        raise AsrtoolError("a phone goes on from one word into the next: the lattice is not word-aligned")
    words = aligned.arc_word[arcs].tolist()
    begin = np.concatenate([[0], behind]).tolist()
    phones, lengths = phones.tolist(), lengths.tolist()
    return [
        SpokenWord(word, end - number, number, tuple(phones[low:high]), tuple(lengths[low:high]))
        for word, end, number, low, high in zip(words, ends.tolist(), frames.tolist(), begin[:-1], begin[1:])
    ]
