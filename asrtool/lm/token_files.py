"""Text of any size as word ids in files: read block by block, by several processes where it is long."""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.io.progress import Meter, progress, size
from asrtool.io.whole_file import is_gzipped, opened
from asrtool.lm.text import BOS, BOS_ID, EOS, EOS_ID, OOV_ID, Vocabulary

BLOCK_BYTES = 4 << 20
PART_BYTES = 64 << 20  # a longer plain file is shared out


@dataclass
class TokenFile:
    """Raw int32 ids of sentences with <s> and </s>; `ids[local id]` is the id in the vocabulary, -1 outside it."""

    path: Path
    num_tokens: int
    ids: np.ndarray

    def read(self, low: int, high: int) -> np.ndarray:
        """int32 tokens of the vocabulary from place `low` to `high` or the end."""
        local = np.fromfile(self.path, np.int32, max(0, min(high, self.num_tokens) - low), offset=4 * low)
        return self.ids[local]


@dataclass
class TokenFiles:
    """All of a text."""

    vocabulary: Vocabulary
    files: list[TokenFile]
    num_sentences: int
    num_words: int
    num_oovs: int


class _GrowingIds(dict):
    """Gives every new word the next id."""

    def __missing__(self, word: str) -> int:
        self[word] = number = len(self)
        return number


def text_blocks(path: str | Path, start: int = 0, stop: int | None = None, utterance_ids: bool = False) -> Iterator[str]:
    """Whole lines of a text file, plain or gzipped, some megabytes at a time.

    Args:
        start, stop: bytes, for plain files: the lines that begin there.
        utterance_ids: the first word of each line is dropped.

    Raises:
        AsrtoolError: no such file, damaged .gz file, not UTF-8, or <s> or </s> inside a sentence.
    """
    with opened(path) as file:
        if start:
            file.seek(start - 1)
            file.readline()
        place = file.tell()
        while stop is None or place < stop:
            data = file.read(BLOCK_BYTES if stop is None else min(BLOCK_BYTES, stop - place))
            data += file.readline() if data and not data.endswith(b"\n") else b""
            if not data:
                break
            yield _checked(data, path, place, utterance_ids)
            place += len(data)


def _checked(data: bytes, path: str | Path, place: int, utterance_ids: bool) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise AsrtoolError(f"{path}: not UTF-8 at byte {place + error.start}") from None
    if utterance_ids:
        lines = (line.split(None, 1) for line in text.split("\n"))
        text = "\n".join(fields[1].rstrip() if len(fields) > 1 else "" for fields in lines)
    if "s>" in text:
        for number, line in enumerate(text.split("\n")):
            words = line.split() if "s>" in line else []
            if BOS in words or EOS in words:
                with opened(path) as file:
                    before = sum(file.read(min(BLOCK_BYTES, place - low)).count(b"\n") for low in range(0, place, BLOCK_BYTES))
                raise AsrtoolError(
                    f"{path}: line {before + number + 1}: {BOS} or {EOS} inside a sentence; remove it, it is added anyway"
                )
    return text


def sentence_words(text: str) -> list[str]:
    """The words of whole lines with <s> before and </s> after each line."""
    return f"{BOS} {text.removesuffix(chr(10)).replace(chr(10), f' {EOS} {BOS} ')} {EOS}".split()


def without_empty_sentences(tokens: np.ndarray) -> np.ndarray:
    """Drops every <s> </s> with nothing between."""
    empty = np.flatnonzero((tokens[:-1] == BOS_ID) & (tokens[1:] == EOS_ID))
    return np.delete(tokens, np.concatenate([empty, empty + 1])) if len(empty) else tokens


def _write_tokens(path: str, start: int, stop: int | None, utterance_ids: bool, output: str) -> tuple[list[str], int, int]:
    """One part of a text to a file.

    Returns:
        Its words in the order of their local ids, tokens, sentences.
    """
    ids = _GrowingIds({BOS: BOS_ID, EOS: EOS_ID})
    num_tokens = num_sentences = num_bytes = 0
    total = None if start or stop is not None or is_gzipped(path) else os.path.getsize(path)
    meter = Meter(total, f"reading {path}", unit=size)
    with open(output, "wb") as file:
        for text in text_blocks(path, start, stop, utterance_ids):
            words = sentence_words(text)
            tokens = without_empty_sentences(np.fromiter(map(ids.__getitem__, words), np.int32, len(words)))
            tokens.tofile(file)
            num_tokens += len(tokens)
            num_sentences += int((tokens == BOS_ID).sum())
            num_bytes += len(text)
            if stop is None:
                meter.show(num_bytes)
    meter.clear()
    return list(ids), num_tokens, num_sentences


def _parts(paths: list[str]) -> list[tuple[str, int, int | None]]:
    parts: list[tuple[str, int, int | None]] = []
    for path in paths:
        size = os.path.getsize(path) if os.path.isfile(path) and not is_gzipped(path) else 0
        if size <= PART_BYTES:
            parts.append((path, 0, None))
        else:
            parts += [(path, low, min(low + PART_BYTES, size)) for low in range(0, size, PART_BYTES)]
    return parts


def make_token_files(
    paths: list[str],
    folder: str | Path,
    vocabulary: Vocabulary | None = None,
    unknown_word: str | None = None,
    utterance_ids: bool = False,
    num_jobs: int = 1,
) -> TokenFiles:
    """The text of several files as ids.

    Args:
        folder: for the files, 4 bytes a word; the caller removes it.
        vocabulary: by default the words of the text in the C locale's order, and `unknown_word`.
        num_jobs: processes, used where there is more than one part of 64 MiB.

    Raises:
        AsrtoolError: a file cannot be read (see `text_blocks`) or holds no sentence.
    """
    parts = _parts([str(path) for path in paths])
    work = [(*part, utterance_ids, str(Path(folder) / f"tokens.{number}")) for number, part in enumerate(parts)]
    if num_jobs > 1 and len(work) > 1:
        with ProcessPoolExecutor(min(num_jobs, len(work)), multiprocessing.get_context("forkserver")) as pool:
            results = list(progress(pool.map(_write_tokens, *zip(*work)), len(work), "reading text, parts", end=False))
    else:
        results = [_write_tokens(*item) for item in progress(work, len(work), "reading text, parts", end=False)]
    for path in map(str, paths):
        if not any(num_sentences for part, (_, _, num_sentences) in zip(parts, results) if part[0] == path):
            raise AsrtoolError(f"{path}: no sentences" + (" after the utterance ids" if utterance_ids else ""))
    if vocabulary is None:
        words = set().union(*(words for words, _, _ in results)) - {BOS, EOS}
        vocabulary = Vocabulary(sorted(words), unknown_word)
    files, num_oovs = [], 0
    for item, (words, num_tokens, _) in zip(work, results):
        ids = np.fromiter((vocabulary.ids.get(word, OOV_ID) for word in words), np.int32, len(words))
        file = TokenFile(Path(item[-1]), num_tokens, ids)
        if (ids == OOV_ID).any():
            num_oovs += sum(int((file.read(low, low + (1 << 22)) == OOV_ID).sum()) for low in range(0, num_tokens, 1 << 22))
            ids[ids == OOV_ID] = vocabulary.unknown_id
        files.append(file)
    num_sentences = sum(number for _, _, number in results)
    num_tokens = sum(number for _, number, _ in results)
    return TokenFiles(vocabulary, files, num_sentences, num_tokens - 2 * num_sentences, num_oovs)
