"""Lattices with a word an arc, against lattices that had one before their words and transition-ids were moved about."""

import numpy as np
import pytest
from random_lattices import random_compact
from word_lattices import (
    BY_LEXICON,
    BY_PLACE,
    PLACES,
    SILENCE,
    compact_lattice,
    lexicon_text,
    move_about,
    number_of_paths,
    small_model,
    transition_ids,
    unit_paths,
    word_arcs,
)

from asrtool.errors import AsrtoolError
from asrtool.lattice.align_words import AlignOptions, align_words
from asrtool.lattice.align_words_files import AlignLexicon, WordBoundary, read_word_places
from asrtool.lattice.ctm import linear_lattice
from asrtool.lattice.phone_alignment import align_phones


@pytest.fixture(scope="module")
def languages(tmp_path_factory):
    """kind -> (model, lexicon, places of phones)"""
    folder = tmp_path_factory.mktemp("phones")
    (folder / "word_boundary.int").write_text(PLACES)
    (folder / "align_lexicon.int").write_text(lexicon_text(BY_LEXICON))
    return {
        "place": (small_model(9), BY_PLACE, WordBoundary.read(folder / "word_boundary.int")),
        "lexicon": (small_model(3), BY_LEXICON, AlignLexicon.read(folder / "align_lexicon.int")),
    }


def assert_same_paths(found, expected):
    assert found.keys() == expected.keys()
    for units, costs in expected.items():
        np.testing.assert_allclose(found[units], costs, rtol=1e-5)


@pytest.mark.parametrize("reorder", [True, False])
@pytest.mark.parametrize("kind", ["place", "lexicon"])
def test_moved_words_come_back(languages, kind, reorder):
    model, lexicon, places = languages[kind]
    moved = 0
    for seed in range(60):
        num_states = 3 + seed % 5
        arcs = word_arcs(model, lexicon, seed, num_states, reorder)
        expected = unit_paths(compact_lattice(arcs, num_states))
        lattice = compact_lattice(move_about(arcs, num_states, seed), num_states)
        moved += unit_paths(lattice).keys() != expected.keys()
        aligned, complete = align_words(lattice, model, places, AlignOptions(reorder=reorder))
        assert complete
        assert_same_paths(unit_paths(aligned), expected)
        assert number_of_paths(aligned) <= number_of_paths(lattice)
        assert np.all(aligned.arc_start < aligned.arc_end) and np.all(np.diff(aligned.arc_start) >= 0)
    assert moved > 40


@pytest.mark.parametrize("replace", [True, False])
def test_phones(languages, replace):
    model, lexicon, _ = languages["place"]
    for seed in range(20):
        num_states = 3 + seed % 4
        arcs = word_arcs(model, lexicon, seed, num_states)
        expected = {}
        for units, costs in unit_paths(compact_lattice(arcs, num_states)).items():
            words = tuple(word for word, _ in units if word)
            phones = tuple(model.alignment_to_phones(np.concatenate([tids for _, tids in units])))
            key = (words, phones) if not replace else (tuple(phone for phone, _ in phones), phones)
            expected[key] = min(expected.get(key, (np.inf,)), costs)
        aligned, complete = align_phones(compact_lattice(move_about(arcs, num_states, seed), num_states), model, replace)
        assert complete
        found = {}
        for units, costs in unit_paths(aligned).items():
            phones = tuple((int(model.tid_to_phone[tids[0]]), len(tids)) for _, tids in units if tids)
            key = tuple(word for word, _ in units if word), phones
            found[key] = min(found.get(key, (np.inf,)), costs)
        assert_same_paths(found, expected)


def test_more_room_and_the_limit(languages):
    model, lexicon, places = languages["place"]
    random = np.random.default_rng(0)
    words = random.integers(1, 5, 3000).astype(np.int32)
    tids = np.array(transition_ids(model, [phone for word in words for phone in lexicon[word][0]], random), np.int32)
    lattice = linear_lattice(words, tids)
    lattice.transition_id, lattice.final_transition_id = tids[:0], tids  # all at the end: what is queued grows
    lattice.tid_begin[:], lattice.final_tid_begin[-1] = 0, len(tids)
    aligned, complete = align_words(lattice, model, places)
    assert complete and aligned.arc_word.tolist() == words.tolist() and aligned.transition_id.tolist() == tids.tolist()
    lengths = [len(model.alignment_to_phones(tids)) for tids in np.split(aligned.transition_id, aligned.tid_begin[1:-1])]
    assert lengths == [len(lexicon[word][0]) for word in words]
    with pytest.raises(AsrtoolError, match=r"more than \d+ states from 3001; prune"):
        align_words(lattice, model, places, AlignOptions(max_expand=0.1))


@pytest.mark.parametrize("kind", ["place", "lexicon"])
def test_a_word_cut_off_keeps_its_label(languages, kind):
    model, lexicon, places = languages[kind]
    tids = transition_ids(model, [*lexicon[1][0], SILENCE, *lexicon[2][0]], np.random.default_rng(1))
    whole = len(transition_ids(model, [*lexicon[1][0], SILENCE], np.random.default_rng(1)))
    cut = np.array(tids[: whole + 1], np.int32)
    aligned, complete = align_words(linear_lattice(np.array([1, 2], np.int32), cut), model, places)
    assert not complete and aligned.arc_word.tolist() == [1, 0, 2] and aligned.transition_id.tolist() == cut.tolist()
    options = AlignOptions(partial_word_label=77)
    aligned, complete = align_words(linear_lattice(np.array([1], np.int32), cut), model, places, options)
    assert not complete and aligned.arc_word.tolist() == [1, 0, 77]


def test_words_without_frames_are_dropped(languages):
    model, lexicon, places = languages["place"]
    tids = np.array(transition_ids(model, lexicon[2][0], np.random.default_rng(2)), np.int32)
    aligned, complete = align_words(linear_lattice(np.array([2, 4], np.int32), tids), model, places)
    assert not complete and aligned.arc_word.tolist() == [2]


def test_labels_of_silence(languages):
    model, lexicon, places = languages["place"]
    tids = np.array(transition_ids(model, [SILENCE, *lexicon[4][0]], np.random.default_rng(3)), np.int32)
    lattice = linear_lattice(np.array([4], np.int32), tids)
    assert align_words(lattice, model, places, AlignOptions(silence_label=50)).lattice.arc_word.tolist() == [50, 4]
    lexicon = AlignLexicon.from_entries([(0, [SILENCE]), (4, [9])], np.array([60, 4]))
    assert align_words(lattice, model, lexicon).lattice.arc_word.tolist() == [60, 4]


def test_a_lexicon_that_leaves_a_choice_gives_each_once():
    model = small_model(3)
    lexicon = AlignLexicon.from_entries(
        [(0, [1]), (1, [2]), (1, [2, 1]), (2, [3]), (2, [1, 3]), (3, [])], np.array([0, 1, 1, 2, 2, 3])
    )
    tids = np.array(transition_ids(model, [2, 1, 3], np.random.default_rng(4)), np.int32)
    aligned, complete = align_words(linear_lattice(np.array([1, 2], np.int32), tids), model, lexicon)
    words = sorted(tuple(word for word, _ in units) for units in unit_paths(aligned))
    assert complete and words == [(1, 0, 2), (1, 2), (1, 2)] and number_of_paths(aligned) == 3
    aligned, complete = align_words(linear_lattice(np.array([3, 1, 2], np.int32), tids), model, lexicon)
    assert complete and {units[0] for units in unit_paths(aligned)} == {(3, ())}


def test_an_empty_lattice_stays_empty(languages):
    model, _, places = languages["place"]
    empty = compact_lattice([], 1)
    empty.final_graph_cost[:] = np.inf
    with pytest.raises(AsrtoolError, match="no whole path"):
        align_words(empty, model, places)
    nothing = linear_lattice(np.zeros(0, np.int32), np.zeros(0, np.int32))
    aligned, complete = align_words(nothing, model, places)
    assert complete and aligned.num_arcs == 0 and aligned.final_graph_cost.tolist() == [0.0]


def test_lattices_of_another_model_are_refused(languages):
    model, lexicon, places = languages["place"]
    good = np.array(transition_ids(model, [*lexicon[3][0], SILENCE], np.random.default_rng(5)), np.int32)

    def refused(tids, message, model=model, places=places, **options):
        with pytest.raises(AsrtoolError, match=message):
            align_words(linear_lattice(np.array([3], np.int32), np.array(tids, np.int32)), model, places, AlignOptions(**options))

    refused([*good, 99], "transition-id 99, but model has 1 to 36: the lattice was made with another model")
    refused([0, *good], "transition-id 0")
    inside = transition_ids(model, [9], np.random.default_rng(8))[0]  # of three states, the first
    refused([inside, *good], r"a phone of \[9, 6, 4, 7\] ends before its last state")
    refused([model.self_loop[2], *good], "begins with a self-loop")
    refused(transition_ids(model, [4, 4], np.random.default_rng(6)), "phone 4 begins a word, but word_boundary.int calls it 'int",
            places=WordBoundary(places.place))  # fmt: skip
    refused(transition_ids(model, [2, 9, 3], np.random.default_rng(7)), "phone 9 is inside a word, but .* calls it 'singleton'")
    refused(good, "phone 6 is not in few", places=WordBoundary(places.place[:6], "few"))
    refused(good, "pronunciations of other fit no path", places=AlignLexicon.from_entries([(0, [1]), (3, [2])], [0, 3], "other"))
    with pytest.raises(AsrtoolError, match="transition-id"):
        align_words(random_compact(0, num_tids=5000), model, places)


@pytest.mark.parametrize(
    "kind, text, message",
    [
        (WordBoundary, "", "empty"),
        (WordBoundary, "1 nonword\n2 middle\n", "line 2: expected 'phone nonword"),
        (WordBoundary, "0 begin\n", "line 1"),
        (WordBoundary, "3 begin\n3 end\n", "line 2: phone 3 has two places"),
        (AlignLexicon, "\n", "empty"),
        (AlignLexicon, "1 1 2\n1\n", "line 2: expected 'word word phone"),
        (AlignLexicon, "1 1 2\nA A 3\n", "line 2: expected integers, found 'A A 3'"),
        (AlignLexicon, "0 0\n", "word 0 .silence. has no phone"),
        (AlignLexicon, "1 1 2\n1 2 2\n", "word 1 becomes both 1 and 2"),
        (AlignLexicon, "1 1 0\n", "phones from 1"),
    ],
)
def test_damaged_files_are_named(tmp_path, kind, text, message):
    path = tmp_path / "places.int"
    path.write_text(text)
    with pytest.raises(AsrtoolError, match=rf"places\.int: .*{message}|places\.int: {message}"):
        kind.read(path)
    with pytest.raises(AsrtoolError, match=r"absent: no such file"):
        kind.read(tmp_path / "absent")


def test_the_file_of_a_lang_directory(tmp_path):
    with pytest.raises(AsrtoolError, match=r"neither word_boundary\.int nor align_lexicon\.int"):
        read_word_places(tmp_path)
    (tmp_path / "phones").mkdir()
    (tmp_path / "phones" / "align_lexicon.int").write_text(lexicon_text(BY_LEXICON))
    assert isinstance(read_word_places(tmp_path), AlignLexicon)
    (tmp_path / "phones" / "word_boundary.int").write_text(PLACES)
    assert isinstance(read_word_places(tmp_path), WordBoundary)
