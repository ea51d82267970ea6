"""Reads and checks ARPA files of any size, gzipped or not, block by block."""

import re
from collections import deque
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.io.progress import Meter
from asrtool.lm.arpa_kernels import ABOVE_ZERO, CARRIAGE_RETURN, FIELDS, FINE, WEIGHT, fill_table, look_up, split_lines
from asrtool.lm.arpa_lines import Lines
from asrtool.lm.model import find
from asrtool.lm.model_words import word_bytes
from asrtool.lm.text import BOS, EOS, Vocabulary

UNKNOWN_WORDS = ("<unk>", "<UNK>")
BLOCK_BYTES = 8 << 20
ROWS = 1 << 18  # parsed at a time
HEAD_LINES = 10000  # before \data\

# n-grams of a block: spans int32 [M, n, 2] of their words in it, log10 probabilities and back-off weights float64 [M],
# and where their lines begin, int32 [M]. Valid until the next.
Rows = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class ArpaText:
    """An ARPA file, read once from its begin to its end; the constructor reads the unigrams.

    Each order from 2 is then read by `ngrams`, in turn, and `finish` ends the reading. Memory holds the words and a block of
    text; the caller holds the n-grams.

    Args:
        unknown_word: the unigram that stands for words outside; by default <unk> or <UNK>, where there is one.
        block_bytes: about how much text is held at a time (BLOCK_BYTES).

    Attributes:
        declared: the number of n-grams of each order from 1.
        vocabulary: the words.
        log10_prob, log10_backoff: float64 [V], of the unigrams, in the order of the vocabulary; weights that lack are 0.

    Raises:
        AsrtoolError: the file is truncated or not ARPA, counts disagree, a number does not parse, a unigram occurs twice, an
            n-gram holds a word that is no unigram, or stands without its first words; <s> or </s> is missing. Names the line.
    """

    def __init__(self, path: str | Path, unknown_word: str | None = None, block_bytes: int | None = None) -> None:
        self.path, self.unknown_word, self.block_bytes = path, unknown_word, block_bytes or BLOCK_BYTES
        self._lines = Lines(path, self.block_bytes)
        self.declared = self._head()
        self._read_unigrams()
        spelling, word_begin = word_bytes(self.vocabulary.words)
        table = np.full(1 << (2 * len(self.vocabulary)).bit_length(), -1, np.int32)
        fill_table(spelling, word_begin, table)
        self._table = table, spelling, word_begin

    def ngrams(self, n: int, keys: list[np.ndarray]) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """The n-grams of an order from 2, in the file's order.

        Args:
            keys: for each order from 2 to n - 1 the sorted keys (see `lm.model`).

        Yields:
            keys int64 [M], log10 probabilities and back-off weights float64 [M] (0 where there is none); the latter two are
            overwritten by the next.
        """
        meter, done = Meter(self.declared[n - 1], f"reading {n}-grams of {self.path}"), 0
        for spans, probs, weights, starts in self._rows(n):
            done += len(probs)
            meter.show(done)
            yield self._keys(keys, self._words(spans), starts), probs, weights
        meter.clear()

    def finish(self) -> None:
        """Checks the end of the file."""
        if self._lines.peek() != b"\\end\\":
            raise AsrtoolError(f"{self.path}: no line '\\end\\'; the file is truncated")

    def repeated(self, n: int, key: int, keys: list[np.ndarray]) -> AsrtoolError:
        """The error that an n-gram occurs twice; the file is read again to name the line.

        Args:
            keys: as for `ngrams`.
        """
        reversed_words = []
        for order in range(n, 1, -1):
            index, word = divmod(int(key), len(self.vocabulary))
            reversed_words.append(word)
            key = keys[order - 3][index] if order > 2 else index
        wanted = [int(key), *reversed(reversed_words)]
        again = ArpaText(self.path, self.unknown_word, self.block_bytes)
        for order in range(2, n):
            deque(again._rows(order), maxlen=0)
        num_seen = 0
        for spans, _, _, starts in again._rows(n):
            rows = np.flatnonzero((again._words(spans) == wanted).all(axis=1))
            if num_seen + len(rows) > 1:
                text = " ".join(self.vocabulary.words[word] for word in wanted)
                return again._lines.error(starts[rows[1 - num_seen]], f"the {n}-gram '{text}' occurs twice")
            num_seen += len(rows)
        raise AssertionError("an n-gram that occurs once")

    def _head(self) -> list[int]:
        """The declared counts; the cursor is at the next line that starts with a backslash."""
        lines, path = self._lines, self.path
        while (line := lines.peek(may_be_other=True)) != b"\\data\\":
            if line is None or lines.line > HEAD_LINES:
                raise AsrtoolError(f"{path}: not an ARPA file: no line '\\data\\'")
            lines.skip()
        lines.peek()  # refuses a carriage return
        lines.skip()
        declared: list[int] = []
        while (line := lines.peek()) is not None and not line.startswith(b"\\"):
            match = re.fullmatch(rb"ngram\s+(\d{1,15})\s*=\s*(\d{1,15})", line)
            if not match or int(match[1]) != len(declared) + 1:
                raise lines.error(lines.position, f"expected 'ngram {len(declared) + 1}=COUNT', found '{_shown(line)}'")
            declared.append(int(match[2]))
            lines.skip()
        if not declared or declared[0] == 0:
            raise AsrtoolError(f"{path}: no unigrams are declared after '\\data\\'")
        if max(declared[:-1], default=0) * declared[0] >= 1 << 63:
            raise AsrtoolError(f"{path}: {max(declared[:-1])} n-grams over {declared[0]} words are too many")
        return declared

    def _rows(self, n: int) -> Iterator[Rows]:
        """The n-grams of the section at the cursor, which is moved on after each yield."""
        lines, declared, is_highest = self._lines, self.declared[n - 1], n == len(self.declared)
        mark, first_line = lines.peek(), lines.line
        if mark is None:
            raise AsrtoolError(f"{self.path}: no section '\\{n}-grams:'; the file is truncated")
        if mark != f"\\{n}-grams:".encode():
            raise lines.error(lines.position, f"expected '\\{n}-grams:', found '{_shown(mark)}'")
        lines.skip()
        spans, starts = np.empty((ROWS, n, 2), np.int32), np.empty(ROWS, np.int32)
        probs, weights = np.empty((2, ROWS))
        number = 0
        while lines.data and lines.data[lines.position] != ord("\\"):
            rows, position, wrong = split_lines(
                lines.array, lines.position, n, is_highest, spans, probs, weights, starts
            )  # fmt: skip
            yield spans[:rows], probs[:rows], weights[:rows], starts[:rows]
            if wrong != FINE:
                raise self._refusal(position, wrong, n)
            number += rows
            lines.move_to(position)
        if number != declared:
            what = "unigrams" if n == 1 else f"{n}-grams"
            message = f"{number} {what}, the head declares {declared}; the file is damaged"
            raise AsrtoolError(f"{self.path}: line {first_line}: {message}")

    def _refusal(self, byte: int, wrong: int, n: int) -> AsrtoolError:
        fields = self._lines.fields(byte)
        if wrong == CARRIAGE_RETURN:
            return self._lines.carriage_return(byte)
        if wrong == FIELDS:
            expected = f"{n + 1}" if n == len(self.declared) else f"{n + 1} or {n + 2}"
            return self._lines.error(byte, f"{len(fields)} fields, expected {expected} for a {n}-gram")
        if wrong == ABOVE_ZERO:
            return self._lines.error(byte, f"log10 probability {_shown(fields[0])} above 0")
        return self._lines.error(byte, f"'{_shown(fields[-1 if wrong == WEIGHT else 0])}' is not a number")

    def _read_unigrams(self) -> None:
        path, ids, columns = self.path, {}, []
        for spans, probs, weights, starts in self._rows(1):
            names, known = self._names(spans, starts), len(ids)
            ids.update(zip(names, count(known)))
            if len(ids) < known + len(names):
                seen = set(islice(ids, known))
                row = next(row for row, name in enumerate(names) if name in seen or seen.add(name))
                raise self._lines.error(starts[row], f"the unigram '{names[row]}' occurs twice")
            columns.append(np.stack([probs, weights]))
        for symbol in (BOS, EOS):
            if symbol not in ids:
                raise AsrtoolError(f"{path}: no unigram {symbol}; make the model of sentences with {BOS} and {EOS}")
        if self.unknown_word is not None and self.unknown_word not in ids:
            raise AsrtoolError(f"{path}: no unigram '{self.unknown_word}' for unknown words")
        unknown = self.unknown_word or next((word for word in UNKNOWN_WORDS if word in ids), None)
        self.vocabulary = Vocabulary((word for word in ids if word not in (BOS, EOS)), unknown)
        rank = np.fromiter((ids[word] for word in self.vocabulary.words), np.int64, len(ids))
        self.log10_prob, self.log10_backoff = np.concatenate(columns, axis=1)[:, rank]

    def _names(self, spans: np.ndarray, starts: np.ndarray) -> list[str]:
        """Those of unigrams."""
        data = self._lines.data
        names = [data[begin:end] for begin, end in spans[:, 0].tolist()]
        try:
            return b"\n".join(names).decode().split("\n") if names else []
        except UnicodeDecodeError as error:
            row = error.object.count(b"\n", 0, error.start)
            raise self._lines.error(starts[row], "not UTF-8") from None

    def _words(self, spans: np.ndarray) -> np.ndarray:
        """int32 [M, n]: the words' ids, -1 for what is no unigram."""
        words = np.empty(spans.shape[:2], np.int32)
        look_up(self._lines.array, spans, *self._table, words)
        return words

    def _keys(self, keys: list[np.ndarray], words: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """int64 [M]: the keys of n-grams of words [M, n]."""
        num_words, n = len(self.vocabulary), words.shape[1]
        if len(words) == 0:
            return np.empty(0, np.int64)
        changes = np.concatenate([[True], (words[1:, :-1] != words[:-1, :-1]).any(axis=1)])
        different = words[changes].astype(np.int64)
        index = different[:, 0]
        for place in range(1, n - 1):
            index = find(keys[place - 1], index, different[:, place], num_words)
        index = index[np.cumsum(changes) - 1]
        bad = np.flatnonzero((index < 0) | (words[:, -1] < 0))
        if len(bad):
            row = bad[0]
            texts = [text.decode(errors="replace") for text in self._lines.fields(starts[row])[1 : n + 1]]
            unknown = np.flatnonzero(words[row] < 0)
            problem = f"its first {n - 1} words are no n-gram of the model"
            if len(unknown):
                problem = f"the word '{texts[unknown[0]]}' is not a unigram"
            raise self._lines.error(starts[row], f"the {n}-gram '{' '.join(texts)}': {problem}")
        return index * num_words + words[:, -1]


def _shown(text: bytes) -> str:
    return text[:60].decode(errors="replace")
