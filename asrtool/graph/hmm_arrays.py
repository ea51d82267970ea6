"""The HMMs of all phones as arrays, and the states of phones in context."""

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.graph.training_graph_kernels import unit_states
from asrtool.hmm.topology import NO_PDF
from asrtool.hmm.transition_model import TransitionModel
from asrtool.tree.context_dependency import ContextDependency


class HmmArrays:
    """
    A slot is one transition of a topology entry that is no self-loop; an entry's slots are in the order of its HMM states.

    Attributes:
        entry_of_phone int32 [phones + 1]: topology entry, -1 for none.
        num_states int32 [E]: emitting states of an entry.
        slots int32 [K, 4]: HMM state, transition index, first and last + 1 slot that may follow (equal: the phone ends).
        slot_destination int32 [K]: HMM state that a slot leads to.
        entry_slots int64 [E, 3]: first slot, last + 1, last + 1 of those that leave state 0.

    Raises:
        AsrtoolError: tree and model differ in their pdfs, or a state before the last emits nothing.
    """

    def __init__(self, tree: ContextDependency, model: TransitionModel) -> None:
        if tree.num_pdfs != model.num_pdfs:
            raise AsrtoolError(
                f"{model.name}: the model has {model.num_pdfs} pdfs and the tree {tree.num_pdfs}: "
                "use the tree that the model was trained with"
            )
        self.tree, self.model = tree, model
        topology = model.topology
        num_phones = max(topology.phones) + 1
        self.max_states = max(len(entry) - 1 for entry in topology.entries)
        self.entry_of_phone = np.full(num_phones, -1, dtype=np.int32)
        self.entry_of_phone[topology.phones] = list(topology.entry_of_phone.values())
        self.num_states = np.array([len(entry) - 1 for entry in topology.entries], dtype=np.int32)
        self.state_classes = np.zeros((len(topology.entries), self.max_states, 2), dtype=np.int32)
        slots, destinations, self.entry_slots = [], [], np.zeros((len(topology.entries), 3), dtype=np.int64)
        for index, entry in enumerate(topology.entries):
            for number, state in enumerate(entry[:-1]):
                if state.forward_pdf_class == NO_PDF:
                    raise AsrtoolError(f"{topology.name}: a state before the last emits nothing, which graphs here do not know")
                self.state_classes[index, number] = state.forward_pdf_class, state.self_loop_pdf_class
            self.entry_slots[index] = _add_slots(slots, destinations, entry)
        self.slots = np.array(slots, dtype=np.int32)
        self.slot_destination = np.array(destinations, dtype=np.int32)
        keys = model.tuples[:, 0].astype(np.int64) * self.max_states + model.tuples[:, 1]
        self.state_row = np.searchsorted(keys, np.arange(num_phones * self.max_states + 1))

    def states(self, windows: np.ndarray) -> np.ndarray:
        """int32 [U, max_states] rows of the model's tuples, -1 beyond a phone's last state.

        windows int32 [U, N + 1]: phones, 0 beyond the utterance, and a column of scratch.

        Raises:
            AsrtoolError: a phone without a model, or a window that tree or model do not know.
        """
        centre, width = self.tree.central_position, self.tree.context_width
        phones = windows[:, centre]
        if len(phones) and (
            phones.min() < 1 or phones.max() >= len(self.entry_of_phone) or self.entry_of_phone[phones].min() < 0
        ):
            known = np.isin(phones, self.model.phones)
            raise AsrtoolError(f"{self.model.name}: phone {phones[~known][0]} has no model: model and lang directory do not fit")
        rows = unit_states(
            windows, centre, self.tree.flat.nodes, self.tree.flat.pool, self.entry_of_phone, self.state_classes,
            self.num_states, self.state_row, self.model.tuples, self.max_states,
        )  # fmt: skip
        if len(rows) and rows.min() < -1:
            unit = int(np.argmin(rows.min(axis=1)))
            raise AsrtoolError(
                f"{self.model.name}: no state for the phones {' '.join(map(str, windows[unit, :width]))} in context: "
                "use the tree that the model was trained with"
            )
        return rows


def _add_slots(slots: list[tuple[int, int, int, int]], destinations: list[int], entry: tuple) -> tuple[int, int, int]:
    """Appends an entry's slots; returns its row of `entry_slots`."""
    base, final = len(slots), len(entry) - 1
    flat = [
        (number, index, destination)
        for number, state in enumerate(entry[:-1])
        for index, (destination, _) in enumerate(state.transitions)
        if destination != number
    ]
    first = [base + sum(slot[0] < number for slot in flat) for number in range(len(entry) + 1)]
    for number, index, destination in flat:
        follow = (0, 0) if destination == final else (first[destination], first[destination + 1])
        slots.append((number, index, *follow))
        destinations.append(destination)
    return base, base + len(flat), first[1]
