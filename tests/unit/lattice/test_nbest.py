"""N-best lists and counts of word sequences against all paths."""

import numpy as np
import pytest
from random_lattices import all_paths, random_compact, random_lattice, random_lattices

from asrtool.errors import AsrtoolError
from asrtool.lattice.nbest import best_path_of_words, count_words_within, nbest

SCALES = {"acoustic_scale": 0.3, "lm_scale": 0.8}


def cheapest_by_words(lattice, **scales):
    best = {}
    for path in all_paths(lattice):
        if path.words not in best or path.cost(**scales) < best[path.words].cost(**scales):
            best[path.words] = path
    return sorted(best.values(), key=lambda path: path.cost(**scales))


def check(found, expected):
    assert [tuple(path.words) for path in found] == [path.words for path in expected]
    assert [tuple(path.transition_ids) for path in found] == [path.transition_ids for path in expected]
    np.testing.assert_allclose(
        [(path.graph_cost, path.acoustic_cost) for path in found],
        [(path.graph, path.acoustic) for path in expected],
        rtol=1e-6,
        atol=1e-6,
    )


@pytest.mark.parametrize("penalty", [0.0, 0.7])
def test_unique_words_best_alignments_in_order(penalty):
    several = 0
    for lattice in random_lattices(15):
        scales = {**SCALES, "word_insertion_penalty": penalty}
        expected = cheapest_by_words(lattice, **scales)
        for num_best in (1, 5, 10**6):
            check(nbest(lattice, num_best, **scales), expected[:num_best])
        several += len(expected) > 5
    assert several > 20


def test_deterministic_lattices():
    for seed in range(10):
        lattice = random_compact(seed, num_states=7, num_words=4, deterministic=True)
        expected = cheapest_by_words(lattice, **SCALES)
        assert len(expected) == len(all_paths(lattice))  # a word sequence is a path
        check(nbest(lattice, len(expected) + 3, **SCALES), expected)


def test_counts_and_lists_within_a_beam():
    for lattice in random_lattices(15):
        costs = np.array([path.cost(**SCALES) for path in cheapest_by_words(lattice, **SCALES)])
        for beam in (0.0, 0.4, 1.5, np.inf):
            expected = int((costs <= costs[0] + beam + 1e-9).sum()) if len(costs) else 0
            assert count_words_within(lattice, beam, **SCALES) == expected
            assert len(nbest(lattice, 10**6, beam=beam, **SCALES)) == expected
    assert count_words_within(random_lattice(1), np.inf, most=7) == 7


def test_the_best_path_of_given_words():
    for lattice in random_lattices(8):
        for path in cheapest_by_words(lattice, **SCALES):
            check([best_path_of_words(lattice, path.words, **SCALES)], [path])
        assert best_path_of_words(lattice, [3] * 40) is None


def test_empty_lattices_and_bad_settings():
    lattice = random_lattice(1)
    lattice.final_cost[:] = np.inf
    assert nbest(lattice, 3) == [] and count_words_within(lattice, 5.0) == 0 and best_path_of_words(lattice, [1]) is None
    with pytest.raises(AsrtoolError, match="at least 1"):
        nbest(lattice, 0)
    with pytest.raises(AsrtoolError, match="beam"):
        nbest(lattice, 1, beam=-1.0)
    lattice.arc_graph_cost[0] = np.nan
    with pytest.raises(AsrtoolError, match="NaN"):
        nbest(lattice, 1)
