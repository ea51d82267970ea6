"""A compact n-gram model of a G.fst, which arpa2fst (or format-lm) made of a back-off model.

A state of such an acceptor is a history; its word arcs are n-grams, its #0 arc backs off, its final cost is that of </s>, which
G.fst has no arcs for. A history of k words is entered first, counting words from the empty history (or from the start, <s>), by
the n-gram that it is: so the n-grams are found order by order.
"""

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph
from asrtool.io.symbols import SymbolTable
from asrtool.lm.compact_build import Level, build, read_only
from asrtool.lm.compact_kernels import EOS
from asrtool.lm.compact_model import LN_10, CompactNgram
from asrtool.lm.text import BOS_ID, Vocabulary

NEVER = np.float32(99 * LN_10)  # ARPA's way to say so
BACKOFF = "#0"


def compact_of_grammar(graph: CsrGraph, words: SymbolTable, name: str = "G.fst") -> CompactNgram:
    """The model of a grammar over the ids of words.txt; probabilities as in the grammar's costs, that is float32.

    Raises:
        AsrtoolError: not an acceptor of this kind.
    """
    levels, spoken = _Grammar(graph, words, name).levels()
    vocabulary = Vocabulary(words.symbol(word) for word in spoken)
    meta, data, tables = build(levels, 0, lambda size: np.zeros(size, dtype=np.uint64))
    return CompactNgram(read_only(meta), read_only(data), read_only(tables), vocabulary)


class _Grammar:
    """The arcs of a grammar, sorted by state and word."""

    def __init__(self, graph: CsrGraph, words: SymbolTable, name: str) -> None:
        self.name, self.final_cost, self.start = name, graph.final_cost, graph.start
        if graph.start < 0:
            raise self.error("it is empty")
        source = graph.arc_source.astype(np.int64)
        backs_off = graph.arc_ilabel == words.id(BACKOFF)
        if np.any(graph.arc_ilabel == 0):
            raise self.error("an arc has no input label")
        if len(np.unique(source[backs_off])) < backs_off.sum():
            raise self.error("a state has two back-off arcs")
        self.backoff_state = np.full(graph.num_states, -1, np.int64)
        self.backoff_cost = np.zeros(graph.num_states, np.float32)
        self.backoff_state[source[backs_off]] = graph.arc_nextstate[backs_off]
        self.backoff_cost[source[backs_off]] = graph.arc_cost[backs_off]
        rank = np.flatnonzero(~backs_off)
        rank = rank[np.lexsort((graph.arc_ilabel[rank], source[rank]))]
        self.source, self.word = source[rank], graph.arc_ilabel[rank]
        self.end, self.cost = graph.arc_nextstate[rank].astype(np.int64), graph.arc_cost[rank]
        self._pass_over_aliases()

    def error(self, message: str) -> AsrtoolError:
        return AsrtoolError(f"{self.name}: not the grammar of an n-gram model: {message}; give the ARPA file instead")

    def _pass_over_aliases(self) -> None:
        """Where the end of an n-gram is none itself, arpa2fst makes a state that does nothing but back off, at no cost."""
        has_words = np.bincount(self.source, minlength=len(self.final_cost)) > 0
        self.is_alias = ~has_words & (self.final_cost == np.inf) & (self.backoff_state >= 0) & (self.backoff_cost == 0)
        self.is_alias[self.start] = False
        target = np.where(self.is_alias, self.backoff_state, np.arange(len(self.final_cost)))
        for _ in range(len(target).bit_length()):
            target = target[target]
        self.end = target[self.end]

    def _root(self) -> int:
        state, steps = self.start, 0
        while self.backoff_state[state] >= 0:
            state, steps = int(self.backoff_state[state]), steps + 1
            if steps > len(self.final_cost):
                raise self.error("back-off arcs form a cycle")
        return state

    def levels(self) -> tuple[list[Level], list[int]]:
        """The n-grams of each order, and the ids of the words but <s> and </s>."""
        root = self.root = self._root()
        own = np.flatnonzero(self.source == root)
        spoken = self.word[own].tolist()
        if len(set(spoken)) < len(spoken) or not spoken:
            raise self.error("the empty history has no words, or some twice")
        self.num_words = len(spoken) + 2
        self.model_word = np.full(int(self.word.max()) + 1, -1, np.int64)
        self.model_word[spoken] = np.arange(2, self.num_words)
        end_cost = self.final_cost[root] if self.final_cost[root] < np.inf else NEVER
        costs = np.concatenate([[NEVER, end_cost], self.cost[own]]).astype(np.float32)
        self.node_of = np.full(len(self.final_cost), -1, np.int64)  # of states with a history as long as those looked at
        self.is_known = np.zeros(len(self.final_cost), bool)
        self.is_known[root] = True
        self.is_known[self.is_alias] = True
        states = self._new_states(np.append(self.end[own], self.start), np.append(np.arange(2, self.num_words), BOS_ID))
        result, keys = [], np.empty(0, np.int64)
        while len(states):
            weights = np.zeros(len(costs), np.float32)
            weights[self.node_of[states]] = self.backoff_cost[states]
            result.append(Level(keys, costs, weights))
            keys, costs, ends = self._continuations(states)
            states = self._new_states(ends, np.arange(len(keys)))
        if not result or len(keys) or result[-1].weights.any():
            result.append(Level(keys, costs, np.empty(0, np.float32)))
        result[-1].weights = np.empty(0, np.float32)
        if not self.is_known.all():
            raise self.error(f"{(~self.is_known).sum()} states are no histories that n-grams lead to")
        return result, spoken

    def _new_states(self, ends: np.ndarray, nodes: np.ndarray) -> np.ndarray:
        """The states among `ends` that were not known; each is the n-gram of `nodes` that leads there. Sorted by these."""
        is_new = ~self.is_known[ends]
        ends, nodes = ends[is_new], nodes[is_new]
        self.is_known[ends] = True
        if len(np.unique(ends)) < len(ends):
            raise self.error("two n-grams lead to the same new history")
        self.node_of[ends] = nodes
        return ends[np.argsort(nodes)]

    def _continuations(self, states: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(keys, costs, the states after them, for </s> the empty history's) of the n-grams of these histories."""
        chosen = np.zeros(len(self.final_cost), bool)
        chosen[states] = True
        arcs = np.flatnonzero(chosen[self.source])
        words = self.model_word[self.word[arcs]]
        if np.any(words < 0):
            raise self.error("a history has a word that the empty one has not")
        final = states[self.final_cost[states] < np.inf]
        keys = self.node_of[np.concatenate([self.source[arcs], final])] * self.num_words
        keys += np.concatenate([words, np.full(len(final), EOS)])
        if len(np.unique(keys)) < len(keys):
            raise self.error("two arcs of a state have the same word")
        costs = np.concatenate([self.cost[arcs], self.final_cost[final]])
        ends = np.concatenate([self.end[arcs], np.full(len(final), self.root)])
        rank = np.argsort(keys)
        return keys[rank], costs[rank].astype(np.float32), ends[rank]
