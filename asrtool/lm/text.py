"""Text for language models: sentences of words, and the same as one flat array of word ids."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.io.whole_file import read_bytes

BOS, EOS = "<s>", "</s>"
BOS_ID, EOS_ID = 0, 1
OOV_ID = -1


class Vocabulary:
    """Words and their ids: <s> is 0, </s> is 1.

    Args:
        words: the others, without repetitions.
        unknown_word: the word that stands for all words outside; None for a closed vocabulary, where these get id -1.
    """

    def __init__(self, words: Iterable[str], unknown_word: str | None = None) -> None:
        self.words = [BOS, EOS, *words]
        if unknown_word is not None and unknown_word not in self.words:
            self.words.append(unknown_word)
        self.ids = {word: number for number, word in enumerate(self.words)}
        self.unknown_id = OOV_ID if unknown_word is None else self.ids[unknown_word]

    def __len__(self) -> int:
        return len(self.words)


@dataclass
class Corpus:
    """tokens int64 [N]: word ids (-1: not in a closed vocabulary) of all sentences, each with <s> before and </s> after it."""

    tokens: np.ndarray
    num_sentences: int
    num_words: int
    num_oovs: int


def decode(path: str | Path) -> str:
    """The content of a text file, gzipped or not."""
    try:
        return bytes(read_bytes(path)).decode("utf-8")
    except UnicodeDecodeError as error:
        raise AsrtoolError(f"{path}: not UTF-8 at byte {error.start}") from None


def read_sentences(path: str | Path, utterance_ids: bool = False) -> list[list[str]]:
    """One sentence a line, .gz too; blank lines are passed over.

    Args:
        utterance_ids: each line starts with an utterance id (a data directory's `text`), which is dropped.

    Raises:
        AsrtoolError: no such file, no sentence in it, not UTF-8, or <s> or </s> inside a sentence.
    """
    sentences = []
    for number, line in enumerate(decode(path).split("\n"), 1):
        words = line.split()
        if utterance_ids:
            words = words[1:]
        if not words:
            continue
        if "s>" in line and (BOS in words or EOS in words):
            raise AsrtoolError(f"{path}: line {number}: {BOS} or {EOS} inside a sentence; remove it, it is added anyway")
        sentences.append(words)
    if not sentences:
        raise AsrtoolError(f"{path}: no sentences" + (" after the utterance ids" if utterance_ids else ""))
    return sentences


def read_vocabulary(path: str | Path, unknown_word: str | None = None) -> Vocabulary:
    """The first field of each line of a word list or a lang directory's words.txt, without the symbols that are no words."""
    words: dict[str, None] = {}
    for line in decode(path).split("\n"):
        fields = line.split()
        if fields and fields[0] not in ("<eps>", BOS, EOS) and not (fields[0][0] == "#" and fields[0][1:].isdecimal()):
            words[fields[0]] = None
    if not words:
        raise AsrtoolError(f"{path}: no words")
    return Vocabulary(words, unknown_word)


def vocabulary_of(sentences: Iterable[Sequence[str]], unknown_word: str | None = None) -> Vocabulary:
    """The words of a text in the C locale's order."""
    return Vocabulary(sorted(set(chain.from_iterable(sentences))), unknown_word)


def encode(sentences: Sequence[Sequence[str]], vocabulary: Vocabulary) -> Corpus:
    """The sentences as ids."""
    lengths = np.fromiter(map(len, sentences), dtype=np.int64, count=len(sentences))
    num_words = int(lengths.sum())
    ids, unknown = vocabulary.ids, vocabulary.unknown_id
    try:  # much faster, where it can be done
        flat = np.fromiter(map(ids.__getitem__, chain.from_iterable(sentences)), dtype=np.int64, count=num_words)
    except KeyError:
        flat = np.fromiter((ids.get(word, OOV_ID) for word in chain.from_iterable(sentences)), dtype=np.int64, count=num_words)
    oov = flat == OOV_ID
    flat[oov] = unknown
    tokens = np.empty(num_words + 2 * len(sentences), dtype=np.int64)
    ends = np.cumsum(lengths + 2) - 1
    is_word = np.ones(len(tokens), dtype=bool)
    for positions, token in ((ends, EOS_ID), (ends - lengths - 1, BOS_ID)):
        tokens[positions] = token
        is_word[positions] = False
    tokens[is_word] = flat
    return Corpus(tokens, len(sentences), num_words, int(oov.sum()))
