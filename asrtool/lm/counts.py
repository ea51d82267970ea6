"""Counts of all n-grams of a text up to an order, as sorted arrays of keys (see `lm.model`), in memory or on disk.

The windows of a text are sorted once, in chunks that fit into memory; merged, they give the n-grams of all orders in one pass
(see `lm.count_kernels`).
"""

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.io.progress import Meter, progress
from asrtool.lm import columns
from asrtool.lm.columns import Column, Scratch, blocks
from asrtool.lm.count_kernels import cut_rows, find_suffixes, pack_windows, sort_rows, unite_rows
from asrtool.lm.text import Corpus
from asrtool.lm.token_files import TokenFiles


@dataclass
class NgramCounts:
    """Lists over the orders n = 1..N; columns over the n-grams of the order, in the order of their keys.

    keys: int64 (the unigrams' are the word ids: all of the vocabulary, also unseen words).
    counts: int64, occurrences in the text. <s> counts as a history but never as a predicted word: its own count is 0.
    suffix: int64, index of the last n - 1 words among the n-grams of order n - 1 (empty for n = 1).
    predecessors: int64, number of different words before the n-gram (empty for n = N).
    num_starting: the first so many n-grams begin with <s>, the others do not.
    """

    num_words: int
    keys: list[Column]
    counts: list[Column]
    suffix: list[Column]
    predecessors: list[Column]
    num_starting: list[int]

    @property
    def order(self) -> int:
        return len(self.keys)


class _Layout:
    """How windows of `order` words of a vocabulary of `num_words` lie in 64-bit integers."""

    def __init__(self, num_words: int, order: int) -> None:
        self.num_words, self.order = num_words, order
        self.bits = max(1, (num_words - 1).bit_length())
        self.num_integers = -(-order // (64 // self.bits))

    def sorted_windows(self, tokens: np.ndarray, num_starts: int) -> np.ndarray:
        """uint64 [different windows, num_integers + 1], the last column counts."""
        rows = np.empty((num_starts, self.num_integers), np.uint64)
        num_rows = pack_windows(tokens, num_starts, self.order, self.bits, rows)
        spare = np.empty_like(rows)
        if sort_rows(rows, spare, num_rows, self.num_integers):
            rows = spare
        del spare
        result = np.empty((num_rows, self.num_integers + 1), np.uint64)
        return result[: unite_rows(rows, num_rows, self.num_integers, result)]


class _Cutter:
    """Takes sorted windows, gives the n-grams of all orders."""

    def __init__(self, layout: _Layout, scratch: Scratch) -> None:
        order = layout.order
        self.layout = layout
        self.keys = [scratch.column(np.int64) for _ in range(2, order + 1)]
        self.counts = [scratch.column(np.int64) for _ in range(2, order + 1)]
        self.unigrams = np.zeros(layout.num_words, np.int64)
        self._previous = np.full(order, -1, np.int64)
        self._num_before = np.zeros(order, np.int64)
        self._filled = np.zeros(order, np.int64)
        self._open = np.zeros((2, order), np.int64)

    def add(self, rows: np.ndarray) -> None:
        """uint64 [M, num_integers + 1], greater than all before."""
        layout = self.layout
        for low, high in blocks(len(rows)):
            keys, counts = np.empty((2, layout.order, columns.BLOCK + 1), np.int64)
            keys[:, 0], counts[:, 0] = self._open
            cut_rows(
                rows[low:high], high - low, layout.order, layout.bits, layout.num_words,
                self._previous, self._num_before, self._filled, keys, counts, self.unigrams,
            )  # fmt: skip
            for j in range(1, layout.order):
                done = self._filled[j] - 1
                if done >= 0:
                    self.keys[j - 1].append(keys[j, :done])
                    self.counts[j - 1].append(counts[j, :done])
                    self._open[:, j] = keys[j, done], counts[j, done]
                    self._num_before[j] += done
                    self._filled[j] = 1

    def finish(self) -> tuple[list[Column], list[Column]]:
        """Keys and counts of the orders from 2."""
        for j in range(1, self.layout.order):
            self.keys[j - 1].append(self._open[0, j : j + self._filled[j]])
            self.counts[j - 1].append(self._open[1, j : j + self._filled[j]])
        return [column.finish() for column in self.keys], [column.finish() for column in self.counts]


def count_ngrams(corpus: Corpus, num_words: int, order: int) -> NgramCounts:
    """Counts, in memory, the n-grams that lie within a sentence and hold no word outside the vocabulary.

    Args:
        corpus: ids below `num_words`.
    """
    layout, scratch = _Layout(num_words, order), Scratch()
    cutter = _Cutter(layout, scratch)
    cutter.add(layout.sorted_windows(corpus.tokens.astype(np.int32), len(corpus.tokens)))
    return _with_suffixes(cutter, scratch)


def count_token_files(text: TokenFiles, order: int, scratch: Scratch, memory_gib: float = 2.0, num_jobs: int = 1) -> NgramCounts:
    """The same counts of a text of any size, in columns of `scratch`.

    Args:
        memory_gib: for sorting. Besides, 12 to 20 bytes are needed for each n-gram of the greatest order below N.
        num_jobs: threads that sort.
    """
    layout = _Layout(len(text.vocabulary), order)
    row_bytes = 8 * layout.num_integers
    chunk = int(memory_gib * 2**30 / num_jobs / (4 * row_bytes + 24))
    if chunk < columns.BLOCK // 16:
        raise AsrtoolError(f"--memory-gib {memory_gib}: too little for {num_jobs} jobs; at least 0.02 a job is needed")
    work = [(file, low, min(low + chunk, file.num_tokens)) for file in text.files for low in range(0, file.num_tokens, chunk)]
    with tempfile.TemporaryDirectory(prefix="sorted.", dir=scratch.folder) as folder:

        def sort(number: int) -> tuple[Path, int]:
            file, low, high = work[number]
            tokens = file.read(low, high + order - 1)
            rows = layout.sorted_windows(tokens, high - low)
            path = Path(folder) / str(number)
            rows.tofile(path)
            return path, len(rows)

        with ThreadPoolExecutor(num_jobs) as pool:
            runs = list(progress(pool.map(sort, range(len(work))), len(work), "sorting n-grams, parts", end=False))
        cutter = _Cutter(layout, scratch)
        for rows in _merged(runs, layout.num_integers, memory_gib):
            cutter.add(rows)
    return _with_suffixes(cutter, scratch)


def _merged(runs: list[tuple[Path, int]], num_keys: int, memory_gib: float) -> Iterator[np.ndarray]:
    """Sorted rows of all files, each key once, in blocks."""
    width = num_keys + 1
    block = max(64, min(4 * columns.BLOCK, int(memory_gib * 2**30 / (4 * 8 * width))) // max(len(runs), 1))
    place = [0] * len(runs)
    held = [np.empty((0, width), np.uint64) for _ in runs]
    meter = Meter(sum(length for _, length in runs), "counting n-grams")
    while True:
        for number, (path, length) in enumerate(runs):
            if len(held[number]) < block and place[number] < length:
                count = min(block, length - place[number])
                fresh = np.fromfile(path, np.uint64, count * width, offset=8 * width * place[number]).reshape(-1, width)
                held[number] = np.concatenate([held[number], fresh])
                place[number] += count
        meter.show(sum(place))
        lasts = [tuple(held[n][-1, :num_keys].tolist()) for n, (_, length) in enumerate(runs) if place[n] < length]
        parts = []
        for number, rows in enumerate(held):
            cut = _num_up_to(rows, min(lasts), num_keys) if lasts else len(rows)
            parts.append(rows[:cut])
            held[number] = rows[cut:]
        rows = np.concatenate(parts) if parts else np.empty((0, width), np.uint64)
        if len(runs) > 1:
            spare = np.empty_like(rows)
            if sort_rows(rows, spare, len(rows), num_keys):
                rows = spare
            rows = rows[: unite_rows(rows, len(rows), num_keys, rows)]
        yield rows
        if not lasts:
            meter.clear()
            return


def _num_up_to(rows: np.ndarray, bound: tuple[int, ...], num_keys: int) -> int:
    """How many of the sorted rows have a key of at most `bound`."""
    low, high = 0, len(rows)
    while low < high:
        middle = (low + high) // 2
        if tuple(rows[middle, :num_keys].tolist()) <= bound:
            low = middle + 1
        else:
            high = middle
    return low


def _with_suffixes(cutter: _Cutter, scratch: Scratch) -> NgramCounts:
    num_words, order = cutter.layout.num_words, cutter.layout.order
    keys, counts = cutter.finish()
    words = np.arange(num_words, dtype=np.int64)
    empty = np.empty(0, dtype=np.int64)
    result = NgramCounts(num_words, [words, *keys], [cutter.unigrams, *counts], [empty], [], [1])
    for n in range(2, order + 1):
        num_shorter = len(result.keys[n - 2])
        predecessors = np.zeros(num_shorter, np.int32 if num_shorter < 1 << 32 else np.int64)
        suffix = scratch.column(np.int64)
        for part in _suffix_blocks(result, n, predecessors):
            suffix.append(part)
        result.suffix.append(suffix.finish())
        column = scratch.column(np.int64)
        for low, high in blocks(num_shorter):
            column.append(predecessors[low:high])
        result.predecessors.append(column.finish())
        result.num_starting.append(_num_below(result.keys[n - 1], result.num_starting[-1] * num_words))
    result.predecessors.append(empty)
    return result


def _suffix_blocks(result: NgramCounts, n: int, predecessors: np.ndarray) -> Iterator[np.ndarray]:
    """The suffix column of order n, part by part; counts the predecessors."""
    num_words, keys = result.num_words, result.keys[n - 1]
    if n == 2:
        for low, high in blocks(len(keys)):
            word = keys[low:high] % num_words
            predecessors += np.bincount(word, minlength=num_words).astype(predecessors.dtype)
            yield word
        return
    shorter = result.keys[n - 2]
    child_word = np.empty(len(shorter), np.int32)
    child_start = np.zeros(len(result.keys[n - 3]) + 1, np.int64)
    for low, high in blocks(len(shorter)):
        prefix, child_word[low:high] = np.divmod(shorter[low:high], num_words)
        child_start[prefix[0] + 1 : prefix[-1] + 2] += np.bincount(prefix - prefix[0])
    np.cumsum(child_start, out=child_start)
    for low, high in blocks(len(keys)):
        part = keys[low:high]
        first, last = int(part[0]) // num_words, int(part[-1]) // num_words
        suffix = np.empty(high - low, np.int64)
        find_suffixes(
            part, num_words, result.suffix[n - 2][first : last + 1], first, child_start, child_word, suffix, predecessors
        )
        yield suffix


def _num_below(keys: Column, bound: int) -> int:
    low, high = 0, len(keys)
    while low < high:
        middle = (low + high) // 2
        if int(keys[middle : middle + 1][0]) < bound:
            low = middle + 1
        else:
            high = middle
    return low
