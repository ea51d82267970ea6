"""Kaldi's EventMap: a decision tree from events (key -> value) to answers (pdf-ids).

A key is a position in the phone context window (from 0) or PDF_CLASS (-1). Read and written byte for byte as
Kaldi's tree/event-map.cc does. Trees are built and rewritten as objects; `flatten` turns one into arrays that
answer millions of events a second.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from asrtool.errors import AsrtoolError

PDF_CLASS = -1
"""The key of the pdf class in an event."""

CONSTANT, TABLE, SPLIT = 0, 1, 2


@dataclass(frozen=True)
class ConstantEventMap:
    """A leaf: the same answer for every event."""

    answer: int


@dataclass(frozen=True)
class TableEventMap:
    """One child for each value of `key`, from 0; None where a value has no answer."""

    key: int
    children: tuple["EventMap | None", ...]


@dataclass(frozen=True)
class SplitEventMap:
    """A question: is the value of `key` in `yes_set` (sorted)?"""

    key: int
    yes_set: tuple[int, ...]
    yes: "EventMap"
    no: "EventMap"


EventMap = ConstantEventMap | TableEventMap | SplitEventMap


def lookup(event_map: EventMap, event: Mapping[int, int]) -> int | None:
    """The answer to one event, None where the tree has none (Kaldi's Map)."""
    node: EventMap | None = event_map
    while node is not None and not isinstance(node, ConstantEventMap):
        value = event.get(node.key)
        if value is None:
            return None
        if isinstance(node, SplitEventMap):
            node = node.yes if value in node.yes_set else node.no
        else:
            node = node.children[value] if 0 <= value < len(node.children) else None
    return None if node is None else node.answer


def possible_answers(event_map: EventMap, event: Mapping[int, int]) -> set[int]:
    """All answers that fit an event where keys may be missing (Kaldi's MultiMap)."""
    answers = set()
    stack: list[EventMap | None] = [event_map]
    while stack:
        node = stack.pop()
        if node is None:
            continue
        if isinstance(node, ConstantEventMap):
            answers.add(node.answer)
            continue
        value = event.get(node.key)
        if value is None:
            stack.extend(children(node))
        elif isinstance(node, SplitEventMap):
            stack.append(node.yes if value in node.yes_set else node.no)
        elif 0 <= value < len(node.children):
            stack.append(node.children[value])
    return answers


def children(node: EventMap) -> tuple["EventMap | None", ...]:
    """A node's children in Kaldi's order: (yes, no), or the table."""
    if isinstance(node, SplitEventMap):
        return (node.yes, node.no)
    return node.children if isinstance(node, TableEventMap) else ()


def walk(event_map: EventMap) -> Iterator[EventMap]:
    """Every node, parents first."""
    stack: list[EventMap | None] = [event_map]
    while stack:
        node = stack.pop()
        if node is not None:
            yield node
            stack.extend(reversed(children(node)))


def max_answer(event_map: EventMap) -> int:
    """The largest answer, -1 for an empty tree (Kaldi's MaxResult)."""
    return max((node.answer for node in walk(event_map) if isinstance(node, ConstantEventMap)), default=-1)


def replace_leaves(event_map: EventMap, replacement: Mapping[int, "EventMap"]) -> EventMap:
    """The tree with the leaf of each answer in `replacement` exchanged for a subtree (Kaldi's Copy)."""
    if isinstance(event_map, ConstantEventMap):
        return replacement.get(event_map.answer, event_map)
    if isinstance(event_map, TableEventMap):
        table = (None if child is None else replace_leaves(child, replacement) for child in event_map.children)
        return TableEventMap(event_map.key, tuple(table))
    return SplitEventMap(
        event_map.key, event_map.yes_set, replace_leaves(event_map.yes, replacement), replace_leaves(event_map.no, replacement)
    )


def renumber_leaves(event_map: EventMap) -> tuple[EventMap, int]:
    """Answers made consecutive from 0, in ascending order of the old ones; also their number."""
    answers = sorted({node.answer for node in walk(event_map) if isinstance(node, ConstantEventMap)})
    replacement = {answer: ConstantEventMap(index) for index, answer in enumerate(answers)}
    return replace_leaves(event_map, replacement), len(answers)


def read_event_map(reader) -> EventMap | None:
    """Reads one node with its subtree from a KaldiReader; None for NULL."""
    kind = reader.read_token()
    if kind == "NULL":
        return None
    if kind == "CE":
        return ConstantEventMap(reader.read_int())
    key = reader.read_int() if kind in ("TE", "SE") else 0
    if kind == "TE":
        size = reader.read_int()
        reader.expect_token("(")
        table = tuple(read_event_map(reader) for _ in range(size))
        reader.expect_token(")")
        return TableEventMap(key, table)
    if kind == "SE":
        yes_set = tuple(int(value) for value in reader.read_int_vector())
        reader.expect_token("{")
        yes, no = read_event_map(reader), read_event_map(reader)
        reader.expect_token("}")
        if yes is None or no is None:
            raise AsrtoolError(f"{reader.name}: a question of the tree lacks a branch; the file is damaged: make it again")
        return SplitEventMap(key, yes_set, yes, no)
    raise AsrtoolError(f"{reader.name}: expected a tree node (CE, TE, SE or NULL), found '{kind}': not a Kaldi tree, or damaged")


def write_event_map(writer, node: EventMap | None) -> None:
    """Writes one node with its subtree to a KaldiWriter."""
    if node is None:
        writer.write_token("NULL")
    elif isinstance(node, ConstantEventMap):
        writer.write_token("CE")
        writer.write_int(node.answer)
    elif isinstance(node, TableEventMap):
        writer.write_token("TE")
        writer.write_int(node.key)
        writer.write_int(len(node.children), unsigned=True)
        writer.write_token("(")
        for child in node.children:
            write_event_map(writer, child)
        writer.write_token(")")
        writer.newline()
    else:
        writer.write_token("SE")
        writer.write_int(node.key)
        writer.write_int_vector(node.yes_set)
        writer.write_token("{")
        write_event_map(writer, node.yes)
        write_event_map(writer, node.no)
        writer.write_token("}")
        writer.newline()


@dataclass(frozen=True)
class FlatEventMap:
    """A tree as arrays, for the kernels.

    nodes int32 [num_nodes, 6]: kind, key, then for a leaf (answer, -, -, -), for a table (offset in pool, size, -, -)
    of child node numbers, for a question (yes node, no node, offset in pool, size) of a 0/1 table over values.
    The root is node 0; child -1 stands for none. pool int32.
    """

    nodes: np.ndarray
    pool: np.ndarray

    def answers(self, events: np.ndarray) -> np.ndarray:
        """int32 [M] answers, -1 for none, to events int [M, N+1]: the phones of the window, then the pdf class.

        A negative phone stands for a missing key and has no answer where the tree asks for it.
        """
        from asrtool.tree.event_map_kernels import map_events

        return map_events(self.nodes, self.pool, np.ascontiguousarray(events, dtype=np.int32))


def flatten(event_map: EventMap) -> FlatEventMap:
    """The tree as arrays."""
    order = list(walk(event_map))
    number = {id(node): index for index, node in enumerate(order)}
    rows, pool = [], []
    for node in order:
        if isinstance(node, ConstantEventMap):
            rows.append((CONSTANT, 0, node.answer, 0, 0, 0))
        elif isinstance(node, TableEventMap):
            rows.append((TABLE, node.key, len(pool), len(node.children), 0, 0))
            pool.extend(-1 if child is None else number[id(child)] for child in node.children)
        else:
            size = max(node.yes_set, default=-1) + 1
            rows.append((SPLIT, node.key, number[id(node.yes)], number[id(node.no)], len(pool), size))
            table = [0] * size
            for value in node.yes_set:
                table[value] = 1
            pool.extend(table)
    return FlatEventMap(np.array(rows, dtype=np.int32).reshape(-1, 6), np.array(pool, dtype=np.int32))
