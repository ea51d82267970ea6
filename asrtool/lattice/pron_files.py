"""From alignments or lattices to Kaldi's prons files: which phones each word of an utterance was spoken with."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.alignment import read_alignments
from asrtool.io.tally import Tally
from asrtool.io.whole_file import opened_to_write
from asrtool.lattice.align_words import align_words
from asrtool.lattice.align_words_files import AlignLexicon, WordBoundary
from asrtool.lattice.archive import read_lattices
from asrtool.lattice.arrays import path_lattice
from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.convert import to_compact
from asrtool.lattice.ctm import best_arcs, linear_lattice
from asrtool.lattice.pronunciations import SpokenWord, spoken_words

Paths = Iterator[tuple[str, CompactLattice]]


class Speech(NamedTuple):
    """What turns transition-ids into words and phones."""

    transition_model: TransitionModel
    places: WordBoundary | AlignLexicon


def alignment_paths(path: Path, words: Mapping[str, list[int]], tally: Tally) -> Paths:
    """(utterance, lattice of one path) of an archive of alignments; utterances without `words` (ids) are counted as failed."""
    for utterance, alignment in read_alignments(path).items():
        if utterance not in words:
            tally.failed(f"{path}: {utterance}", "no transcript; use the data directory that was aligned")
            continue
        yield utterance, linear_lattice(np.array(words[utterance], np.int32), alignment)


def best_paths(path: Path, lm_scale: float, tally: Tally) -> Paths:
    """(utterance, best path) of an archive of lattices, with acoustic costs as they are and graph costs times `lm_scale`."""
    for utterance, lattice in read_lattices(path):
        try:
            lattice = to_compact(lattice)
            yield utterance, path_lattice(lattice, best_arcs(lattice, 1.0, lm_scale))
        except AsrtoolError as error:
            tally.failed(f"{path}: {utterance}", str(error))


def spoken_in_paths(paths: Paths, speech: Speech, tally: Tally) -> Iterator[tuple[str, list[SpokenWord]]]:
    """(utterance, its words and silences); what cannot be cut into words is counted as failed."""
    for utterance, lattice in paths:
        try:
            aligned = align_words(lattice, speech.transition_model, speech.places).lattice
            found = spoken_words(aligned, speech.transition_model)
        except AsrtoolError as error:
            tally.failed(utterance, str(error))
            continue
        tally.ok()
        yield utterance, found


def pron_line(utterance: str, spoken: SpokenWord, lengths_per_phone: bool = False) -> str:
    """ "utterance first-frame frames word phone phone ...", all but the first as numbers; frames of each phone on request."""
    frames = ",".join(map(str, spoken.phone_frames)) if lengths_per_phone else spoken.num_frames
    return " ".join(map(str, (utterance, spoken.start_frame, frames, spoken.word, *spoken.phones)))


def write_prons(path: str | Path, spoken: Iterator[tuple[str, list[SpokenWord]]], lengths_per_phone: bool = False) -> None:
    """Writes lines, gzipped where the name ends in .gz, whole or not at all."""
    with opened_to_write(path, 6) as file:
        for utterance, found in spoken:
            file.write("".join(f"{pron_line(utterance, one, lengths_per_phone)}\n" for one in found).encode())
