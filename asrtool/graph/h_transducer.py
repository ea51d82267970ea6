"""H: from transition-ids (self-loops left out) to phones in context, as arrays (Kaldi's GetHTransducer)."""

from dataclasses import dataclass

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph
from asrtool.graph.hmm_arrays import HmmArrays


@dataclass(frozen=True)
class Meanings:
    """What the labels on the input side of C o LG stand for; 0 is epsilon.

    labels int64 [L] and windows int64 [L, N]: phones in context, 0 beyond the sentence's ends. symbols int64 [K]: labels of
    disambiguation symbols, #-1 among them.
    """

    labels: np.ndarray
    windows: np.ndarray
    symbols: np.ndarray


def h_transducer(hmms: HmmArrays, meanings: Meanings, transition_scale: float = 1.0) -> tuple[CsrGraph, list[int]]:
    """The transducer, and the input labels (after the transition-ids) that stand for disambiguation symbols.

    meanings: of the labels on the output side, as `compose_context` gives them. Phones in context with the same HMM share their
    states. Costs are those of the transitions given that the state is left, times `transition_scale`.

    Raises:
        AsrtoolError: a window that tree or model do not know.
    """
    model, width, labels, symbols = hmms.model, hmms.tree.context_width, meanings.labels, meanings.symbols
    if meanings.windows.shape[1] != width:
        raise AsrtoolError(
            f"a phone in context of another width than the tree's {width}: the graph directory is stale, remove it"
        )
    windows = np.zeros((len(labels), width + 1), dtype=np.int32)
    windows[:, :width] = meanings.windows
    rows = hmms.states(windows)
    physical, which = _different(rows)
    entries = hmms.entry_of_phone[model.tuples[physical[:, 0], 0]]
    arcs, base, num_states = _unit_arcs(hmms, entries, physical, transition_scale)
    arcs.append(_entry_arcs(hmms, labels, which, entries, base, physical, transition_scale))
    symbol_tids = model.num_transition_ids + 1 + np.arange(len(symbols))
    symbol_states = num_states + np.arange(len(symbols))
    nothing = np.zeros(len(symbols), dtype=np.int64)
    arcs.append((nothing, symbol_tids, symbols, symbol_states, nothing.astype(np.float32)))
    arcs.append((symbol_states, nothing, nothing, nothing, nothing.astype(np.float32)))
    source, ilabel, olabel, nextstate, cost = (np.concatenate(column) for column in zip(*arcs))
    final = np.full(num_states + len(symbols), np.inf)
    final[0] = 0
    return CsrGraph.from_arcs(0, source, ilabel, olabel, nextstate, cost, final), symbol_tids.tolist()


def _different(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The different rows of int32 [L, K], in lexicographic order, and which of them each row is (np.unique takes far longer)."""
    which = np.zeros(len(rows), np.int64)
    room = int(rows.max(initial=0)) + 2
    for column in rows.T:  # numbers stay below L, so that nothing overflows
        values, which = np.unique(which * room + column + 1, return_inverse=True)
    first = np.zeros(len(values), np.int64)
    first[which] = np.arange(len(rows))
    return rows[first], which


def _shares_start(hmms: HmmArrays) -> np.ndarray:
    """bool [E]: entries that may begin in the loop state itself: one way out of state 0 and none back to it."""
    single = hmms.entry_slots[:, 2] - hmms.entry_slots[:, 0] == 1
    acyclic = [not np.any(hmms.slot_destination[first:last] == 0) for first, last, _ in hmms.entry_slots]
    return single & np.array(acyclic)


def _forward_costs(hmms: HmmArrays, transition_scale: float) -> np.ndarray:
    """float32 by transition-id: -log of a transition's share among those that leave the state."""
    return hmms.model.scaled_costs(transition_scale, self_loop_scale=0.0)


def _unit_arcs(hmms: HmmArrays, entries: np.ndarray, rows: np.ndarray, transition_scale: float) -> tuple[list, np.ndarray, int]:
    """Arcs inside the HMMs (source, ilabel, olabel, next state, cost), the first state of each HMM, and the number of states.

    State 0 is the loop state.
    """
    shares, costs = _shares_start(hmms), _forward_costs(hmms, transition_scale)
    size = hmms.num_states[entries].astype(np.int64) - shares[entries]  # a shared start needs no state of its own
    base = 1 + np.concatenate([[0], np.cumsum(size)[:-1]]) if len(size) else np.zeros(0, dtype=np.int64)
    base = base - shares[entries]
    arcs = []
    for entry in range(len(hmms.num_states)):
        units = np.flatnonzero(entries == entry)
        first, last, after_start = hmms.entry_slots[entry]
        for slot in range(after_start if shares[entry] else first, last):
            state, index = hmms.slots[slot, :2]
            destination = hmms.slot_destination[slot]
            ilabel = hmms.model.first_tid[rows[units, state]] + index
            ends = destination == hmms.num_states[entry]
            nextstate = np.zeros(len(units), dtype=np.int64) if ends else base[units] + destination
            arcs.append((base[units] + state, ilabel, np.zeros(len(units), dtype=np.int64), nextstate, costs[ilabel]))
    return arcs, base, int(1 + size.sum())


def _entry_arcs(hmms, labels, which, entries, base, rows, transition_scale) -> tuple:
    """Arcs from the loop state into the HMM of each label: its first transition where the start is shared, else an epsilon."""
    shares, costs = _shares_start(hmms), _forward_costs(hmms, transition_scale)
    entry = entries[which]
    slot = hmms.entry_slots[entry, 0]
    ilabel = np.where(shares[entry], hmms.model.first_tid[rows[which, 0]] + hmms.slots[slot, 1], 0)
    ends = hmms.slot_destination[slot] == hmms.num_states[entry]
    into = np.where(ends, 0, base[which] + hmms.slot_destination[slot])
    nextstate = np.where(shares[entry], into, base[which])
    return np.zeros(len(labels), dtype=np.int64), ilabel, labels, nextstate, np.where(shares[entry], costs[ilabel], 0)
