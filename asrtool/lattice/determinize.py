"""Determinisation of lattices on the word level: every word sequence once, with its best alignment and costs.

The result is what Kaldi's lattice-determinize-pruned makes (Povey and others, "Generating exact lattices in the WFST framework",
2012): weighted determinisation in a semiring whose weights are pairs of graph and acoustic cost, compared by the weighed sum, and
strings of transition-ids, of which a common prefix is given out as early as possible. Of equally good alignments of a word
sequence the one stays that is found first, in the order of states and arcs.

A state of the result is a set of states of the lattice that the same words may lead to, each with what its best way costs more
than the best of them, and with the transition-ids that were not given out yet; only states with arcs that carry a word count,
and the end. Since a lattice has no cycles, sets are worked through in the order of their smallest states: when a set's turn
comes, its best cost from the start is known, so that exactly what lies within the beam of the best path is made, and nothing
else. Within a set, ways that are worse than its best by more than the beam are dropped: no path within the beam takes them.
Where the sets outgrow a memory limit, it is done again with a smaller beam.
"""

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.lattice import Lattice
from asrtool.lattice.strings import begins, string_positions

_MAX_MEM, _MAX_MEM_AN_ARC = 200_000_000, 256
_DELTA = 1e-5
_NARROWER = 0.75


def determinize(
    lattice: Lattice,
    acoustic_scale: float = 0.1,
    lattice_beam: float = 10.0,
    word_insertion_penalty: float = 0.0,
    max_mem: int | None = None,
) -> CompactLattice:
    """The deterministic lattice of the word sequences within `lattice_beam` of the best; see `determinize_within`."""
    return determinize_within(lattice, acoustic_scale, lattice_beam, word_insertion_penalty, max_mem)[0]


def determinize_within(
    lattice: Lattice,
    acoustic_scale: float = 0.1,
    lattice_beam: float = 10.0,
    word_insertion_penalty: float = 0.0,
    max_mem: int | None = None,
    delta: float = _DELTA,
) -> tuple[CompactLattice, float]:
    """(deterministic lattice, the beam that it was made with, smaller than `lattice_beam` where memory ran out).

    Args:
        lattice: costs not scaled; those of the result are not scaled either.
        acoustic_scale, word_insertion_penalty: alignments and beam go by graph + acoustic_scale * acoustic cost + penalty *
            words. Word sequences beyond the beam, of which some are in the result as well, may have a worse alignment there.
        lattice_beam: above 0; inf keeps all word sequences, whose number may be exponential.
        max_mem: bytes for the sets of states; None: 200 million, or 256 an arc where that is more.
            Memory that is not needed is not touched.
        delta: sets whose costs differ by no more are one, as in Kaldi; word sequences' costs may change by as much.

    Raises:
        AsrtoolError: a beam that is not above 0, or too little memory for even a beam of a hundredth of the one asked for.
    """
    if not lattice_beam > 0 or not np.isfinite(acoustic_scale):
        raise AsrtoolError(
            f"a lattice beam of {lattice_beam} and an acoustic scale of {acoustic_scale}: expected above 0 and finite"
        )
    problem = _Problem(lattice, acoustic_scale, word_insertion_penalty)
    max_mem = max(_MAX_MEM, _MAX_MEM_AN_ARC * lattice.num_arcs) if max_mem is None else max_mem
    beam = lattice_beam
    if not problem.best_cost < np.inf:
        return problem.empty(), beam
    while beam > lattice_beam / 100 or beam == lattice_beam:
        result = problem.solve(beam, max_mem, delta)
        if result is not None:
            return result, beam
        beam = min(_NARROWER * beam, 100.0)
    raise AsrtoolError(f"a lattice of {lattice.num_arcs} arcs does not fit into {max_mem} bytes; give --max-mem more")


class _Problem:
    """A lattice as the kernels take it: with chains joined, and one state more, the end."""

    def __init__(self, lattice: Lattice, acoustic_scale: float, word_insertion_penalty: float) -> None:
        from asrtool.lattice.determinize_kernels import backward_costs
        from asrtool.lattice.join_chains_kernels import join_chains

        self.lattice = lattice
        start, end = lattice.arc_start, lattice.arc_end
        if len(start) and not (np.all(start < end) and np.all(np.diff(start) >= 0) and end.max() < lattice.num_states):
            raise AsrtoolError("bad lattice: its arcs are not in topological order")
        costs = (lattice.arc_graph_cost, lattice.arc_acoustic_cost, lattice.final_cost)
        if any(not values.min(initial=0) > -np.inf for values in costs):
            raise AsrtoolError("bad lattice: a cost is not a number, or minus infinity")
        (has_word,) = np.nonzero(lattice.arc_word)
        words, number = np.unique(lattice.arc_word[has_word], return_inverse=True)
        self.words, word = np.append(0, words), np.zeros(lattice.num_arcs, np.int32)
        word[has_word] = number + 1
        graph, acoustic, final_cost = (np.asarray(values, np.float32) for values in costs)
        scales = (float(acoustic_scale), float(word_insertion_penalty))
        arcs, tids, states = join_chains(start, end, word, lattice.arc_transition_id, graph, acoustic, final_cost, scales)
        arc_begin = np.searchsorted(arcs["start"], np.arange(len(states) + 1)).astype(np.int64)
        final_cost = np.append(final_cost[states], np.inf).astype(np.float64)
        back = backward_costs(arcs, final_cost)
        back[-1] = 0.0
        frame = np.append(lattice.state_frame[states], lattice.num_frames).astype(np.int32)
        self.arrays = (arc_begin, arcs, tids, final_cost, back, frame)
        self.best_cost = float(back[0]) if len(states) else np.inf

    def solve(self, beam: float, max_mem: int, delta: float) -> CompactLattice | None:
        """The deterministic lattice, None where it does not fit."""
        from asrtool.lattice.determinize_kernels import ARC, ELEMENT, SUBSET
        from asrtool.lattice.determinize_search_kernels import NO_ROOM, determinize_states

        size, num_words = len(self.arrays[4]), len(self.words)
        num_subsets, num_strings = max_mem // (16 * SUBSET.itemsize), max_mem // 8  # half of it for strings
        elements = np.empty(max_mem // (5 * ELEMENT.itemsize), ELEMENT)
        strings, out = np.empty(num_strings, np.int32), np.empty(num_strings // 8, np.int32)
        initials, states = np.empty(num_subsets, SUBSET), np.empty(num_subsets, SUBSET)
        arcs = np.empty(max_mem // (16 * ARC.itemsize), ARC)
        tables = np.full((2, 2 << num_subsets.bit_length()), -1, np.int32)
        pools = (elements, strings, initials, states, arcs, out, tables[0], tables[1], np.full(size, -1, np.int32))
        used = np.zeros(6, np.int64)
        num_word_arcs = int(np.count_nonzero(self.arrays[1]["word"]))
        candidates = (*(np.empty(num_word_arcs, np.int32) for _ in range(3)), np.empty(num_word_arcs))
        words = (np.full(num_words, -1, np.int32), np.full(num_words, np.inf), np.empty(num_words, np.int64))
        flags = (np.zeros(size, bool), np.zeros(size // 64 + 1, bool))
        scratch = (np.empty(size), np.empty(size, np.int32), *flags, np.empty(size, np.int32))
        settings = (float(beam), float(delta), self.best_cost)
        slots = (np.full(size, -1, np.int32), np.empty(size, np.int64))
        if min(map(len, pools)) == 0:
            return None
        if determinize_states(self.arrays, pools, used, settings, scratch, candidates, words, *slots) == NO_ROOM:
            return None
        num_made, num_arcs, num_out = used[3:]
        return self._result(elements, strings, states[:num_made], arcs[:num_arcs], out[:num_out])

    def _result(self, elements, strings, states, arcs, out) -> CompactLattice:
        number = states["number"]
        final_graph, final_acoustic = np.full((2, len(states)), np.inf, np.float32)
        last = elements[states["end"] - 1]
        final = (last["state"] == len(self.arrays[4]) - 1) & (last["cost"] <= states["cost"])
        final_graph[number[final]], final_acoustic[number[final]] = last["graph"][final], last["acoustic"][final]
        lengths = np.zeros(len(states), np.int64)
        lengths[number[final]] = self.lattice.num_frames - states["frame"][final]
        first = np.zeros(len(states), np.int64)
        first[number] = last["string"]

        return CompactLattice(
            num_frames=self.lattice.num_frames,
            arc_start=arcs["start"].copy(),
            arc_end=number[arcs["end"]],
            arc_word=self.words[arcs["word"]].astype(np.int32),
            arc_graph_cost=arcs["graph"].astype(np.float32),
            arc_acoustic_cost=arcs["acoustic"].astype(np.float32),
            tid_begin=np.append(arcs["string"], len(out)),
            transition_id=out.copy(),
            final_graph_cost=final_graph,
            final_acoustic_cost=final_acoustic,
            final_tid_begin=begins(lengths),
            final_transition_id=strings[string_positions(first, lengths)],
            reached_final=self.lattice.reached_final,
        )

    def empty(self) -> CompactLattice:
        ints, floats, zero = np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros(1, np.int64)
        return CompactLattice(
            self.lattice.num_frames,
            ints,
            ints,
            ints,
            floats,
            floats,
            zero,
            ints,
            floats,
            floats,
            zero,
            ints,
            self.lattice.reached_final,
        )
