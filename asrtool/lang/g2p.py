"""Pronunciations of words that no dictionary has, from a joint n-gram model of letters and phones.

The model's "words" are pieces: some letters with the phones they stand for, written t|h}TH, with _ for no phones. An n-gram model
over pieces gives the probability of a word together with its pronunciation; the sum over all ways to cut the word is what ranks
pronunciations (Bisani & Ney 2008, "Joint-sequence models for grapheme-to-phoneme conversion", equations 3 to 5).
"""

import tempfile
import unicodedata
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.lm.compact_arpa import build_from_arpa
from asrtool.lm.compact_file import MAGIC
from asrtool.lm.compact_model import CompactNgram

BETWEEN, DIVIDER, NOTHING = "|", "}", "_"
BEAM = 200
MARGIN = 9.0  # what is less probable than the best beginning by this factor, as a log, is not followed


def piece_name(letters: tuple[str, ...], phones: tuple[str, ...]) -> str:
    """('t', 'h'), ('TH',) -> 't|h}TH'."""
    return f"{BETWEEN.join(letters)}{DIVIDER}{BETWEEN.join(phones) or NOTHING}"


class G2p:
    """A grapheme-to-phoneme model.

    Args:
        model: the n-gram model over pieces.
        name: for messages.

    Raises:
        AsrtoolError: a word of the model is not a piece.
    """

    def __init__(self, model: CompactNgram, name: str) -> None:
        self.name = name
        self._arrays, self._start = model.arrays, model.start_state
        self._num_states = model.num_states
        self._pieces: dict[tuple[str, ...], list[int]] = {}
        phones_of: list[list[str]] = [[], []]  # <s> and </s>
        for number, piece in enumerate(model.vocabulary.words[2:], 2):
            letters, divider, phones = piece.rpartition(DIVIDER)
            if not divider or not letters or not phones:
                if piece in ("<unk>", "<UNK>"):
                    phones_of.append([])
                    continue
                raise AsrtoolError(f"{name}: the word '{piece}' is not letters{DIVIDER}phones; train the model with train-g2p")
            phones_of.append([] if phones == NOTHING else phones.split(BETWEEN))
            self._pieces.setdefault(tuple(letters.split(BETWEEN)), []).append(number)
        self.phones = sorted({phone for phones in phones_of for phone in phones})
        ids = {phone: number for number, phone in enumerate(self.phones)}
        self._phone_ids = np.array([ids[phone] for phones in phones_of for phone in phones], np.int32)
        self._phone_begin = np.concatenate([[0], np.cumsum([len(phones) for phones in phones_of])]).astype(np.int64)
        self._most_letters = max((len(letters) for letters in self._pieces), default=0)
        self.letters = {letter for letters in self._pieces for letter in letters}

    @classmethod
    def load(cls, path: str | Path) -> "G2p":
        """Reads what train-g2p wrote: an ARPA file (.gz too), or the binary that build-lm-binary makes of it.

        Raises:
            AsrtoolError: no such file, damaged, or no such model.
        """
        try:
            with open(path, "rb") as file:
                start = file.read(len(MAGIC))
        except OSError as error:
            raise AsrtoolError(f"{path}: {error.strerror.lower()}; train a model with train-g2p") from None
        if start == MAGIC:
            return cls(CompactNgram.load(path), str(path))
        with tempfile.TemporaryDirectory() as directory:
            build_from_arpa(path, Path(directory) / "model")
            return cls(CompactNgram.load(Path(directory) / "model"), str(path))

    def spell(self, word: str) -> list[str]:
        """The word's letters as the model knows them; empty where it lacks one.

        A letter that is not in the model is taken in the other case if that is; what is no letter, mark or digit is left out.
        """
        spelled = []
        for letter in word:
            known = next((form for form in (letter, letter.lower(), letter.upper()) if form in self.letters), None)
            if known is not None:
                spelled.append(known)
            elif unicodedata.category(letter)[0] in "LMN":
                return []
        return spelled

    def unknown_letters(self, word: str) -> str:
        """Why a word has no pronunciation, for messages: the letters that the model lacks."""
        letters = [letter for letter in dict.fromkeys(word) if not self.spell(letter)]
        return "the letters " + " ".join(letters) if letters else "pieces that make up the word"

    def pronounce(self, word: str, n_best: int = 1, beam: int = BEAM) -> list[tuple[list[str], float]]:
        """The likeliest pronunciations, at most `n_best`, best first.

        Args:
            beam: how many beginnings are followed.

        Returns:
            (phones, probability of them given the word); empty where the word has a letter that the model lacks, or none.
        """
        from asrtool.lang.g2p_kernels import search

        letters = self.spell(word)
        if not letters:
            return []
        begin, entries, lengths = [0], [], []
        for place in range(len(letters)):
            for length in range(1, min(self._most_letters, len(letters) - place) + 1):
                found = self._pieces.get(tuple(letters[place : place + length]), [])
                entries += found
                lengths += [length] * len(found)
            begin.append(len(entries))
        nodes, ends, log_prob = search(
            self._arrays, self._start, np.array(begin, np.int64), np.array(entries, np.int64), np.array(lengths, np.int64),
            self._phone_begin, self._phone_ids, max(beam, n_best), MARGIN, self._num_states,
        )  # fmt: skip
        spoken = ends > 0  # node 0: all letters silent
        ends, log_prob = ends[spoken], log_prob[spoken]
        if not len(ends):
            return []
        probability = np.exp(log_prob - log_prob[0])
        probability /= probability.sum()
        return [(self._path(nodes, int(end)), float(share)) for end, share in zip(ends[:n_best], probability)]

    def _path(self, nodes: np.ndarray, end: int) -> list[str]:
        phones = []
        while end:
            phones.append(self.phones[nodes[end, 1]])
            end = int(nodes[end, 0])
        return phones[::-1]
