"""ARPA files: a back-off n-gram model as text, log10 throughout."""

from pathlib import Path

import numpy as np

from asrtool.io.progress import Meter
from asrtool.io.whole_file import opened_to_write
from asrtool.lm.arpa_kernels import format_ngrams
from asrtool.lm.arpa_text import ROWS, UNKNOWN_WORDS, ArpaText
from asrtool.lm.columns import blocks
from asrtool.lm.model import NgramModel
from asrtool.lm.model_words import ngram_words_of, word_bytes

__all__ = ["UNKNOWN_WORDS", "read_arpa", "write_arpa"]

LINES = 1 << 17  # formatted at a time
_COMPRESSION = 1  # else packing would take longer than estimating


def write_arpa(path: str | Path, model: NgramModel) -> None:
    """Writes the model, gzipped if the name ends in .gz; the same model gives the same bytes.

    Its arrays may be columns on disk (`lm.columns`): they are read part by part.
    """
    text, starts = word_bytes(model.vocabulary.words)
    length = np.diff(starts)
    meter, done = Meter(sum(model.num_ngrams()), f"writing {path}"), 0
    with opened_to_write(path, _COMPRESSION) as file:
        head = [f"ngram {order}={number}\n" for order, number in enumerate(model.num_ngrams(), 1)]
        file.write(f"\n\\data\\\n{''.join(head)}".encode())
        for order, log10_prob in enumerate(model.log10_prob, 1):
            file.write(f"\n\\{order}-grams:\n".encode())
            for low, high in blocks(len(log10_prob), LINES):
                words = ngram_words_of(model.keys, len(model.vocabulary), order, low, high)
                weights = model.log10_backoff[order - 1][low:high] if order < model.order else np.empty(0)
                out = np.empty(int(length[words].sum()) + words.size + 50 * len(words), np.uint8)
                size = format_ngrams(words, log10_prob[low:high], weights, text, starts, out)
                file.write(memoryview(out)[:size])
                done += len(words)
                meter.show(done)
        meter.clear()
        file.write(b"\n\\end\\\n")


def read_arpa(path: str | Path, unknown_word: str | None = None) -> NgramModel:
    """Reads and checks an ARPA file, gzipped or not; no more than the model itself has to fit into memory.

    Args:
        unknown_word: the unigram that stands for words outside; by default <unk> or <UNK>, where there is one.

    Raises:
        AsrtoolError: as `lm.arpa_text.ArpaText`, and when an n-gram occurs twice.
    """
    text = ArpaText(path, unknown_word)
    order = len(text.declared)
    model = NgramModel(text.vocabulary, [], [text.log10_prob], [text.log10_backoff] if order > 1 else [])
    for n in range(2, order + 1):
        keys, log10_prob, backoff = _read_order(text, n, model.keys)
        if not (keys[1:] > keys[:-1]).all():
            rank = np.argsort(keys, kind="stable")
            keys = keys[rank]
            repeated = np.flatnonzero(keys[1:] == keys[:-1])
            if len(repeated):
                raise text.repeated(n, keys[repeated[0]], model.keys)
            log10_prob, backoff = log10_prob[rank], backoff[rank]
        model.keys.append(keys)
        model.log10_prob.append(log10_prob)
        if n < order:
            model.log10_backoff.append(backoff)
    text.finish()
    return model


def _read_order(text: ArpaText, n: int, shorter_keys: list[np.ndarray]) -> list[np.ndarray]:
    """Keys int64, log10 probabilities and weights float64 of an order from 2, as they stand in the file."""
    wanted, number = text.declared[n - 1], 0
    columns = [np.empty(min(wanted, ROWS), dtype) for dtype in (np.int64, np.float64, np.float64)]
    for parts in text.ngrams(n, shorter_keys):
        end = number + len(parts[0])
        for column, part in zip(columns, parts):
            if end > len(column):  # the declared number may be wrong
                column.resize(max(end, min(wanted, 2 * len(column))), refcheck=False)
            column[number:end] = part
        number = end
    for column in columns:
        column.resize(number, refcheck=False)
    return columns
