"""Classes of words (names, places) as slots of a grammar: arcs of a class symbol become its words.

A class file has SRILM's form (classes-format): "CLASS [weight] word1 word2 ..." a line. The expanded grammar marks where a class
begins, and where an entry ends that another one continues, with a disambiguation symbol of the class, so that it stays
deterministic whatever words the classes share with each other and with the rest of the model.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph
from asrtool.lm.text import decode

Entries = dict[tuple[str, ...], float]


def read_classes(path: str | Path) -> dict[str, Entries]:
    """Class -> words of an entry -> weight (1 where the line gives none; equal entries add up).

    Raises:
        AsrtoolError: no classes, a line without words, a weight that is not above 0, or a class inside a class.
    """
    classes: dict[str, Entries] = {}
    for number, line in enumerate(decode(path).split("\n"), 1):
        name, *words = line.split() or [""]
        if not name:
            continue
        weight = _weight(words[0]) if len(words) > 1 else None
        if weight is not None:
            words = words[1:]
            if not 0.0 < weight < np.inf:
                raise AsrtoolError(f"{path}: line {number}: class '{name}': the weight {weight:g} must be above 0")
        if not words:
            raise AsrtoolError(f"{path}: line {number}: class '{name}': expected 'CLASS [weight] word ...'")
        entries = classes.setdefault(name, {})
        entries[tuple(words)] = entries.get(tuple(words), 0.0) + (1.0 if weight is None else weight)
    if not classes:
        raise AsrtoolError(f"{path}: no classes in it")
    for name, entries in classes.items():
        inner = next((word for words in entries for word in words if word in classes), None)
        if inner is not None:
            raise AsrtoolError(f"{path}: class '{name}' holds the class '{inner}': write out the words of '{inner}' instead")
    return classes


def _weight(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


@dataclass
class ClassGrammar:
    """A class as a tree of words, K inner nodes (0 the root), A arcs; node numbers are -1 where an entry ends.

    Attributes:
        marker: word id of the class's disambiguation symbol.
        source, target: int64 [A]; target -1 leaves the class.
        label: int32 [A], word ids; `marker` where an entry ends that others continue.
        cost: float64 [A], -log of the probability given the words before; an entry's costs sum to -log of its share.
    """

    marker: int
    num_nodes: int
    source: np.ndarray
    target: np.ndarray
    label: np.ndarray
    cost: np.ndarray

    @classmethod
    def make(cls, entries: Mapping[tuple[int, ...], float], marker: int) -> "ClassGrammar":
        """From word ids of the entries and their weights, which need not sum to 1."""
        mass: dict[tuple[int, ...], float] = {}
        for words, weight in entries.items():
            for length in range(len(words) + 1):
                mass[words[:length]] = mass.get(words[:length], 0.0) + weight
        inner = {(): 0}
        for words in entries:
            for length in range(1, len(words)):
                inner.setdefault(words[:length], len(inner))
        arcs = [(inner[w[:-1]], inner.get(w, -1), w[-1], mass[w] / mass[w[:-1]]) for w in mass if w]
        arcs += [(inner[w], -1, marker, weight / mass[w]) for w, weight in entries.items() if w in inner]
        source, target, label, share = zip(*arcs)
        return cls(marker, len(inner), np.array(source), np.array(target), np.array(label, np.int32), -np.log(share))


def expand_classes(graph: CsrGraph, classes: Mapping[int, ClassGrammar]) -> CsrGraph:
    """A grammar whose arcs of class symbols are replaced; `classes` by word id of the symbol.

    All arcs of a class that lead to one state share a copy of the class's words.
    """
    source, is_class = graph.arc_source.astype(np.int64), np.isin(graph.arc_ilabel, list(classes))
    kept = ~is_class
    columns = [
        (source[kept], graph.arc_ilabel[kept], graph.arc_olabel[kept], graph.arc_nextstate[kept], graph.arc_cost[kept]),
    ]
    num_states = graph.num_states
    for symbol, grammar in classes.items():
        arcs = np.flatnonzero(graph.arc_ilabel == symbol)
        targets, copy = np.unique(graph.arc_nextstate[arcs], return_inverse=True)
        first = num_states + grammar.num_nodes * np.arange(len(targets))
        marker, nothing = np.full(len(arcs), grammar.marker), np.zeros(len(arcs), np.int64)
        columns.append((source[arcs], marker, nothing, first[copy], graph.arc_cost[arcs]))
        inside = (first[:, None] + grammar.source).ravel()
        beyond = np.where(grammar.target >= 0, first[:, None] + grammar.target, targets[:, None]).ravel()
        label = np.tile(grammar.label, len(targets))
        columns.append((inside, label, np.where(label == grammar.marker, 0, label), beyond, np.tile(grammar.cost, len(targets))))
        num_states += grammar.num_nodes * len(targets)
    final_cost = np.full(num_states, np.inf, dtype=np.float32)
    final_cost[: graph.num_states] = graph.final_cost
    new_source, ilabel, olabel, nextstate, cost = (np.concatenate(column) for column in zip(*columns))
    order = np.argsort(ilabel, kind="stable")  # sorted by input label within each state, for composition
    return CsrGraph.from_arcs(
        graph.start, new_source[order], ilabel[order], olabel[order], nextstate[order], cost[order], final_cost
    )


class ClassTagger:
    """Puts class symbols in the place of their entries in a text, from the left, the longest entry first.

    Args:
        classes: as `read_classes` gives them.

    Raises:
        AsrtoolError: an entry in two classes, of which one would have to be guessed.
    """

    def __init__(self, classes: Mapping[str, Entries]) -> None:
        self.owner: dict[tuple[str, ...], str] = {}
        for name, entries in classes.items():
            for words in entries:
                if words in self.owner:
                    raise AsrtoolError(
                        f"'{' '.join(words)}' is in the classes '{self.owner[words]}' and '{name}'; tag by one of them"
                    )
                self.owner[words] = name
        self.lengths: dict[str, list[int]] = {}
        for words in sorted(self.owner, key=len, reverse=True):
            lengths = self.lengths.setdefault(words[0], [])
            if len(words) not in lengths:
                lengths.append(len(words))

    def __call__(self, words: list[str]) -> list[str]:
        """The sentence with class symbols."""
        result: list[str] = []
        place = 0
        while place < len(words):
            spans = (tuple(words[place : place + length]) for length in self.lengths.get(words[place], ()))
            found = next((span for span in spans if span in self.owner), None)
            result.append(words[place] if found is None else self.owner[found])
            place += 1 if found is None else len(found)
        return result
