"""Oracle errors, depth and counts against all paths."""

import kaldialign
import numpy as np
import pytest
from random_lattices import all_paths, random_compact, random_lattice, random_lattices

from asrtool.errors import AsrtoolError
from asrtool.lattice.connect import connect
from asrtool.lattice.density import count, depth, depth_per_frame
from asrtool.lattice.nbest import count_words_within
from asrtool.lattice.oracle import oracle

SCALES = {"acoustic_scale": 0.3, "lm_scale": 0.8}


def distance(reference, words):
    return kaldialign.edit_distance(list(reference), list(words))["total"]


def test_the_nearest_path_and_of_the_nearest_the_cheapest():
    random = np.random.default_rng(0)
    kinds = set()
    for lattice in random_lattices(20):
        paths = all_paths(lattice)
        for length in (0, 2, 4, 9):
            reference = random.integers(1, 5, length)  # word 4 is in no lattice
            found = oracle(lattice, reference, **SCALES)
            if not paths:
                assert found is None
                continue
            scored = [(distance(reference, path.words), path.cost(**SCALES)) for path in paths]
            errors, cost = min(scored)
            assert (found.errors, found.num_words) == (errors, length)
            assert distance(reference, found.path.words) == errors
            assert found.insertions - found.deletions == len(found.path.words) - length
            found_cost = SCALES["acoustic_scale"] * found.path.acoustic_cost + SCALES["lm_scale"] * found.path.graph_cost
            assert found_cost == pytest.approx(cost, abs=1e-9)
            path = next(path for path in paths if path.arcs == tuple(found.arcs))
            assert path.transition_ids == tuple(found.path.transition_ids)
            kinds |= {name for name in ("insertions", "deletions", "substitutions") if getattr(found, name)}
    assert kinds == {"insertions", "deletions", "substitutions"}


def test_words_that_do_not_count():
    for lattice in random_lattices(6):
        paths, reference = all_paths(lattice), [1, 3, 2]
        found = oracle(lattice, reference, ignored=[3])
        if paths:
            expected = min(distance([1, 2], [word for word in path.words if word != 3]) for path in paths)
            assert (found.errors, found.num_words) == (expected, 2)


def test_bad_lattices_are_named():
    lattice = random_lattice(1)
    lattice.arc_acoustic_cost[0] = np.nan
    with pytest.raises(AsrtoolError, match="NaN"):
        oracle(lattice, [1])


def strings_of(lattice, path):
    """(what, frames) along a path: arcs, and the final state of a word-level lattice."""
    if lattice.num_arcs == 0 or hasattr(lattice, "arc_transition_id"):
        return [(arc, int(lattice.arc_transition_id[arc] > 0)) for arc in path.arcs]
    final_frames = np.diff(lattice.final_tid_begin)[path.last_state]
    return [*((arc, np.diff(lattice.tid_begin)[arc]) for arc in path.arcs), (f"end {path.last_state}", final_frames)]


def test_arcs_that_cross_a_frame():
    checked = 0
    for lattice in map(connect, random_lattices(10)):
        crossing, seen = np.zeros(lattice.num_frames, int), set()
        for path in all_paths(lattice):
            place = 0
            for what, frames in strings_of(lattice, path):
                crossing[place : place + frames] += what not in seen
                seen.add(what)
                place += frames
        if lattice.num_states:
            assert depth_per_frame(lattice).tolist() == crossing.tolist()
            assert depth(lattice) == pytest.approx(crossing.mean())
            checked += 1
    assert checked > 15


def test_counts():
    for lattice in random_lattices(10):
        counts = count(lattice)
        assert counts.paths == len(all_paths(lattice))
        assert (counts.states, counts.arcs, counts.frames) == (lattice.num_states, lattice.num_arcs, lattice.num_frames)
        assert counts.word_arcs == (lattice.arc_word > 0).sum()
    deterministic = random_compact(3, deterministic=True, num_words=6)
    assert count(deterministic).paths == count_words_within(deterministic, np.inf)
