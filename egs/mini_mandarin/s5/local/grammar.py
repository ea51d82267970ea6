"""The grammar of the voice-search queries: reads lists/grammar.txt and the word lists, and draws sentences at random.

A pattern is parsed once into nested tuples: ("word", text), ("rule", name), ("all", parts), ("choice", parts, weights)
and ("maybe", part). Sentences are lists of words; their probabilities are the grammar's weights.
"""

import bisect
import itertools
import random
import re
from pathlib import Path

from asrtool.errors import AsrtoolError

LISTS = Path(__file__).resolve().parent / "lists"
OPTIONAL_PROBABILITY = 0.5
# A line's weight in a word list falls slowly with its rank, as popularity does: 1 / (rank + RANK_OFFSET) ** RANK_POWER.
RANK_OFFSET, RANK_POWER = 10, 0.5
MIN_CHARACTERS, MAX_CHARACTERS = 2, 16


class Grammar:
    """Rules and word lists.

    Args:
        directory: holds grammar.txt and `<name>.txt` for each list that the grammar names.

    Raises:
        AsrtoolError: a pattern that cannot be read, or a name with neither rule nor list.
    """

    def __init__(self, directory: Path = LISTS) -> None:
        self.path = directory / "grammar.txt"
        self.rules: dict[str, tuple] = {}
        self._read_rules()
        for name in sorted(self._names() - set(self.rules)):
            self.rules[name] = _read_list(directory / f"{name}.txt", self.path)
        self.start = next(iter(self.rules))

    def sentence(self, generator: random.Random) -> list[str]:
        """Draws one sentence of MIN_CHARACTERS to MAX_CHARACTERS characters."""
        while True:
            words: list[str] = []
            self._expand(("rule", self.start), generator, words)
            if MIN_CHARACTERS <= sum(map(len, words)) <= MAX_CHARACTERS:
                return words

    def words(self) -> list[str]:
        """Every word that a sentence may hold, in C-locale order."""
        found: set[str] = set()
        seen: set[str] = set()

        def visit(node: tuple) -> None:
            if node[0] == "word":
                found.add(node[1])
            elif node[0] == "rule":
                if node[1] not in seen:
                    seen.add(node[1])
                    visit(self.rules[node[1]])
            elif node[0] == "maybe":
                visit(node[1])
            else:
                for part in node[1]:
                    visit(part)

        visit(("rule", self.start))
        return sorted(found)

    def _expand(self, node: tuple, generator: random.Random, words: list[str]) -> None:
        kind = node[0]
        if kind == "word":
            words.append(node[1])
        elif kind == "rule":
            self._expand(self.rules[node[1]], generator, words)
        elif kind == "all":
            for part in node[1]:
                self._expand(part, generator, words)
        elif kind == "choice":
            cumulative = node[2]
            chosen = bisect.bisect_right(cumulative, generator.random() * cumulative[-1], hi=len(cumulative) - 1)
            self._expand(node[1][chosen], generator, words)
        elif generator.random() < OPTIONAL_PROBABILITY:  # "maybe"
            self._expand(node[1], generator, words)

    def _read_rules(self) -> None:
        name, alternatives = "", []
        for number, line in enumerate([*_lines(self.path), "end:"], 1):
            if not line or line.startswith("#"):
                continue
            if not line.startswith(" "):
                if name:
                    self.rules[name] = _choice(alternatives)
                name, alternatives = line.strip().removesuffix(":"), []
                continue
            match = re.fullmatch(r"\s+(?:([0-9.]+) \| )?(.+)", line)
            where = f"{self.path}: line {number}"
            alternatives.append((float(match[1] or 1), _parse(match[2], where)))

    def _names(self) -> set[str]:
        def names(node: tuple) -> set[str]:
            if node[0] == "rule":
                return {node[1]}
            if node[0] == "word":
                return set()
            return set().union(*map(names, [node[1]] if node[0] == "maybe" else node[1]))

        return set().union(*map(names, self.rules.values()))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise AsrtoolError(f"{path}: no such file") from None


def _read_list(path: Path, grammar_path: Path) -> tuple:
    """A word list as a choice; an entry may be several words (a song's title)."""
    if not path.is_file():
        raise AsrtoolError(f"{grammar_path}: <{path.stem}>: neither a rule of that name nor a list {path.name}")
    entries = [("all", tuple(("word", word) for word in line.split())) for line in _lines(path) if line.strip()]
    if not entries:
        raise AsrtoolError(f"{path}: empty word list")
    return _choice([((rank + RANK_OFFSET) ** -RANK_POWER, entry) for rank, entry in enumerate(entries)])


def _choice(alternatives: list[tuple[float, tuple]]) -> tuple:
    weights, parts = zip(*alternatives)
    return ("choice", parts, tuple(itertools.accumulate(weights)))


def _parse(pattern: str, where: str) -> tuple:
    tokens = pattern.split()
    node, rest = _parse_alternatives(tokens, 0, where)
    if rest != len(tokens):
        raise AsrtoolError(f"{where}: '{tokens[rest]}' closes nothing")
    return node


def _parse_alternatives(tokens: list[str], at: int, where: str) -> tuple[tuple, int]:
    """Reads `a b | c d` up to a closing bracket or the end; returns the node and the index of what follows."""
    alternatives, parts = [], []
    while at < len(tokens) and tokens[at] not in ("]", ")"):
        token = tokens[at]
        at += 1
        if token in ("[", "("):
            node, at = _parse_alternatives(tokens, at, where)
            if at >= len(tokens) or tokens[at] != {"[": "]", "(": ")"}[token]:
                raise AsrtoolError(f"{where}: '{token}' is not closed")
            at += 1
            parts.append(("maybe", node) if token == "[" else node)
        elif token == "|":
            alternatives.append((1.0, ("all", tuple(parts))))
            parts = []
        elif token.startswith("<"):
            parts.append(("rule", token.strip("<>")))
        else:
            parts.append(("word", token))
    node = ("all", tuple(parts))
    return (_choice([*alternatives, (1.0, node)]) if alternatives else node), at
