"""Kaldi's HmmTopology (lang/topo, and the head of final.mdl): the HMM of each phone."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.io.kaldi_binary import LARGEST_ID, KaldiReader, KaldiWriter

NO_PDF = -1
"""The pdf class of a state that emits nothing."""


@dataclass(frozen=True)
class HmmState:
    """A state of a phone's HMM.

    forward_pdf_class and self_loop_pdf_class differ only in chain topologies; -1 in the final state.
    transitions: (destination state, probability), in the file's order.
    """

    forward_pdf_class: int = NO_PDF
    self_loop_pdf_class: int = NO_PDF
    transitions: tuple[tuple[int, float], ...] = ()


class HmmTopology:
    """Entries (lists of states) shared by phones; the last state of an entry is final and emits nothing.

    Args:
        entries: each a tuple of HmmState.
        entry_of_phone: phone (from 1) -> index of its entry.

    Raises:
        AsrtoolError: what Kaldi's HmmTopology::Check refuses.
    """

    def __init__(self, entries: list[tuple[HmmState, ...]], entry_of_phone: dict[int, int], name: str = "topo") -> None:
        self.entries = entries
        self.entry_of_phone = dict(sorted(entry_of_phone.items()))
        self.name = name
        self._check()

    @property
    def phones(self) -> list[int]:
        """All phones, ascending."""
        return list(self.entry_of_phone)

    @property
    def is_hmm(self) -> bool:
        """True where each state's forward and self-loop pdf classes are the same."""
        return all(state.forward_pdf_class == state.self_loop_pdf_class for entry in self.entries for state in entry)

    @property
    def num_pdf_classes(self) -> dict[int, int]:
        """phone -> number of pdf classes."""
        sizes = [1 + max(max(state.forward_pdf_class, state.self_loop_pdf_class) for state in entry) for entry in self.entries]
        return {phone: sizes[index] for phone, index in self.entry_of_phone.items()}

    def states(self, phone: int) -> tuple[HmmState, ...]:
        """The states of a phone; AsrtoolError for a phone without a model."""
        if phone not in self.entry_of_phone:
            raise AsrtoolError(
                f"{self.name}: phone {phone} has no HMM: the lang directory and the model were made for different phone tables"
            )
        return self.entries[self.entry_of_phone[phone]]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, HmmTopology)
            and self.phones == other.phones
            and all(self.states(phone) == other.states(phone) for phone in self.phones)
        )

    __hash__ = None

    def _check(self) -> None:
        if not self.entries or not self.entry_of_phone:
            raise AsrtoolError(f"{self.name}: no topology entries")
        unused = set(range(len(self.entries))) - set(self.entry_of_phone.values())
        if unused or not all(0 <= index < len(self.entries) for index in self.entry_of_phone.values()):
            raise AsrtoolError(f"{self.name}: an entry without phones, or a phone without an entry")
        if min(self.entry_of_phone) < 1:
            raise AsrtoolError(f"{self.name}: phones are numbered from 1, found {min(self.entry_of_phone)}")
        if max(self.entry_of_phone) > LARGEST_ID:
            raise AsrtoolError(f"{self.name}: a phone with the number {max(self.entry_of_phone)}: the file is damaged")
        for entry in self.entries:
            self._check_entry(entry)

    def _check_entry(self, entry: tuple[HmmState, ...]) -> None:
        final = len(entry) - 1
        if final < 1:
            raise AsrtoolError(f"{self.name}: an entry needs at least one emitting state and a final one")
        if entry[final].transitions or entry[final].forward_pdf_class != NO_PDF:
            raise AsrtoolError(f"{self.name}: the last state of an entry has neither a pdf class nor transitions")
        for index, state in enumerate(entry[:final]):
            destinations = [destination for destination, _ in state.transitions]
            if not destinations or not all(0 <= destination <= final for destination in destinations):
                raise AsrtoolError(f"{self.name}: state {index} leads nowhere, or to a state that does not exist")
            if len(set(destinations)) < len(destinations) or not all(0 < prob < np.inf for _, prob in state.transitions):
                raise AsrtoolError(f"{self.name}: state {index} has a duplicate transition or a probability of 0 or below")
            if state.forward_pdf_class == NO_PDF and (final in destinations or index in destinations):
                raise AsrtoolError(f"{self.name}: state {index} emits nothing and loops or ends the phone")
        reached = {destination for state in entry for destination, _ in state.transitions}
        if set(range(1, final + 1)) - reached:
            raise AsrtoolError(f"{self.name}: state {min(set(range(1, final + 1)) - reached)} cannot be reached")
        classes = {state.forward_pdf_class for state in entry} | {state.self_loop_pdf_class for state in entry}
        if min(classes) < NO_PDF or len(classes - {NO_PDF}) != max(classes) + 1:
            raise AsrtoolError(f"{self.name}: pdf classes must count from 0 without gaps")

    @classmethod
    def read_file(cls, path: str | Path) -> "HmmTopology":
        """Reads lang/topo (text or binary)."""
        with KaldiReader.open(path) as reader:
            return cls.read(reader)

    @classmethod
    def read(cls, reader: KaldiReader) -> "HmmTopology":
        """Reads a `<Topology>` block."""
        reader.expect_token("<Topology>")
        if not reader.binary:
            return cls(*_read_text(reader), name=reader.name)
        phones, entry_of_phone = reader.read_int_vector(), reader.read_int_vector()
        num_entries = reader.read_int()
        is_hmm = num_entries != -1
        entries = [_read_entry(reader, is_hmm) for _ in range(num_entries if is_hmm else reader.read_int())]
        reader.expect_token("</Topology>")
        if len(phones) and not 0 <= int(np.min(phones)) <= int(np.max(phones)) < len(entry_of_phone):
            raise AsrtoolError(f"{reader.name}: phone {int(np.max(phones))} has no topology entry: the file is damaged")
        return cls(entries, {int(phone): int(entry_of_phone[phone]) for phone in phones}, name=reader.name)

    def write(self, writer: KaldiWriter) -> None:
        """Writes the block as Kaldi does."""
        is_hmm = self.is_hmm
        writer.write_token("<Topology>")
        if writer.binary:
            entry_of_phone = np.full(max(self.phones) + 1, -1, dtype=np.int32)
            entry_of_phone[self.phones] = list(self.entry_of_phone.values())
            writer.write_int_vector(np.array(self.phones, dtype=np.int32))
            writer.write_int_vector(entry_of_phone)
            if not is_hmm:
                writer.write_int(-1)  # announces separate classes for self-loops
            writer.write_int(len(self.entries))
            for entry in self.entries:
                _write_entry(writer, entry, is_hmm)
        else:
            writer.newline()
            for index, entry in enumerate(self.entries):
                phones = [phone for phone, its_entry in self.entry_of_phone.items() if its_entry == index]
                _write_text_entry(writer, phones, entry, is_hmm)
        writer.write_token("</Topology>")
        writer.newline()


def _read_text(reader: KaldiReader) -> tuple[list[tuple[HmmState, ...]], dict[int, int]]:
    entries: list[tuple[HmmState, ...]] = []
    entry_of_phone: dict[int, int] = {}
    while reader.expect_token("<TopologyEntry>", "</Topology>") == "<TopologyEntry>":
        reader.expect_token("<ForPhones>")
        while (token := reader.read_token()) != "</ForPhones>":
            if not (token.isascii() and token.isdigit() and len(token) < 10):
                raise AsrtoolError(f"{reader.name}: expected a phone number, found '{token[:40]}'")
            if int(token) in entry_of_phone:
                raise AsrtoolError(f"{reader.name}: phone {token} has two topology entries")
            entry_of_phone[int(token)] = len(entries)
        states: list[HmmState] = []
        while reader.expect_token("<State>", "</TopologyEntry>") == "<State>":
            states.append(_read_text_state(reader, len(states)))
        entries.append(tuple(states))
    return entries, entry_of_phone


def _read_text_state(reader: KaldiReader, expected: int) -> HmmState:
    index = reader.read_int()
    if index != expected:
        raise AsrtoolError(f"{reader.name}: states must be in order from 0: expected {expected}, found {index}")
    forward = self_loop = NO_PDF
    transitions = []
    token = reader.expect_token("<PdfClass>", "<ForwardPdfClass>", "<Transition>", "</State>")
    if token in ("<PdfClass>", "<ForwardPdfClass>"):
        forward = self_loop = reader.read_int()
        if token == "<ForwardPdfClass>":
            reader.expect_token("<SelfLoopPdfClass>")
            self_loop = reader.read_int()
        token = reader.expect_token("<Transition>", "</State>")
    while token == "<Transition>":
        transitions.append((reader.read_int(), reader.read_float()))
        token = reader.expect_token("<Transition>", "</State>")
    return HmmState(forward, self_loop, tuple(transitions))


def _read_entry(reader: KaldiReader, is_hmm: bool) -> tuple[HmmState, ...]:
    states = []
    for _ in range(reader.read_int()):
        forward = reader.read_int()
        self_loop = forward if is_hmm else reader.read_int()
        transitions = tuple((reader.read_int(), reader.read_float()) for _ in range(reader.read_int()))
        states.append(HmmState(forward, self_loop, transitions))
    return tuple(states)


def _write_entry(writer: KaldiWriter, entry: tuple[HmmState, ...], is_hmm: bool) -> None:
    writer.write_int(len(entry))
    for state in entry:
        writer.write_int(state.forward_pdf_class)
        if not is_hmm:
            writer.write_int(state.self_loop_pdf_class)
        writer.write_int(len(state.transitions))
        for destination, probability in state.transitions:
            writer.write_int(destination)
            writer.write_float(probability)


def _write_text_entry(writer: KaldiWriter, phones: list[int], entry: tuple[HmmState, ...], is_hmm: bool) -> None:
    for token in ("<TopologyEntry>", "<ForPhones>"):
        writer.write_token(token)
        writer.newline()
    for phone in phones:
        writer.write_int(phone)
    writer.newline()
    writer.write_token("</ForPhones>")
    writer.newline()
    for index, state in enumerate(entry):
        writer.write_token("<State>")
        writer.write_int(index)
        if state.forward_pdf_class != NO_PDF:
            writer.write_token("<PdfClass>" if is_hmm else "<ForwardPdfClass>")
            writer.write_int(state.forward_pdf_class)
            if not is_hmm:
                writer.write_token("<SelfLoopPdfClass>")
                writer.write_int(state.self_loop_pdf_class)
        for destination, probability in state.transitions:
            writer.write_token("<Transition>")
            writer.write_int(destination)
            writer.write_float(probability)
        writer.write_token("</State>")
        writer.newline()
    writer.write_token("</TopologyEntry>")
    writer.newline()
