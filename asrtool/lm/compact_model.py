"""An n-gram model of any size in little memory, looked up word by word from kernels, mapped from a file.

With float32 values nothing of a back-off model is lost but the digits beyond; with `bits` its values are rounded to a few.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from asrtool.io.symbols import SymbolTable
from asrtool.lm.compact_build import Level, build, read_only
from asrtool.lm.compact_file import new_model_file, read_model
from asrtool.lm.compact_kernels import COST_BITS, COUNT, NUM_STATES, ORDER, START_STATE, token_costs
from asrtool.lm.model import NgramModel
from asrtool.lm.text import BOS, EOS, OOV_ID, Vocabulary, encode

LN_10 = float(np.log(10.0))
NOT_SPOKEN = ("<eps>", "#0", BOS, EOS)


@dataclass
class CompactNgram:
    """A back-off model of order N over V words.

    Attributes:
        meta, data, tables: see `lm.compact_layout`; read-only.
        vocabulary: the words and their ids.
    """

    meta: np.ndarray
    data: np.ndarray
    tables: np.ndarray
    vocabulary: Vocabulary

    @classmethod
    def from_model(cls, model: NgramModel, bits: int = 0) -> Self:
        """Keeps costs and back-off weights as float32, or each as one of 2 ** bits values (2 to 16 bits; unigrams as float32)."""
        levels = []
        for n, log10_prob in enumerate(model.log10_prob, 1):
            keys = model.keys[n - 2] if n > 1 else np.empty(0, dtype=np.int64)
            weights = -LN_10 * model.log10_backoff[n - 1] if n < model.order else np.empty(0)
            levels.append(Level(keys, (-LN_10 * log10_prob).astype(np.float32), weights.astype(np.float32)))
        meta, data, tables = build(levels, bits, lambda size: np.zeros(size, dtype=np.uint64))
        return cls(read_only(meta), read_only(data), read_only(tables), model.vocabulary)

    def save(self, path: str | Path) -> None:
        """Writes one file, whole or not at all."""
        with new_model_file(path) as file:
            file.allocate(len(self.data))[:] = self.data
            file.finish(self.meta, self.tables, self.vocabulary)

    @classmethod
    def load(cls, path: str | Path, verify: bool | None = None) -> Self:
        """Maps a file into memory.

        Args:
            verify: whether to read all of it once and compare its checksum; by default where it is below 256 MiB.

        Raises:
            AsrtoolError: no such file, not a model, truncated or damaged.
        """
        meta, data, tables, vocabulary = read_model(path, verify)
        return cls(read_only(meta), read_only(data), read_only(tables), vocabulary)

    @property
    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(meta, data, tables), what the kernels take."""
        return self.meta, self.data, self.tables

    @property
    def order(self) -> int:
        return int(self.meta[0, ORDER])

    @property
    def start_state(self) -> int:
        """After <s>."""
        return int(self.meta[0, START_STATE])

    @property
    def num_states(self) -> int:
        """States are 0 to num_states - 1."""
        return int(self.meta[0, NUM_STATES])

    @property
    def bits(self) -> int:
        """Of a value from order 2 on: 0 for float32."""
        bits = int(self.meta[-1, COST_BITS]) if self.order > 1 else 32
        return 0 if bits == 32 else bits

    def num_ngrams(self) -> list[int]:
        """For each order from 1."""
        return self.meta[1:, COUNT].tolist()

    @property
    def bytes_per_ngram(self) -> float:
        """All but the words' spelling."""
        return sum(array.nbytes for array in self.arrays) / sum(self.num_ngrams())

    def word_ids(self, words: SymbolTable) -> np.ndarray:
        """int32 [largest id + 1]: this model's id for each id of a symbol table.

        A word that the model does not have gets the unknown word's id, or -1; so do ids without a symbol. <eps>, #0, <s> and
        </s>, which are never predicted as words, get -1.
        """
        ids = np.full(max(words.id_to_symbol, default=-1) + 1, OOV_ID, dtype=np.int32)
        for number, symbol in words.id_to_symbol.items():
            if symbol not in NOT_SPOKEN:
                ids[number] = self.vocabulary.ids.get(symbol, self.vocabulary.unknown_id)
        return ids

    def token_costs(self, tokens: np.ndarray) -> np.ndarray:
        """float64 [T]: -ln of each token's probability after those before it in its sentence.

        Args:
            tokens: int64 [T], sentences with <s> and </s> as `lm.text.encode` makes them; 0 at <s>, inf at -1.
        """
        costs = np.empty(len(tokens))
        token_costs(self.arrays, np.ascontiguousarray(tokens, dtype=np.int64), costs)
        return costs

    def sentence_cost(self, words: Sequence[str]) -> float:
        """-ln of the probability of the words and the sentence's end; inf with a word outside a closed vocabulary."""
        return float(self.token_costs(encode([words], self.vocabulary).tokens).sum())
