"""Lattices on disk and their best paths by hand."""

import dataclasses

import numpy as np
import pytest

from asrtool.errors import AsrtoolError
from asrtool.lattice.archive import read_lattices, write_lattices
from asrtool.lattice.lattice import Lattice, best_path


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


def test_best_path_by_hand():
    lattice = small_lattice()
    path = best_path(lattice, acoustic_scale=0.1)  # 1.75 + 4.0 against 3.75 + 3.0
    assert list(path.words) == [5] and list(path.transition_ids) == [1, 2]
    assert (path.graph_cost, path.acoustic_cost) == (1.75, 40)
    path = best_path(lattice, acoustic_scale=1.0)
    assert list(path.words) == [70000, 6] and (path.graph_cost, path.acoustic_cost) == (3.75, 30)
    assert list(best_path(lattice, acoustic_scale=0.25, word_insertion_penalty=1).words) == [5]
    assert list(best_path(lattice, acoustic_scale=0.25, word_insertion_penalty=-1).words) == [70000, 6]
    assert list(best_path(lattice, acoustic_scale=0.1, lm_scale=0.1).words) == [70000, 6]


def test_no_final_state_is_no_path():
    lattice = small_lattice()
    lattice.final_cost[:] = np.inf
    assert best_path(lattice) is None


def test_archive_round_trip_same_bytes(tmp_path):
    pairs = [("s1-u1", small_lattice()), ("语音/2", dataclasses.replace(small_lattice(), reached_final=False))]
    for name in ("a.zip", "b.zip"):
        write_lattices(tmp_path / name, pairs)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    read = list(read_lattices(tmp_path / "a.zip"))
    assert [name for name, _ in read] == ["s1-u1", "语音/2"]
    for (_, before), (_, after) in zip(pairs, read):
        for field in dataclasses.fields(Lattice):
            a, b = getattr(before, field.name), getattr(after, field.name)
            assert np.array_equal(a, b) and type(a) is type(b), field.name
            assert not isinstance(a, np.ndarray) or a.dtype == b.dtype


def test_an_interrupted_writer_leaves_nothing(tmp_path):
    def pairs():
        yield "u1", small_lattice()
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        write_lattices(tmp_path / "lat.1.zip", pairs())
    assert list(tmp_path.iterdir()) == []


def test_bad_archives(tmp_path):
    with pytest.raises(AsrtoolError, match=r"lat\.1\.zip: no such lattice archive"):
        list(read_lattices(tmp_path / "lat.1.zip"))
    (tmp_path / "text.zip").write_text("not a zip")
    with pytest.raises(AsrtoolError, match="not a lattice archive, or damaged"):
        list(read_lattices(tmp_path / "text.zip"))
    write_lattices(tmp_path / "lat.zip", [("u1", small_lattice())])
    data = bytearray((tmp_path / "lat.zip").read_bytes())
    data[200] ^= 0xFF
    (tmp_path / "lat.zip").write_bytes(data)
    with pytest.raises(AsrtoolError, match="damaged"):
        list(read_lattices(tmp_path / "lat.zip"))
