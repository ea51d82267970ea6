"""HCLG of a grammar with word classes: its best path is that of the best sentence of the class model."""

import importlib.util
import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from asrtool.fst.csr import CsrGraph
from asrtool.fst.grammar_fst import compile_grammar
from asrtool.graph.hclg import make_hclg
from asrtool.graph.pronunciations import read_pronunciations
from asrtool.io.symbols import SymbolTable
from asrtool.lang.format_lm import format_lm

spec = importlib.util.spec_from_file_location("class_graph_reference", Path(__file__).with_name("reference.py"))
reference = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reference)

ARPA = """\\data\\
ngram 1=6
ngram 2=4

\\1-grams:
-0.6 </s>
-99 <s> -0.3
-0.8 a -0.2
-0.9 ab -0.1
-0.7 <name> -0.2
-1.1 <town>

\\2-grams:
-0.3 <s> <name>
-0.4 a <town>
-0.5 <name> </s>
-0.2 <name> <town>

\\end\\
"""
CLASSES = "<name> 3 ab\n<name> 1 ab ba\n<name> 2 cab\n<town> a\n<town> 2 ab\n"
ENTRIES = {
    "<name>": {("ab",): 3 / 6, ("ab", "ba"): 1 / 6, ("cab",): 2 / 6},
    "<town>": {("a",): 1 / 3, ("ab",): 2 / 3},
    "a": {("a",): 1.0},
    "ab": {("ab",): 1.0},
}


def class_model_cost(grammar: CsrGraph, labels: list[int], backoff: int) -> float:
    """Least cost of a sequence of words and class symbols, where back-off may be taken at any state."""
    cost = np.full(grammar.num_states, np.inf)
    cost[grammar.start] = 0.0
    arcs = list(zip(grammar.arc_source, grammar.arc_ilabel, grammar.arc_nextstate, grammar.arc_cost.astype(float)))
    for label in [*labels, None]:
        for _ in range(3):
            for source, arc_label, target, arc_cost in arcs:
                if arc_label == backoff:
                    cost[target] = min(cost[target], cost[source] + arc_cost)
        if label is not None:
            following = np.full(grammar.num_states, np.inf)
            for source, arc_label, target, arc_cost in arcs:
                if arc_label == label:
                    following[target] = min(following[target], cost[source] + arc_cost)
            cost = following
    return float((cost + grammar.final_cost).min())


@pytest.mark.parametrize("seed", range(2))
def test_best_path_is_that_of_the_class_model(toy, tmp_path, seed):
    made = toy()
    (tmp_path / "lm.arpa").write_text(ARPA)
    (tmp_path / "classes").write_text(CLASSES)
    format_lm(made.lang, tmp_path / "lm.arpa", tmp_path / "lang", tmp_path / "classes")
    make_hclg(tmp_path / "lang", made.directory / "tree", made.directory / "final.mdl", tmp_path / "graph", self_loop_scale=0.2)
    graph, words = CsrGraph.from_fst_file(tmp_path / "graph" / "HCLG.fst"), SymbolTable.read(made.lang / "words.txt")
    assert set(np.unique(graph.arc_olabel)) == {0, *(words.id(word) for word in ("a", "ab", "ba", "cab"))}
    # the model over class symbols, by kaldilm alone
    table = SymbolTable(words.symbol_to_id | {"<name>": 100, "<town>": 101}, "words")
    table.write(tmp_path / "table")
    compile_grammar(tmp_path / "lm.arpa", tmp_path / "table", tmp_path / "class_G.fst")
    grammar = CsrGraph.from_fst_file(tmp_path / "class_G.fst")
    acoustic_cost = np.random.default_rng(seed).gamma(1.0, 2.0, size=(11, made.model.num_pdfs))
    pronunciations, costs = read_pronunciations(made.lang / "L.fst"), made.model.scaled_costs(1.0, 0.2).astype(np.float64)
    best, scores = np.inf, {}
    for length in range(4):
        for sequence in itertools.product(ENTRIES, repeat=length):
            language = class_model_cost(grammar, [table.id(symbol) for symbol in sequence], table.id("#0"))
            for choice in itertools.product(*(ENTRIES[symbol].items() for symbol in sequence)):
                sentence = [words.id(word) for entry, _ in choice for word in entry]
                share = -sum(math.log(weight) for _, weight in choice)
                for phones, cost in reference.phone_sequences(pronunciations, sentence):
                    if phones not in scores and len(phones) * 3 <= len(acoustic_cost):
                        scores[phones] = reference.hmm_viterbi(phones, made.tree, made.model, costs, acoustic_cost)
                    best = min(best, language + share + cost + scores.get(phones, np.inf))
    assert reference.graph_viterbi(graph, made.model, acoustic_cost) == pytest.approx(best, abs=0.02) and np.isfinite(best)
