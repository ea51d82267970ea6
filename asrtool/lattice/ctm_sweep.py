"""The words of a decoding with times, for several LM weights at once."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.io.ctm import CtmWord
from asrtool.io.tally import Tally
from asrtool.lattice.align_words import align_words
from asrtool.lattice.arrays import path_lattice
from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.convert import to_compact
from asrtool.lattice.ctm import Recordings, WordAligner, WordTime, best_arcs, ctm_words, mbr_word_times, word_times
from asrtool.lattice.lattice import Lattice
from asrtool.lattice.mbr import mbr_decode
from asrtool.lattice.scale import add_penalty


@dataclass(frozen=True)
class CtmOptions:
    """As Kaldi's steps/get_ctm.sh and steps/get_ctm_conf.sh; the acoustic scale is 1 / LM weight."""

    lm_weights: tuple[int, ...] = (10,)
    word_insertion_penalty: float = 0.0
    frame_shift_s: float = 0.01
    print_silence: bool = False
    confidence: bool = False
    decode_mbr: bool = True


def sweep_ctm(
    lattices: Iterable[tuple[str, Lattice | CompactLattice]],
    aligner: WordAligner,
    symbol: Callable[[int], str],
    recordings: Recordings | None,
    options: CtmOptions,
    tally: Tally,
    utterances: Iterable[str],
) -> tuple[dict[int, list[CtmWord]], list[str]]:
    """(LM weight -> the words of all utterances, those of `utterances` that have no lattice); failures go to `tally`."""
    words: dict[int, list[CtmWord]] = {weight: [] for weight in options.lm_weights}
    missing = dict.fromkeys(utterances)
    for utterance, lattice in lattices:
        missing.pop(utterance, None)
        try:
            found = _words(to_compact(lattice), aligner, options)
            for weight, times in found.items():
                new = ctm_words(utterance, times, options.frame_shift_s, symbol, options.confidence)
                words[weight] += [recordings.place(word) for word in new] if recordings else new
            tally.ok()
        except AsrtoolError as error:
            tally.failed(utterance, str(error))
    return words, list(missing)


def _words(lattice: CompactLattice, aligner: WordAligner, options: CtmOptions) -> dict[int, list[WordTime]]:
    if options.word_insertion_penalty:
        lattice = add_penalty(lattice, options.word_insertion_penalty)
    if options.confidence:
        aligned, _ = align_words(lattice, aligner.transition_model, aligner.places, aligner.options)
        results = (
            mbr_decode(aligned, 1 / weight, 1.0, options.decode_mbr, print_silence=options.print_silence)
            for weight in options.lm_weights
        )
        return {weight: mbr_word_times(result) for weight, result in zip(options.lm_weights, results)}
    words, known = {}, {}
    for weight in options.lm_weights:
        arcs: np.ndarray = best_arcs(lattice, 1 / weight)
        path = arcs.tobytes()  # neighbouring weights mostly have the same best path
        if path not in known:
            one = path_lattice(lattice, arcs)
            known[path] = word_times(one, None, aligner.transition_model, aligner.places, aligner.options, options.print_silence)
        words[weight] = known[path]
    return words
