"""Splitting of text without spaces, as Mandarin, into the words of a list."""

import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.io.whole_file import opened, text_to_write
from asrtool.lm.arpa import UNKNOWN_WORDS
from asrtool.lm.text import BOS, EOS, read_vocabulary

METHODS = ("longest-match", "unigram")
SEPARATOR, RUN = 2, 1
_LINE_END, _SPACE, _APOSTROPHE = 10, 32, 39
_SPECIAL = re.compile(r"<[^<>\s]+>")


def _kind_table() -> np.ndarray:
    kinds = np.zeros(0x110000, dtype=np.uint8)
    for first, last in ((0x30, 0x39), (0x41, 0x5A), (0x61, 0x7A), (0xC0, 0xD6), (0xD8, 0xF6), (0xF8, 0x24F)):
        kinds[first : last + 1] = RUN
    for first, last in ((0xFF10, 0xFF19), (0xFF21, 0xFF3A), (0xFF41, 0xFF5A)):  # full-width digits and letters
        kinds[first : last + 1] = RUN
    for code in (*range(9, 14), 0x20, 0x85, 0xA0, 0x3000, 0x2028, 0x2029, *range(0x2000, 0x200B)):
        kinds[code] = SEPARATOR
    return kinds


class Segmenter:
    """Splits by the words of a list: the longest at each place, or those of the highest product of unigram probabilities.

    Runs of Latin letters and digits are never parted, though a word of the list may join them with hanzi (T恤). Other characters
    that the list does not hold are words of their own, with half the probability of the rarest word.

    Args:
        words: word -> cost, -log of its probability; the costs do not matter for the longest match.
        method: of `METHODS`.
        keep_spaces: a space in the text always parts words; else only one between two runs of Latin letters does.
    """

    def __init__(self, words: Mapping[str, float], method: str = "longest-match", keep_spaces: bool = False) -> None:
        if method not in METHODS:
            raise AsrtoolError(f"--method {method}: expected one of {', '.join(METHODS)}")
        if not words:
            raise AsrtoolError("the word list is empty")
        self.longest_match, self.keep_spaces = method == METHODS[0], keep_spaces
        self.unknown_cost = max(words.values()) + math.log(2.0)
        self.kinds = _kind_table()
        self.trie = _make_trie(list(words), np.fromiter(words.values(), np.float64, len(words)))

    def __call__(self, text: str) -> str:
        """The text with one space between words; lines stay lines."""
        from asrtool.lang.segment_kernels import word_ends

        codes = _codes(text)
        kinds = self.kinds[codes]
        for found in _SPECIAL.finditer(text) if "<" in text else ():  # <UNK> and its like
            kinds[slice(*found.span())] = RUN
        inner = np.flatnonzero(codes[1:-1] == _APOSTROPHE) + 1
        kinds[inner[(kinds[inner - 1] == RUN) & (kinds[inner + 1] == RUN)]] = RUN
        if not self.keep_spaces:
            kept = _needed(codes, kinds)
            codes, kinds = codes[kept], kinds[kept]
        is_end = word_ends(codes, kinds, *self.trie, self.unknown_cost, self.longest_match)
        kept = (kinds != SEPARATOR) | (codes == _LINE_END)
        codes, is_end = codes[kept], is_end[kept]
        parted = is_end.copy()  # a space after it
        parted[:-1] &= codes[1:] != _LINE_END
        parted[-1:] = False
        place = np.arange(len(codes)) + np.concatenate([[0], np.cumsum(parted)[:-1]]).astype(np.int64)
        result = np.full(len(codes) + int(parted.sum()), _SPACE, dtype="<i4")
        result[place] = codes
        return result.tobytes().decode("utf-32-le")


def _codes(text: str) -> np.ndarray:
    codes = np.frombuffer(text.encode("utf-32-le", errors="replace"), dtype="<i4")
    return codes.copy()  # writable, as other arrays are: kernels have one signature


def _needed(codes: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """bool [N]: all but the spaces beside a code that may stand alone."""
    is_space = (kinds == SEPARATOR) & (codes != _LINE_END)
    places = np.flatnonzero(~is_space)
    kept = ~is_space
    gaps = np.flatnonzero(np.diff(places) > 1)
    between_runs = (kinds[places[gaps]] == RUN) & (kinds[places[gaps + 1]] == RUN)
    kept[places[gaps[between_runs]] + 1] = True  # one of the spaces
    return kept


def _make_trie(words: list[str], costs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The trie of `word_ends`, level by level."""
    codes = _codes("".join(words))
    lengths = np.fromiter(map(len, words), np.int64, len(words))
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    node = np.zeros(len(words), dtype=np.int64)
    parents, child_codes, word_cost = [], [], [np.array([np.inf])]
    num_nodes, depth = 1, 0
    while len(here := np.flatnonzero(lengths > depth)):
        keys, inverse = np.unique(node[here] << 21 | codes[starts[here] + depth], return_inverse=True)
        node[here] = num_nodes + inverse
        parents.append(keys >> 21)
        child_codes.append(keys & 0x1FFFFF)
        level_cost = np.full(len(keys), np.inf)
        ends = here[lengths[here] == depth + 1]
        np.minimum.at(level_cost, node[ends] - num_nodes, costs[ends])
        word_cost.append(level_cost)
        num_nodes, depth = num_nodes + len(keys), depth + 1
    child_code = np.concatenate(child_codes).astype(np.int32)
    num_children = np.bincount(np.concatenate(parents), minlength=num_nodes)
    child_begin = np.concatenate([[0], np.cumsum(num_children)]).astype(np.int64)
    root = np.full(int(child_code[: child_begin[1]].max()) + 1, -1, dtype=np.int32)
    root[child_code[: child_begin[1]]] = np.arange(1, child_begin[1] + 1)
    return root, child_begin, child_code, np.concatenate(word_cost)


def read_words(path: str | Path) -> dict[str, float]:
    """Words without probabilities: the first field of each line of a word list, a lexicon or words.txt; all costs are 0."""
    return dict.fromkeys(read_vocabulary(path).words[2:], 0.0)


def read_word_costs(path: str | Path) -> dict[str, float]:
    """Costs from a list of "word count" lines (more fields may follow, as in jieba's) or from the unigrams of an ARPA file.

    Counts below 1 are taken as 1.

    Raises:
        AsrtoolError: no counts, or no unigrams.
    """
    lines = open_lines(path)
    head = [next(lines, "") for _ in range(20)]
    if any(line.strip() == "\\data\\" for line in head):
        return _unigram_costs(path, [*head], lines)
    counts: dict[str, float] = {}
    for number, line in enumerate((line for part in (head, lines) for line in part), 1):
        fields = line.split()
        if fields:
            try:
                counts[fields[0]] = counts.get(fields[0], 0.0) + max(float(fields[1]), 1.0)
            except (IndexError, ValueError):
                raise AsrtoolError(
                    f"{path}: line {number}: expected 'word count', found '{line.strip()[:40]}'; "
                    "without counts use --method longest-match"
                ) from None
    total = math.log(sum(counts.values()) or 1.0)
    return {word: total - math.log(count) for word, count in counts.items()}


def _unigram_costs(path: str | Path, head: list[str], lines: Iterable[str]) -> dict[str, float]:
    costs: dict[str, float] = {}
    inside = False
    for line in (line for part in (head, lines) for line in part):
        fields = line.split()
        if line.startswith("\\"):
            if inside:
                break
            inside = line.strip() == "\\1-grams:"
        elif inside and len(fields) >= 2 and fields[1] not in (BOS, EOS, *UNKNOWN_WORDS):
            try:
                costs[fields[1]] = -float(fields[0]) * math.log(10.0)
            except ValueError:
                raise AsrtoolError(f"{path}: '{line.strip()[:40]}': expected a unigram; is it an ARPA file?") from None
    if not costs:
        raise AsrtoolError(f"{path}: no unigrams after '\\1-grams:'")
    return costs


def open_lines(path: str | Path) -> Iterator[str]:
    """The lines of a text, gzipped or not, one at a time."""
    try:
        with opened(path) as file, io.TextIOWrapper(file, encoding="utf-8") as text:
            yield from text
    except UnicodeDecodeError as error:
        raise AsrtoolError(f"{path}: not UTF-8 ({error.reason}); convert it") from None


def write_blocks(path: str | Path, blocks: Iterable[str], utterance_ids: bool = False) -> tuple[int, int]:
    """Writes blocks of whole lines, gzipped if the name ends in .gz.

    Returns:
        The number of lines, and of words without utterance ids.
    """
    num_lines = num_words = 0
    with text_to_write(path) as file:
        for block in blocks:
            file.write(block)
            num_lines += block.count("\n")
            num_words += len(block.split())
    return num_lines, num_words - num_lines if utterance_ids else num_words


def segment_lines(lines: Iterable[str], segmenter: Segmenter, utterance_ids: bool = False) -> Iterator[str]:
    """Blocks of segmented lines, about a million characters each.

    Args:
        utterance_ids: the first field of each line is an id, which stays as it is.
    """
    block: list[str] = []
    size = 0
    for line in lines:
        block.append(line if line.endswith("\n") else line + "\n")
        size += len(line)
        if size > 1 << 20:
            yield _segment_block(block, segmenter, utterance_ids)
            block, size = [], 0
    if block:
        yield _segment_block(block, segmenter, utterance_ids)


def _segment_block(block: list[str], segmenter: Segmenter, utterance_ids: bool) -> str:
    if not utterance_ids:
        return segmenter("".join(block))
    parts = [[*line.split(maxsplit=1), "", ""][:2] for line in block]
    texts = segmenter("".join(text.rstrip("\n") + "\n" for _, text in parts)).split("\n")
    return "".join(f"{name} {text}".rstrip() + "\n" for (name, _), text in zip(parts, texts))
