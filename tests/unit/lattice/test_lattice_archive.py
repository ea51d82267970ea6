"""Lattices on disk, as Kaldi's and as what is not, and best paths by hand."""

import dataclasses
import gzip
import itertools
import struct

import numpy as np
import pytest

from asrtool.cli import main
from asrtool.errors import AsrtoolError
from asrtool.lattice.archive import lattice_files, read_lattices, write_lattices
from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.convert import to_compact, to_lattice
from asrtool.lattice.lattice import Lattice, best_path
from tests.support.random_lattices import all_paths, random_compact, random_lattice


def small_lattice() -> Lattice:
    """Two frames; word 5 by the cheap graph, words 70000 and 6 by the cheap acoustics."""
    return Lattice(
        num_frames=2,
        state_frame=np.array([0, 1, 1, 2, 2], np.int32),
        arc_start=np.array([0, 0, 1, 2, 3], np.int32),
        arc_end=np.array([1, 2, 3, 3, 4], np.int32),
        arc_transition_id=np.array([1, 300, 2, 4, 0], np.int32),
        arc_word=np.array([5, 70000, 0, 6, 0], np.int32),
        arc_graph_cost=np.array([1, 2, 0, 1, 0.5], np.float32),
        arc_acoustic_cost=np.array([30, 10, 10, 20, 0], np.float32),
        final_cost=np.array([np.inf, np.inf, np.inf, np.inf, 0.25], np.float32),
    )


@pytest.mark.parametrize("convert", [lambda lattice: lattice, to_compact])
def test_best_path_by_hand(convert):
    lattice = convert(small_lattice())
    path = best_path(lattice, acoustic_scale=0.1)  # 1.75 + 4.0 against 3.75 + 3.0
    assert list(path.words) == [5] and list(path.transition_ids) == [1, 2]
    assert (path.graph_cost, path.acoustic_cost) == (1.75, 40)
    path = best_path(lattice, acoustic_scale=1.0)
    assert list(path.words) == [70000, 6] and (path.graph_cost, path.acoustic_cost) == (3.75, 30)
    assert list(best_path(lattice, acoustic_scale=0.25, word_insertion_penalty=1).words) == [5]
    assert list(best_path(lattice, acoustic_scale=0.25, word_insertion_penalty=-1).words) == [70000, 6]
    assert list(best_path(lattice, acoustic_scale=0.1, lm_scale=0.1).words) == [70000, 6]
    assert list(best_path(lattice, acoustic_scale=0.1, lm_scale=0).words) == [70000, 6]


def test_no_final_state_is_no_path():
    lattice = small_lattice()
    lattice.final_cost[:] = np.inf
    assert best_path(lattice) is None and best_path(to_compact(lattice)) is None


def assert_equal(before, after):
    assert type(before) is type(after)
    for field in dataclasses.fields(before):
        a, b = getattr(before, field.name), getattr(after, field.name)
        assert np.array_equal(a, b) and type(a) is type(b), field.name
        assert not isinstance(a, np.ndarray) or a.dtype == b.dtype, field.name


def connected(lattice):
    """Whether the start reaches all states, so that reading keeps them."""
    return all(state == 0 or state in lattice.arc_end for state in range(lattice.num_states)) and len(all_paths(lattice)) > 0


def test_round_trip_of_both_kinds_in_binary_and_text(tmp_path):
    lattices = [random_lattice(seed) for seed in range(20)] + [random_compact(seed) for seed in range(20)]
    pairs = [(f"语音/{number}", lattice) for number, lattice in enumerate(lattices) if connected(lattice)]
    assert {type(lattice) for _, lattice in pairs} == {Lattice, CompactLattice} and len(pairs) > 10
    for number, binary in itertools.product(range(2), (True, False)):
        write_lattices(tmp_path / f"{number}{binary}.gz", pairs, binary)
    for binary in (True, False):
        assert (tmp_path / f"0{binary}.gz").read_bytes() == (tmp_path / f"1{binary}.gz").read_bytes()
    read = list(read_lattices(tmp_path / "0True.gz"))
    assert [name for name, _ in read] == [name for name, _ in pairs]
    for (_, before), (_, after) in zip(pairs, read):
        assert_equal(before, after)
    for (_, before), (_, after) in zip(pairs, read_lattices(tmp_path / "0False.gz"), strict=True):
        assert [path[:2] for path in all_paths(after)] == [path[:2] for path in all_paths(before)]
        costs = [[path.graph + path.acoustic for path in all_paths(lattice)] for lattice in (before, after)]
        assert costs[1] == pytest.approx(costs[0], abs=1e-4)


def table(lattice):
    return sorted((path.words, path.transition_ids, round(path.graph, 4), round(path.acoustic, 4)) for path in all_paths(lattice))


def test_the_kinds_convert_into_each_other():
    for seed in range(30):
        compact, lattice = random_compact(seed), random_lattice(seed)
        assert table(to_lattice(compact)) == table(compact), seed
        assert table(to_compact(lattice)) == table(lattice), seed
        assert np.diff(to_compact(lattice).tid_begin).max(initial=0) <= 1
    assert to_lattice(random_compact(3)).state_frame.max() == random_compact(3).num_frames


TEXT = b"""u1 
7\t3\t2\t0\t1,2
7\t1\t9\t5
1\t3\t0\t6\t0.5,0
3\t0.25,4

u2 

u3 
0

"""  # noqa: W291


def test_states_in_any_order_final_acoustics_and_empty_lattices(tmp_path):
    (tmp_path / "lat").write_bytes(TEXT)
    (_, first), (_, empty), (_, point) = read_lattices(tmp_path / "lat")
    assert table(first) == [((), (2,), 1.25, 6.0), ((5, 6), (9,), 0.75, 4.0)]
    assert list(first.state_frame) == [0, 1, 1, 1] and first.num_frames == 1
    assert (empty.num_states, empty.num_arcs, best_path(empty)) == (0, 0, None)
    assert table(point) == [((), (), 0.0, 0.0)]
    for binary in (True, False):
        write_lattices(tmp_path / "again", read_lattices(tmp_path / "lat"), binary)
        assert [table(lattice) for _, lattice in read_lattices(tmp_path / "again")] == [table(first), [], table(point)]


def test_verb_copies_between_kinds_and_formats(tmp_path, capsys):
    pairs = [("u1", small_lattice()), ("u2", to_lattice(random_compact(1)))]
    write_lattices(tmp_path / "lat.1.gz", pairs[:1])
    write_lattices(tmp_path / "lat.10.gz", pairs[1:])
    assert [path.name for path in lattice_files(tmp_path)] == ["lat.1.gz", "lat.10.gz"]
    assert main(["lattice-copy", "--write-compact", "true", str(tmp_path), f"ark,t:{tmp_path}/copy"]) == 0
    assert (tmp_path / "copy").read_bytes().startswith(b"u1 \n0\t1\t5\t1,30,1\n0\t2\t70000\t2,10,300\n")
    assert main(["lattice-copy", "--write-compact", "false", f"{tmp_path}/copy", f"{tmp_path}/back.gz"]) == 0
    assert capsys.readouterr().err.count("2 utterances done, 0 failed") == 2
    for (_, lattice), (_, back) in zip(pairs, read_lattices(tmp_path / "back.gz"), strict=True):
        expected = [path[:2] for path in sorted(all_paths(lattice))]
        assert [path[:2] for path in sorted(all_paths(back))] == expected


def test_an_interrupted_writer_leaves_nothing(tmp_path):
    def pairs():
        yield "u1", small_lattice()
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        write_lattices(tmp_path / "lat.1.gz", pairs())
    assert list(tmp_path.iterdir()) == []


def words_at(data, number, *values, kind="<i4"):
    """The file with words changed from the given one on: 0 is the first after the header of u1."""
    at = len("u1 ") + 4 + 10 + 12 + struct.calcsize("<iiQqqq") + 4 * number
    return data[:at] + struct.pack(f"<{len(values)}{kind[1]}", *values) + data[at + 4 * len(values) :]


BAD = [
    (lambda data: b"", "bad: an empty file"),
    (lambda data: b"\0\1\2 no lattices", "bad: not an archive of lattices"),
    (lambda data: data[:-3], "bad: u1: truncated"),
    (lambda data: data[:40], "bad: u1: truncated"),
    (lambda data: gzip.compress(data)[:-9], "bad: damaged .gz file"),
    (lambda data: data.replace(b"lattice4", b"standard"), "bad: u1: an FST of type 'vector' with arcs of type 'standard'"),
    (lambda data: words_at(data, 2, -5), "bad: u1: damaged: a negative number"),
    (lambda data: words_at(data, 4, -5), "bad: u1: a word or transition-id is negative"),
    (lambda data: words_at(data, 8, 99), "bad: u1: an arc leads to a state that does not exist"),
    (lambda data: words_at(data, 8, 0), "bad: u1: state 0 is on a cycle"),
    (lambda data: words_at(data, 8, 3), "bad: u1: paths of different numbers of transition-ids lead to state 3"),
    (lambda data: words_at(data, 6, np.nan, kind="<f4"), "bad: u1: a cost is not a number"),
    (lambda data: words_at(data, 0, 0.0, 0.0, kind="<f4"), "bad: u1: paths of 0 and of 2 frames"),
    (lambda data: b"u1 \n0\t1\t1\tx\t1,2\n1\n\n", "bad: u1: 1 of 2 lines are neither"),
    (lambda data: b"u1 \n0\t1\t1\t1\t1,2\n1\n", "bad: u1: truncated: no empty line"),
    (lambda data: b"u1 \n0\t1\t1\t1\t1,2e\n1\n\n", "bad: u1: "),
    (lambda data: b"u1 \n0\t1\t1\t9999999999\n1\n\n", "bad: u1: a state, word or transition-id above"),
    (lambda data: b"u1 \n0\t1000000000\t1\t1\n1\n\n", "bad: u1: 1000000001 states, but only 1 arcs"),
    (lambda data: b"u1 \n0\t1\t1\t1\n1\n1\n\n", "bad: u1: a state is final twice"),
]


@pytest.mark.parametrize(("damage", "message"), BAD)
def test_bad_archives(tmp_path, damage, message):
    write_lattices(tmp_path / "good", [("u1", small_lattice())])
    (tmp_path / "bad").write_bytes(damage((tmp_path / "good").read_bytes()))
    with pytest.raises(AsrtoolError) as error:
        list(read_lattices(tmp_path / "bad"))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_missing_archives(tmp_path):
    with pytest.raises(AsrtoolError, match=r"lat\.1\.gz: no such lattice archive"):
        list(read_lattices(tmp_path / "lat.1.gz"))
    with pytest.raises(AsrtoolError, match=r"no lat\.\*\.gz in it; decode first"):
        list(read_lattices(tmp_path))


@pytest.mark.parametrize("binary", [True, False])
def test_damaged_bytes_give_lattices_or_one_line(tmp_path, binary):
    random = np.random.default_rng(7)
    write_lattices(tmp_path / "good", [("u1", small_lattice()), ("u2", to_compact(small_lattice()))], binary)
    good = np.frombuffer((tmp_path / "good").read_bytes(), np.uint8)
    failures = 0
    for _ in range(600):
        data = good.copy()
        for _ in range(random.integers(1, 4)):
            data[random.integers(len(data))] = random.choice([random.integers(256), 0, 255, 127, ord("\n"), ord("9")])
        data = data[: random.integers(1, len(data) + 1)] if random.random() < 0.2 else data
        (tmp_path / "bad").write_bytes(data.tobytes())
        try:
            for _, lattice in read_lattices(tmp_path / "bad"):
                assert not lattice.num_arcs or (lattice.arc_start < lattice.arc_end).all()
                best_path(lattice)
        except AsrtoolError as error:
            assert str(error).startswith(str(tmp_path / "bad")) and "\n" not in str(error)
            failures += 1
    assert failures > 200
