"""Grammars and lattices word by word, for decodings with one language model and with another in its place."""

import numpy as np

from asrtool.fst.csr import CsrGraph
from asrtool.io.symbols import SymbolTable
from asrtool.lm.compact_kernels import advance, final_cost
from asrtool.lm.compact_model import CompactNgram


def exact_grammar(model: CompactNgram, table: SymbolTable, words) -> CsrGraph:
    """The model as an acceptor with an arc for every word in every state: no path backs off where the n-gram is there."""
    ids, arcs = model.word_ids(table), []
    for state in range(model.num_states):
        for word in map(table.id, words):
            after, cost = advance(model.arrays, state, ids[word])
            arcs.append((state, word, word, after, cost))
    ends = [final_cost(model.arrays, state) for state in range(model.num_states)]
    return CsrGraph.from_arcs(model.start_state, *zip(*arcs), ends)


def cost_of_words(lattice, acoustic_scale: float) -> dict[tuple, float]:
    """The cheapest path of every word sequence in a lattice."""
    best = [{} for _ in range(lattice.num_states)]
    best[0][()] = 0.0
    cost = lattice.arc_graph_cost.astype(np.float64) + acoustic_scale * lattice.arc_acoustic_cost
    for arc in range(lattice.num_arcs):
        word = int(lattice.arc_word[arc])
        for words, before in best[lattice.arc_start[arc]].items():
            target, after = best[lattice.arc_end[arc]], words + (word,) * (word != 0)
            target[after] = min(before + cost[arc], target.get(after, np.inf))
    ends: dict[tuple, float] = {}
    for state in np.flatnonzero(lattice.final_cost < np.inf):
        for words, value in best[state].items():
            ends[words] = min(value + float(lattice.final_cost[state]), ends.get(words, np.inf))
    return ends
