"""Second pass: a lattice's n-gram costs replaced by those of other models.

The graph costs of a lattice hold the first pass's language model, transitions and pronunciations, not told apart. So the model
of the first pass is subtracted and others are added, exactly, whichever alternatives the lattice holds: its states are expanded
by the histories that the models tell apart (composition with a deterministic acceptor, as Kaldi's lattice-lmrescore and
lattice-lmrescore-const-arpa do in two runs). All paths are kept, and each keeps its words, alignment and acoustic cost.

- Arcs without a word (<eps>, silence) cost nothing in a model and do not change the history.
- The cost of the sentence's end belongs to the final states. Where the search did not reach the graph's final states, their costs
  hold no end, and none is subtracted or added.
- The model to subtract is the one that G.fst was made of, its <s> the start, back-off followed only where an n-gram is missing.
  A graph, where back-off arcs are epsilon arcs, allows backing off from n-grams that are there as well. Where that is cheaper
  (a model whose n-gram is less probable than by back-off; not so in interpolated Kneser-Ney) the path costs what it cost there,
  and the
  subtraction takes away too much: by as much as the arc is dearer. Kaldi's programs do the same.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.io.symbols import SymbolTable
from asrtool.lattice.arrays import AnyLattice, final_costs, select, topology
from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.connect import connect
from asrtool.lattice.strings import gather_strings
from asrtool.lm.compact_model import CompactNgram

MAX_STATES = 20_000_000


class Rescorer:
    """Replaces the language model of lattices; may be called from several threads.

    The new graph cost of a word is the old one - remove_scale * (-ln p_remove) + add_scale * (-ln sum_i weight_i p_i).

    Args:
        words: the lattices' word ids. A word that a model does not have counts as its unknown word, if it has one; otherwise p
            is 0.
        remove: the first pass's model; None to leave its costs in.
        add: models and their weights of linear interpolation, which sum to 1; empty to add nothing.
        max_states: of a rescored lattice, at most.

    Raises:
        AsrtoolError: weights that are not positive or do not sum to 1, scales that are not positive, no models.
    """

    def __init__(
        self,
        words: SymbolTable,
        remove: CompactNgram | None,
        add: Sequence[tuple[CompactNgram, float]],
        remove_scale: float = 1.0,
        add_scale: float = 1.0,
        max_states: int = MAX_STATES,
    ) -> None:
        weights = [weight for _, weight in add]
        if weights and not (min(weights) > 0 and abs(sum(weights) - 1) < 1e-4):
            raise AsrtoolError(f"interpolation weights {' '.join(map(str, weights))}: they must be positive and sum to 1")
        if not (0 < remove_scale < np.inf and 0 < add_scale < np.inf):
            raise AsrtoolError(f"scales of models must be positive: {remove_scale}, {add_scale}")
        if remove is None and not add:
            raise AsrtoolError("no language model to subtract or to add")
        self.words, self.max_states = words, max_states
        self.remove_scale, self.add_scale = remove_scale, add_scale
        self.has_old, self.weights = remove is not None, weights
        models = ([remove] if remove is not None else []) + [model for model, _ in add]
        self.models = [(model.arrays, model.word_ids(words)) for model in models]

    def __call__(self, lattice: AnyLattice) -> AnyLattice:
        """The rescored lattice, state level or word level as the one given.

        Paths with a word that no model to add holds are dropped. A deterministic lattice gives a deterministic one.

        Raises:
            AsrtoolError: a word that the model to remove does not hold, too many states, or no path left; a bad lattice.
        """
        self._check_words(lattice)
        lattice_state, parent, start, end, arc_costs, end_costs = self._expand(lattice)
        change, end_change = self._change(arc_costs), self._change(end_costs)
        if not lattice.reached_final:
            end_change = np.zeros(len(lattice_state))
        result = _expanded(lattice, lattice_state, parent, start, end, change, end_change)
        if not (np.isfinite(change).all() and np.isfinite(end_change).all()):
            result = connect(select(result, np.ones(result.num_states, bool), change < np.inf))
            if lattice.num_states and not result.num_states:
                raise AsrtoolError("no path of the lattice has a probability in the new language model: its words are others")
        return result

    def _check_words(self, lattice: AnyLattice) -> None:
        used = np.unique(lattice.arc_word)
        used = used[used > 0]
        for index, (_, ids) in enumerate(self.models):
            if len(used) and used[-1] >= len(ids):
                raise AsrtoolError(
                    f"word id {used[-1]} of the lattice is not in {self.words.name}; give the words.txt of its graph"
                )
            if index == 0 and self.has_old and (ids[used] < 0).any():
                missing = int(used[ids[used] < 0][0])
                word = self.words.id_to_symbol.get(missing, missing)
                raise AsrtoolError(
                    f"the lattice has the word '{word}', which the language model to subtract does not hold: give the model of "
                    "the first pass"
                )

    def _expand(self, lattice: AnyLattice):
        """Composes with one model after the other.

        Returns:
            the lattice's state of each new one, the lattice's arc, start and end of each new arc, and, for each model, costs of
            the arcs and of the sentence's end.
        """
        from asrtool.lattice.rescore_kernels import END, PARENT, START, compose

        start, end = topology(lattice)
        parent = np.arange(len(start))
        lattice_state = np.arange(lattice.num_states)
        lattice_is_final = final_costs(lattice)[0] < np.inf
        arc_costs: list[np.ndarray] = []
        end_costs: list[np.ndarray] = []
        for arrays, ids in self.models:
            arc_begin = np.searchsorted(start, np.arange(len(lattice_state) + 1))
            words = np.require(lattice.arc_word[parent], np.int32, ["C", "W"])
            arcs, costs, states, end_cost = compose(
                arrays, arc_begin, end, words, ids, lattice_is_final[lattice_state], self.max_states
            )
            if len(states) == 0 and len(lattice_state):
                raise AsrtoolError(f"the rescored lattice has more than {self.max_states} states; prune the lattice first")
            arc_costs = [values[arcs[:, PARENT]] for values in arc_costs] + [costs]
            end_costs = [values[states] for values in end_costs] + [end_cost]
            parent, lattice_state = parent[arcs[:, PARENT]], lattice_state[states]
            start, end = np.ascontiguousarray(arcs[:, START]), np.ascontiguousarray(arcs[:, END])
        return lattice_state, parent, start, end, arc_costs, end_costs

    def _change(self, costs: list[np.ndarray]) -> np.ndarray:
        """What is added to graph costs, float64, from each model's costs."""
        change = np.zeros(len(costs[0]))
        if self.weights:
            change += self.add_scale * _interpolate(costs[1 if self.has_old else 0 :], self.weights)
        if self.has_old:
            change -= self.remove_scale * costs[0]
        return change


def rescore(
    lattice: AnyLattice,
    words: SymbolTable,
    remove: CompactNgram | None,
    add: Sequence[tuple[CompactNgram, float]],
    remove_scale: float = 1.0,
    add_scale: float = 1.0,
) -> AnyLattice:
    """One lattice rescored; see `Rescorer`, which is quicker for many."""
    return Rescorer(words, remove, add, remove_scale, add_scale)(lattice)


def _interpolate(costs: list[np.ndarray], weights: list[float]) -> np.ndarray:
    """-ln sum_i weight_i exp(-cost_i)."""
    if len(costs) == 1:
        return costs[0]
    total = np.full(len(costs[0]), -np.inf)
    for cost, weight in zip(costs, weights):
        total = np.logaddexp(total, np.log(weight) - cost)
    return -total


def _expanded(lattice: AnyLattice, lattice_state, parent, start, end, change, end_change) -> AnyLattice:
    """The lattice of new states and arcs, with graph costs changed."""
    graph_cost = (lattice.arc_graph_cost[parent].astype(np.float64) + change).astype(np.float32)
    changed = {
        "arc_start": start.astype(np.int32),
        "arc_end": end.astype(np.int32),
        "arc_word": lattice.arc_word[parent],
        "arc_graph_cost": graph_cost,
        "arc_acoustic_cost": lattice.arc_acoustic_cost[parent],
    }
    final_graph = (final_costs(lattice)[0][lattice_state] + end_change).astype(np.float32)
    if isinstance(lattice, CompactLattice):
        changed["tid_begin"], changed["transition_id"] = gather_strings(lattice.tid_begin, lattice.transition_id, parent)
        strings = gather_strings(lattice.final_tid_begin, lattice.final_transition_id, lattice_state)
        changed["final_tid_begin"], changed["final_transition_id"] = strings
        changed["final_graph_cost"] = final_graph
        changed["final_acoustic_cost"] = lattice.final_acoustic_cost[lattice_state]
    else:
        changed["arc_transition_id"] = lattice.arc_transition_id[parent]
        changed["state_frame"] = lattice.state_frame[lattice_state]
        changed["final_cost"] = final_graph
    return replace(lattice, **changed)
