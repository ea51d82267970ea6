"""Kaldi's ContextDependency (the file `tree`): phone window and pdf class -> pdf-id."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.io.kaldi_binary import LARGEST_ID, KaldiReader, KaldiWriter
from asrtool.tree.event_map import (
    PDF_CLASS,
    ConstantEventMap,
    EventMap,
    FlatEventMap,
    SplitEventMap,
    TableEventMap,
    flatten,
    max_answer,
    possible_answers,
    read_event_map,
    walk,
    write_event_map,
)

_WIDEST = 100  # phones


class ContextDependency:
    """A phonetic decision tree with the shape of its context window.

    Args:
        context_width: N, phones in the window.
        central_position: P, the place of the phone itself in the window, from 0.
        to_pdf: tree over keys 0..N-1 (phones, 0 beyond the utterance's ends) and PDF_CLASS.
    """

    def __init__(self, context_width: int, central_position: int, to_pdf: EventMap) -> None:
        if not 0 <= central_position < context_width:
            raise AsrtoolError(f"tree: central position {central_position} lies outside a context of {context_width} phones")
        self.context_width = context_width
        self.central_position = central_position
        self.to_pdf = to_pdf

    @cached_property
    def num_pdfs(self) -> int:
        return max_answer(self.to_pdf) + 1

    @cached_property
    def flat(self) -> FlatEventMap:
        """The tree as arrays."""
        return flatten(self.to_pdf)

    def compute(self, phone_window: Sequence[int], pdf_class: int) -> int:
        """The pdf-id of one window of `context_width` phones; AsrtoolError where the tree has no answer."""
        if len(phone_window) != self.context_width:
            raise AsrtoolError(f"tree: it asks for {self.context_width} phones of context, not {len(phone_window)}")
        return int(self.compute_many(np.array([[*phone_window, pdf_class]], dtype=np.int32))[0])

    def compute_many(self, events: np.ndarray) -> np.ndarray:
        """int32 [M] pdf-ids of events int [M, N+1]: N phones, then the pdf class.

        Raises:
            AsrtoolError: the tree has no answer for a window.
        """
        pdf_ids = self.flat.answers(events)
        if len(pdf_ids) and pdf_ids.min() < 0:
            *window, pdf_class = (int(value) for value in events[int(pdf_ids.argmin())])
            raise AsrtoolError(
                f"tree: no pdf for the phones {' '.join(map(str, window))} and pdf class {pdf_class}: "
                "the tree was built for other phones or another topology"
            )
        return pdf_ids

    def pdf_pairs(self, phones: Iterable[int], phone: int, forward_class: int, self_loop_class: int) -> set[tuple[int, int]]:
        """All (forward pdf, self-loop pdf) that a state of `phone` can have, over all contexts (Kaldi's EnumeratePairs).

        `phones` are those that may stand beside it.
        """
        if forward_class == self_loop_class:
            answers = possible_answers(self.to_pdf, {self.central_position: phone, PDF_CLASS: forward_class})
            return {(pdf, pdf) for pdf in answers}
        pairs: set[tuple[int, int]] = set()
        self._add_pairs([0, *phones], {self.central_position: phone}, forward_class, self_loop_class, pairs)
        return pairs

    def _add_pairs(self, values: list[int], window: Mapping[int, int], forward: int, loop: int, pairs: set) -> None:
        forward_pdfs = possible_answers(self.to_pdf, {**window, PDF_CLASS: forward})
        loop_pdfs = possible_answers(self.to_pdf, {**window, PDF_CLASS: loop})
        if len(forward_pdfs) <= 1 or len(loop_pdfs) <= 1:
            pairs.update((forward_pdf, loop_pdf) for forward_pdf in forward_pdfs for loop_pdf in loop_pdfs)
            return
        free = (position for position in range(self.context_width) if position not in window)
        position = min(free, key=lambda place: abs(place - self.central_position))
        for value in values:
            self._add_pairs(values, {**window, position: value}, forward, loop, pairs)

    @classmethod
    def read(cls, reader: KaldiReader) -> "ContextDependency":
        """Reads a `ContextDependency ... EndContextDependency` block."""
        reader.expect_token("ContextDependency")
        width, position = reader.read_int(), reader.read_int()
        if not 0 <= position < width <= _WIDEST:
            raise reader.error(f"a context of {width} phones with the phone itself at {position}: the file is damaged")
        try:
            if reader.expect_token("ToLength", "ToPdf") == "ToLength":  # written by old versions of Kaldi, unused since
                read_event_map(reader)
                reader.expect_token("ToPdf")
            to_pdf = read_event_map(reader)
        except RecursionError:
            raise reader.error("questions nested without end: the file is damaged") from None
        reader.expect_token("EndContextDependency")
        if to_pdf is None:
            raise AsrtoolError(f"{reader.name}: the tree is empty: build it again")
        _check_nodes(to_pdf, width, reader.name)
        return cls(width, position, to_pdf)

    def write(self, writer: KaldiWriter) -> None:
        """Writes the block as Kaldi does."""
        writer.write_token("ContextDependency")
        writer.write_int(self.context_width)
        writer.write_int(self.central_position)
        writer.write_token("ToPdf")
        write_event_map(writer, self.to_pdf)
        writer.write_token("EndContextDependency")

    @classmethod
    def read_file(cls, path: str | Path) -> "ContextDependency":
        with KaldiReader.open(path) as reader:
            return cls.read(reader)

    def write_file(self, path: str | Path, binary: bool = True) -> None:
        with KaldiWriter.open(path, binary=binary) as writer:
            self.write(writer)


def _check_nodes(to_pdf: EventMap, width: int, name: str) -> None:
    """The kernels trust these numbers."""
    for node in walk(to_pdf):
        if isinstance(node, ConstantEventMap):
            values, what = [node.answer], "pdf-id"
        else:
            if not PDF_CLASS <= node.key < width:
                raise AsrtoolError(f"{name}: a question about phone {node.key} of a context of {width}: the file is damaged")
            values, what = node.yes_set if isinstance(node, SplitEventMap) else [], "phone or pdf class"
        if values and not 0 <= min(values) <= max(values) <= LARGEST_ID:
            raise AsrtoolError(f"{name}: a {what} below 0 or far too large: the file is damaged")


def stub_map(
    central_position: int,
    phone_sets: Sequence[Sequence[int]],
    num_pdf_classes: Mapping[int, int],
    share_roots: Sequence[bool],
    first_leaf: int = 0,
) -> tuple[EventMap, int]:
    """The tree before any question: one leaf for each shared set, else one for each of its pdf classes.

    The shape is that of Kaldi's GetStubMap, which halves the list of sets again and again; also returns the next free leaf.
    """
    if len(phone_sets) == 1:
        if share_roots[0]:
            return ConstantEventMap(first_leaf), first_leaf + 1
        size = max(num_pdf_classes[phone] for phone in phone_sets[0])
        leaves = tuple(ConstantEventMap(first_leaf + pdf_class) for pdf_class in range(size))
        return TableEventMap(PDF_CLASS, leaves), first_leaf + size
    highest = max(max(phones) for phones in phone_sets)
    if all(len(phones) == 1 for phones in phone_sets) and len(phone_sets) <= 2 * highest:
        table: list[EventMap | None] = [None] * (highest + 1)
        for phones, share in zip(phone_sets, share_roots):
            table[phones[0]], first_leaf = stub_map(central_position, [phones], num_pdf_classes, [share], first_leaf)
        return TableEventMap(central_position, tuple(table)), first_leaf
    half = len(phone_sets) // 2
    yes, first_leaf = stub_map(central_position, phone_sets[:half], num_pdf_classes, share_roots[:half], first_leaf)
    no, first_leaf = stub_map(central_position, phone_sets[half:], num_pdf_classes, share_roots[half:], first_leaf)
    yes_set = tuple(sorted(phone for phones in phone_sets[:half] for phone in phones))
    return SplitEventMap(central_position, yes_set, yes, no), first_leaf


def monophone_context_dependency(phone_sets: Sequence[Sequence[int]], topology) -> ContextDependency:
    """The monophone tree of `gmm-init-mono --shared-phones`: one pdf for each phone set and pdf class.

    Args:
        phone_sets: phones that share their pdfs, a line of lang/phones/sets.int each.
        topology: HmmTopology, or anything with `num_pdf_classes`: phone -> number of pdf classes.
    """
    check_phone_sets(phone_sets, topology.num_pdf_classes)
    to_pdf, _ = stub_map(0, phone_sets, topology.num_pdf_classes, [False] * len(phone_sets))
    return ContextDependency(1, 0, to_pdf)


def check_phone_sets(phone_sets: Sequence[Sequence[int]], num_pdf_classes: Mapping[int, int]) -> None:
    """AsrtoolError unless the sets are non-empty, sorted, disjoint, and made of phones that the topology has."""
    seen: set[int] = set()
    for phones in phone_sets:
        if not phones or list(phones) != sorted(set(phones)):
            raise AsrtoolError(
                f"phone sets: the set '{' '.join(map(str, phones))}' must hold phones in ascending order, each once"
            )
        for phone in phones:
            if phone in seen:
                raise AsrtoolError(f"phone sets: phone {phone} occurs in two sets")
            if phone not in num_pdf_classes:
                raise AsrtoolError(f"phone sets: phone {phone} is not in the topology: make the lang directory again")
            seen.add(phone)
    if not seen:
        raise AsrtoolError("phone sets: there are none")
