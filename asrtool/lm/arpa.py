"""ARPA files: a back-off n-gram model as text, log10 throughout."""

import gzip
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import atomic_path
from asrtool.lm.model import NgramModel, find
from asrtool.lm.text import BOS, EOS, Vocabulary, decode

UNKNOWN_WORDS = ("<unk>", "<UNK>")


def write_arpa(path: str | Path, model: NgramModel) -> None:
    """Writes the model, gzipped if the name ends in .gz; the same model gives the same bytes."""
    words = np.array(model.vocabulary.words, dtype=object)
    texts = words
    with _open_to_write(path) as file:
        file.write("\n\\data\\\n")
        file.writelines(f"ngram {order}={number}\n" for order, number in enumerate(model.num_ngrams(), 1))
        for order, log10_prob in enumerate(model.log10_prob, 1):
            if order > 1:
                prefix, word = model.prefix_and_word(order)
                texts = texts[prefix] + " " + words[word]
            file.write(f"\n\\{order}-grams:\n")
            values = (format(value, ".7g") for value in log10_prob.tolist())
            if order == model.order:
                file.writelines(map("{}\t{}\n".format, values, texts))
            else:
                weights = [f"\t{value:.7g}" if value else "" for value in model.log10_backoff[order - 1].tolist()]
                file.writelines(map("{}\t{}{}\n".format, values, texts, weights))
        file.write("\n\\end\\\n")


@contextmanager
def _open_to_write(path: str | Path) -> Iterator[TextIO]:
    with atomic_path(path) as temporary, open(temporary, "wb") as raw:
        if str(path).endswith(".gz"):
            # level 1, as packing would take longer than estimating; no name and time inside
            with (
                gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=1, mtime=0) as packed,
                io.TextIOWrapper(packed, encoding="utf-8", newline="\n") as file,
            ):
                yield file
        else:
            with io.TextIOWrapper(raw, encoding="utf-8", newline="\n") as file:
                yield file


def read_arpa(path: str | Path, unknown_word: str | None = None) -> NgramModel:
    """Reads and checks an ARPA file, gzipped or not.

    Args:
        unknown_word: the unigram that stands for words outside; by default <unk> or <UNK>, where there is one.

    Raises:
        AsrtoolError: the file is truncated or not ARPA, counts disagree, a number does not parse, an n-gram occurs twice, holds
            a word that is no unigram, or stands without its first words; <s> or </s> is missing. Names the line.
    """
    lines = decode(path).split("\n")
    if any(line.endswith("\r") for line in lines):
        raise AsrtoolError(f"{path}: carriage returns at line ends; convert the file to Unix line ends")
    declared, sections = _outline(path, lines)
    order = len(declared)
    fields, log10_prob, backoff = _section(path, lines, sections[0], 1, order == 1)
    unigrams = fields[0]
    ids = {word: number for number, word in enumerate(unigrams)}
    if len(ids) < len(unigrams):
        first = {word: number for number, word in reversed(list(enumerate(unigrams)))}
        repeated = next(number for number, word in enumerate(unigrams) if first[word] != number)
        raise AsrtoolError(f"{_place(path, lines, sections[0], repeated)}: the unigram '{unigrams[repeated]}' occurs twice")
    for symbol in (BOS, EOS):
        if symbol not in ids:
            raise AsrtoolError(f"{path}: no unigram {symbol}; make the model of sentences with {BOS} and {EOS}")
    if unknown_word is not None and unknown_word not in ids:
        raise AsrtoolError(f"{path}: no unigram '{unknown_word}' for unknown words")
    unknown = unknown_word or next((word for word in UNKNOWN_WORDS if word in ids), None)
    vocabulary = Vocabulary((word for word in unigrams if word not in (BOS, EOS)), unknown)
    place = np.array([vocabulary.ids[word] for word in unigrams], dtype=np.int64)
    rank = np.argsort(place)
    model = NgramModel(vocabulary, [], [log10_prob[rank]], [backoff[rank]] if order > 1 else [])
    for n in range(2, order + 1):
        _add_order(model, path, lines, sections[n - 1], n, n == order)
    return model


def _add_order(model: NgramModel, path, lines: list[str], section: tuple[int, int], n: int, is_highest: bool) -> None:
    """Reads the n-grams of one order into the model."""
    columns, log10_prob, backoff = _section(path, lines, section, n, is_highest)
    ids, num_words = model.vocabulary.ids, len(model.vocabulary)
    words = [np.fromiter((ids.get(word, -1) for word in column), np.int64, len(column)) for column in columns]
    index = words[0]
    for word, keys in zip(words[1:-1], model.keys):
        index = find(keys, index, word, num_words)
    bad = np.flatnonzero((index < 0) | (words[-1] < 0))
    if len(bad):
        unknown = next((column[bad[0]] for column, word in zip(columns, words) if word[bad[0]] < 0), None)
        problem = f"the word '{unknown}' is not a unigram" if unknown else f"its first {n - 1} words are no n-gram of the model"
        ngram = " ".join(column[bad[0]] for column in columns)
        raise AsrtoolError(f"{_place(path, lines, section, bad[0])}: the {n}-gram '{ngram}': {problem}")
    keys = index * num_words + words[-1]
    rank = np.argsort(keys, kind="stable")
    repeated = np.flatnonzero(np.diff(keys[rank]) == 0)
    if len(repeated):
        ngram = " ".join(column[rank[repeated[0] + 1]] for column in columns)
        raise AsrtoolError(f"{_place(path, lines, section, rank[repeated[0] + 1])}: the {n}-gram '{ngram}' occurs twice")
    model.keys.append(keys[rank])
    model.log10_prob.append(log10_prob[rank])
    if not is_highest:
        model.log10_backoff.append(backoff[rank])


def _outline(path: str | Path, lines: list[str]) -> tuple[list[int], list[tuple[int, int]]]:
    """The counts that the head declares and, for each order, the range of lines of its n-grams (from 0, end excluded)."""
    marks = {line.strip(): number for number, line in enumerate(lines) if line.startswith("\\")}
    if "\\data\\" not in marks:
        raise AsrtoolError(f"{path}: not an ARPA file: no line '\\data\\'")
    starts = sorted(marks.values())
    ends = dict(zip(starts, [*starts[1:], len(lines)]))
    declared: list[int] = []
    for number in range(marks["\\data\\"] + 1, ends[marks["\\data\\"]]):
        if not lines[number].strip():
            continue
        match = re.fullmatch(r"ngram\s+(\d+)\s*=\s*(\d+)", lines[number].strip())
        if not match or int(match[1]) != len(declared) + 1:
            raise AsrtoolError(
                f"{path}: line {number + 1}: expected 'ngram {len(declared) + 1}=COUNT', found '{lines[number][:60]}'"
            )
        declared.append(int(match[2]))
    if not declared or declared[0] == 0:
        raise AsrtoolError(f"{path}: no unigrams are declared after '\\data\\'")
    sections = []
    for order, number_declared in enumerate(declared, 1):
        mark = f"\\{order}-grams:"
        if mark not in marks:
            raise AsrtoolError(f"{path}: no section '{mark}', though the head declares {number_declared} {order}-grams")
        start, end = marks[mark] + 1, ends[marks[mark]]
        number = sum(1 for line in lines[start:end] if line and not line.isspace())
        if number != number_declared:
            what = "unigrams" if order == 1 else f"{order}-grams"
            raise AsrtoolError(f"{path}: line {start}: {number} {what}, the head declares {number_declared}; the file is damaged")
        sections.append((start, end))
    if "\\end\\" not in marks:
        raise AsrtoolError(f"{path}: no line '\\end\\'; the file is truncated")
    return declared, sections


def _section(path, lines: list[str], section: tuple[int, int], n: int, is_highest: bool):
    """The n-grams of a section: n columns of words, log10 probabilities, back-off weights (0 where there is none)."""
    rows = [line.split() for line in lines[slice(*section)] if line and not line.isspace()]
    lengths = {n + 1} if is_highest else {n + 1, n + 2}
    if not set(map(len, rows)) <= lengths:
        row = next(number for number, row in enumerate(rows) if len(row) not in lengths)
        expected = " or ".join(map(str, sorted(lengths)))
        raise AsrtoolError(f"{_place(path, lines, section, row)}: {len(rows[row])} fields, expected {expected} for a {n}-gram")
    log10_prob = _numbers(path, lines, section, [row[0] for row in rows])
    backoff = _numbers(path, lines, section, [row[n + 1] if len(row) == n + 2 else "0" for row in rows])
    positive = np.flatnonzero(log10_prob > 1e-4)  # tools round; SRILM writes 1e-8 at times
    if len(positive):
        raise AsrtoolError(f"{_place(path, lines, section, positive[0])}: log10 probability {log10_prob[positive[0]]} above 0")
    return [[row[position] for row in rows] for position in range(1, n + 1)], log10_prob, backoff


def _numbers(path, lines: list[str], section: tuple[int, int], texts: list[str]) -> np.ndarray:
    try:
        values = np.fromiter(map(float, texts), np.float64, len(texts))
        bad = np.flatnonzero(~np.isfinite(values))
    except ValueError:
        bad = [next(number for number, text in enumerate(texts) if not _is_number(text))]
    if len(bad):
        raise AsrtoolError(f"{_place(path, lines, section, bad[0])}: '{texts[bad[0]]}' is not a number")
    return values


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _place(path, lines: list[str], section: tuple[int, int], row: int) -> str:
    """The file and line of the row-th n-gram of a section."""
    numbers = [number for number in range(*section) if lines[number] and not lines[number].isspace()]
    return f"{path}: line {numbers[row] + 1}"
