"""Lattices with their language model replaced, against all paths one by one."""

from dataclasses import replace

import numpy as np
import pytest
from random_lattices import all_paths, random_lattices
from random_ngrams import SlowModel, random_model

from asrtool.errors import AsrtoolError
from asrtool.io.symbols import SymbolTable
from asrtool.lattice.arrays import select
from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.rescore import Rescorer, rescore
from asrtool.lm.compact_model import CompactNgram

WORDS = SymbolTable({"<eps>": 0, "w1": 1, "w2": 2, "w0": 3}, "words.txt")
NUM_LATTICES = 8


def model_and_cost(seed, order, **options):
    """A compact model and its cost of a sequence of WORDS' ids."""
    model = random_model(seed, order, num_words=3, **options)
    slow = SlowModel(model)
    to_model = {
        number: model.vocabulary.ids.get(word, model.vocabulary.unknown_id) for word, number in WORDS.symbol_to_id.items()
    }
    return CompactNgram.from_model(model), lambda words: slow.sentence([to_model[word] for word in words])


def described(paths, change=lambda words: 0.0):
    """A path's words, alignment, acoustic cost and changed graph cost, in a fixed order."""
    rows = [
        (path.words, path.transition_ids, path.arcs and len(path.arcs), path.acoustic, path.graph + change(path.words))
        for path in paths
    ]
    return sorted(rows, key=lambda row: (*row[:3], round(row[3], 3), row[4]))


def assert_same(paths, expected):
    assert len(paths) == len(expected)
    for got, wanted in zip(paths, expected):
        assert got[:3] == wanted[:3]
        assert got[3:] == pytest.approx(wanted[3:], abs=2e-4)


@pytest.mark.parametrize("orders", [(2, 3), (3, 5), (1, 9)])
def test_every_path_gets_the_new_models_cost_for_the_old_ones(orders):
    old, old_cost = model_and_cost(1, orders[0], share=0.6)
    new, new_cost = model_and_cost(2, orders[1], share=0.5)
    grown = 0
    for lattice in random_lattices(NUM_LATTICES):
        result = rescore(lattice, WORDS, old, [(new, 1.0)], remove_scale=0.75, add_scale=1.25)
        assert type(result) is type(lattice)
        expected = described(all_paths(lattice), lambda words: 1.25 * new_cost(words) - 0.75 * old_cost(words))
        assert_same(described(all_paths(result)), expected)
        assert (result.arc_start < result.arc_end).all() and (np.diff(result.arc_start) >= 0).all()
        grown += result.num_states - lattice.num_states
    assert grown > 0


def test_linear_interpolation_of_three_models():
    models = [model_and_cost(seed, order, share=0.5) for seed, order in ((3, 1), (4, 2), (5, 4))]
    weights = (0.5, 0.3, 0.2)
    slow = [SlowModel(random_model(seed, order, num_words=3, share=0.5)) for seed, order in ((3, 1), (4, 2), (5, 4))]
    to_model = {1: 3, 2: 4, 3: 2}

    def interpolated(words):
        tokens = [0, *(to_model[word] for word in words), 1]
        places = range(1, len(tokens))
        return -sum(
            np.log(sum(w * np.exp(-model.cost(tokens[:place], tokens[place])) for w, model in zip(weights, slow)))
            for place in places
        )

    for lattice in random_lattices(NUM_LATTICES):
        result = rescore(lattice, WORDS, None, [(model, weight) for (model, _), weight in zip(models, weights)])
        assert_same(described(all_paths(result)), described(all_paths(lattice), interpolated))


def test_subtracting_and_adding_the_same_model_changes_nothing():
    model, _ = model_and_cost(6, 4)
    for lattice in random_lattices(NUM_LATTICES):
        assert_same(described(all_paths(rescore(lattice, WORDS, model, [(model, 1.0)]))), described(all_paths(lattice)))
        twice = rescore(rescore(lattice, WORDS, model, []), WORDS, None, [(model, 1.0)])
        assert_same(described(all_paths(twice)), described(all_paths(lattice)))


def test_recombination_of_histories_that_the_model_does_not_tell_apart():
    """With unigrams nothing is told apart: the lattice keeps its size."""
    model, _ = model_and_cost(7, 1)
    for lattice in random_lattices(NUM_LATTICES):
        assert rescore(lattice, WORDS, None, [(model, 1.0)]).num_states == len(reached_states(lattice))


def reached_states(lattice):
    reached = {0}
    for start, end in zip(lattice.arc_start.tolist(), lattice.arc_end.tolist()):
        if start in reached:
            reached.add(end)
    return reached


def test_no_end_of_sentence_where_the_search_did_not_reach_it():
    old, _ = model_and_cost(8, 3)
    new, _ = model_and_cost(9, 3)
    for lattice in random_lattices(4):
        lattice = replace(lattice, reached_final=False)
        result = rescore(lattice, WORDS, old, [(new, 1.0)])
        for path, before in zip(described(all_paths(result)), described(all_paths(lattice))):
            assert path[:3] == before[:3]
        assert {round(float(cost), 5) for cost in finals(result)} <= {round(float(cost), 5) for cost in finals(lattice)}


def finals(lattice):
    costs = lattice.final_graph_cost if isinstance(lattice, CompactLattice) else lattice.final_cost
    return costs[np.isfinite(costs)]


def test_paths_with_words_that_the_new_model_does_not_hold_are_dropped():
    """w2 is not among the new model's two words."""
    small = random_model(10, 2, num_words=2)
    slow, new = SlowModel(small), CompactNgram.from_model(small)
    dropped = failed = 0
    for lattice in random_lattices(NUM_LATTICES):
        kept = [path for path in all_paths(lattice) if 2 not in path.words]
        dropped += len(all_paths(lattice)) - len(kept)
        if not kept:
            failed += 1
            with pytest.raises(AsrtoolError, match="no path"):
                rescore(lattice, WORDS, None, [(new, 1.0)])
            continue
        result = rescore(lattice, WORDS, None, [(new, 1.0)])
        expected = described(kept, lambda words: slow.sentence([{1: 3, 3: 2}[word] for word in words]))
        assert_same(described(all_paths(result)), expected)
        if len(kept) < len(all_paths(lattice)):
            assert result.num_arcs == len({arc for path in all_paths(result) for arc in path.arcs})
    assert dropped > 0 and failed > 0
    # the other model's unknown word stands for them; and one model of two is enough
    open_model, _ = model_and_cost(11, 2, unknown_word="<unk>")
    for lattice in random_lattices(2):
        result = rescore(lattice, WORDS, None, [(new, 0.5), (open_model, 0.5)])
        assert len(all_paths(result)) == len(all_paths(lattice))


def test_bad_requests():
    model, _ = model_and_cost(12, 2)
    small = CompactNgram.from_model(random_model(10, 2, num_words=2))
    lattice = next(lattice for lattice in random_lattices(NUM_LATTICES) if 2 in lattice.arc_word)
    with pytest.raises(AsrtoolError, match="'w2', which the language model to subtract does not hold"):
        rescore(lattice, WORDS, small, [(model, 1.0)])
    with pytest.raises(AsrtoolError, match=r"word id 3 of the lattice is not in short\.txt"):
        short = SymbolTable({"<eps>": 0, "w1": 1}, "short.txt")
        rescore(replace(lattice, arc_word=np.where(lattice.arc_word, 3, 0).astype(np.int32)), short, None, [(model, 1.0)])
    for weights in ((0.5, 0.6), (1.5, -0.5), (np.nan, 1.0)):
        with pytest.raises(AsrtoolError, match="must be positive and sum to 1"):
            Rescorer(WORDS, None, [(model, weight) for weight in weights])
    with pytest.raises(AsrtoolError, match="scales of models must be positive"):
        Rescorer(WORDS, model, [], remove_scale=-1)
    with pytest.raises(AsrtoolError, match="no language model"):
        Rescorer(WORDS, None, [])
    with pytest.raises(AsrtoolError, match="more than 2 states; prune"):
        Rescorer(WORDS, None, [(model, 1.0)], max_states=2)(lattice)


def test_empty_lattices_stay_empty():
    model, _ = model_and_cost(13, 2)
    for lattice in random_lattices(1):
        empty = select(lattice, np.zeros(lattice.num_states, bool), np.zeros(lattice.num_arcs, bool))
        result = rescore(empty, WORDS, model, [(model, 1.0)])
        assert result.num_states == result.num_arcs == 0
