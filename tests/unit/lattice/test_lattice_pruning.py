"""Pruning, connecting, scaling and penalties against all paths."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from random_lattices import all_paths, random_compact, random_lattice, random_lattices

from asrtool.errors import AsrtoolError
from asrtool.lattice.arrays import path_of_arcs, state_frames
from asrtool.lattice.connect import connect
from asrtool.lattice.prune import prune
from asrtool.lattice.scale import add_penalty, scale

ACOUSTIC, LM = 0.3, 0.8


def described(paths):
    return Counter((path.words, path.transition_ids, round(path.graph, 4), round(path.acoustic, 4)) for path in paths)


def used(paths):
    """(arcs, states that paths end in)"""
    return {arc for path in paths for arc in path.arcs}, {path.last_state for path in paths}


def test_pruning_keeps_what_is_on_a_path_inside_the_beam_and_nothing_else():
    smaller = 0
    for lattice in random_lattices(20):
        paths = all_paths(lattice)
        if not paths:
            assert prune(lattice, 1.0).num_states == 0
            continue
        best = min(path.cost(ACOUSTIC, LM) for path in paths)
        for beam in (0.0, 0.5, 2.0, np.inf):
            inside = [path for path in paths if path.cost(ACOUSTIC, LM) <= best + beam + 1e-9]
            pruned = prune(lattice, beam, ACOUSTIC, LM)
            left = all_paths(pruned)
            arcs, last_states = used(inside)
            assert pruned.num_arcs == len(arcs)
            assert len(used(left)[0]) == pruned.num_arcs  # no arc without a path
            assert len(used(left)[1]) == len(last_states)
            assert described([path for path in left if path.cost(ACOUSTIC, LM) <= best + beam + 1e-9]) == described(inside)
            assert (state_frames(pruned) >= 0).all()
            smaller += pruned.num_arcs < lattice.num_arcs
    assert smaller > 50


def test_connecting_keeps_all_paths_and_no_more():
    for lattice in random_lattices(20):
        paths, connected = all_paths(lattice), connect(lattice)
        assert described(all_paths(connected)) == described(paths)
        assert connected.num_arcs == len(used(paths)[0])
        touched = {0} | {int(end) for path in paths for end in lattice.arc_end[list(path.arcs)]}
        assert connected.num_states == (len(touched) if paths else 0)
        assert type(connected) is type(lattice)


@pytest.mark.parametrize("make", [random_lattice, random_compact])
def test_a_lattice_without_a_final_state_becomes_empty(make):
    lattice = make(1)
    names = ("final_cost",) if make is random_lattice else ("final_graph_cost", "final_acoustic_cost")
    bad = replace(lattice, **{name: np.full(lattice.num_states, np.inf, np.float32) for name in names})
    for empty in (connect(bad), prune(bad, 5.0), connect(connect(bad)), prune(prune(bad, 5.0), 5.0)):
        assert (empty.num_states, empty.num_arcs, empty.num_frames) == (0, 0, lattice.num_frames)


def test_scales_and_penalties_change_every_path_as_they_say():
    compact = random_compact(2)
    mixed = scale(compact, 0.5, 2.0, acoustic_to_lm=0.25, lm_to_acoustic=-0.5)
    for old, new in zip(all_paths(compact), all_paths(mixed), strict=True):
        assert new.graph == pytest.approx(2 * old.graph + 0.25 * old.acoustic, rel=1e-5, abs=1e-5)
        assert new.acoustic == pytest.approx(0.5 * old.acoustic - 0.5 * old.graph, rel=1e-5, abs=1e-5)
    lattice = random_lattice(2)
    for old, new in zip(all_paths(lattice), all_paths(scale(lattice, 0.5, 2.0)), strict=True):
        assert (new.graph, new.acoustic) == pytest.approx((2 * old.graph, 0.5 * old.acoustic), rel=1e-5, abs=1e-5)
    nothing = scale(lattice, 0.0, 0.0)  # what is not final stays so
    assert [(path.arcs, path.graph) for path in all_paths(nothing)] == [(path.arcs, 0.0) for path in all_paths(lattice)]
    for kind in (lattice, compact):
        for old, new in zip(all_paths(kind), all_paths(add_penalty(kind, 1.5)), strict=True):
            assert new.graph == pytest.approx(old.graph + 1.5 * len(old.words), rel=1e-5, abs=1e-5)


def test_arcs_tell_their_path():
    for lattice in (random_lattice(2), random_compact(2)):
        for path in all_paths(lattice):
            found = path_of_arcs(lattice, np.array(path.arcs, np.int32))
            assert (tuple(found.words), tuple(found.transition_ids)) == (path.words, path.transition_ids)
            assert (found.graph_cost, found.acoustic_cost) == pytest.approx((path.graph, path.acoustic), abs=1e-9)


def test_bad_settings_and_lattices_are_named():
    lattice = random_lattice(3)
    for beam in (-1.0, np.nan):
        with pytest.raises(AsrtoolError, match="beam"):
            prune(lattice, beam)
    with pytest.raises(AsrtoolError, match="finite"):
        scale(lattice, np.inf)
    with pytest.raises(AsrtoolError, match="finite"):
        add_penalty(lattice, np.nan)
    with pytest.raises(AsrtoolError, match="determinise"):
        scale(lattice, lm_to_acoustic=1.0)
    lattice.arc_acoustic_cost[0] = -np.inf
    with pytest.raises(AsrtoolError, match="-inf"):
        prune(lattice, 1.0)
