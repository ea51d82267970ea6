"""Lattices made beforehand: the copy that can be read in any order, and that they give what fresh ones give."""

import os
import threading

import numpy as np
import pytest
from random_lattices import all_paths, random_compact, random_lattice

from asrtool.errors import AsrtoolError
from asrtool.lattice.archive import write_lattices
from asrtool.lattice.convert import to_lattice
from asrtool.nnet.forward import scaled_loglikes
from asrtool.sequence.denominators import has_numerator
from asrtool.sequence.failures import UtteranceError
from asrtool.sequence.outer_source import dense_gradient
from asrtool.sequence.stored_lattices import FOLDER, StoredLattices

ARRAYS = ("state_frame", "arc_start", "arc_end", "arc_transition_id", "arc_word", "arc_graph_cost", "final_cost")


@pytest.fixture
def denlats(tmp_path):
    """Seven lattices in three archives."""
    lattices = {f"u{seed}": random_lattice(seed) for seed in range(7)}
    lattices = {name: lattice for name, lattice in lattices.items() if all_paths(lattice)}
    names = list(lattices)
    for number in range(3):
        write_lattices(tmp_path / f"lat.{number + 1}.gz", [(name, lattices[name]) for name in names[number::3]])
    return tmp_path, lattices


def frames(lattice):
    return np.zeros((lattice.num_frames, 1), np.float32)


def graph_paths(lattice):
    return sorted((path.words, path.transition_ids, round(path.graph, 4)) for path in all_paths(lattice))


def test_lattices_come_back_in_any_order(denlats):
    directory, lattices = denlats
    stored = StoredLattices(directory)
    assert len(stored) == len(lattices) > 4 and "u99" not in stored
    for name in [*reversed(list(lattices)), *lattices]:
        found = stored(name, frames(lattices[name]))
        assert graph_paths(found) == graph_paths(lattices[name])
        assert not found.arc_acoustic_cost.any() and found.num_frames == lattices[name].num_frames
        for array in ARRAYS:
            assert getattr(found, array).dtype == getattr(lattices[name], array).dtype, array
    stored.close()
    stored.close()


def test_what_is_wrong_with_one_utterance(denlats):
    directory, lattices = denlats
    stored, name = StoredLattices(directory), next(iter(lattices))
    with pytest.raises(UtteranceError, match=r"no lattice of it") as caught:
        stored("u99", np.zeros((4, 1)))
    assert caught.value.kind == "lattice"
    with pytest.raises(UtteranceError, match="a lattice of 4 frames, the features have 9"):
        stored(name, np.zeros((9, 1)))
    stored.close()
    offset, size = stored._places[name]
    file = directory / FOLDER / "lattices.bin"
    data = bytearray(file.read_bytes())
    data[offset + size // 2] ^= 0xFF
    file.write_bytes(data)
    stored = StoredLattices(directory)
    with pytest.raises(UtteranceError, match="damaged; remove the folder"):
        stored(name, frames(lattices[name]))
    other = list(lattices)[1]
    assert graph_paths(stored(other, frames(lattices[other]))) == graph_paths(lattices[other])
    stored.close()


def test_the_copy_is_made_once_and_again_when_the_lattices_change(denlats, monkeypatch):
    directory, lattices = denlats
    StoredLattices(directory).close()
    before = (directory / FOLDER / "lattices.bin").stat().st_mtime_ns
    StoredLattices(directory).close()
    assert (directory / FOLDER / "lattices.bin").stat().st_mtime_ns == before
    (directory / FOLDER / "index").write_text("{}\n")  # of an interrupted copy
    StoredLattices(directory).close()
    names = list(lattices)
    write_lattices(directory / "lat.3.gz", [("new", lattices[names[0]])])
    os.utime(directory / "lat.3.gz", ns=(1, before + 10**9))
    stored = StoredLattices(directory)
    assert "new" in stored and names[2] not in stored
    stored.close()


def test_several_may_ask_at_once(denlats, monkeypatch):
    directory, lattices = denlats
    found, made = [], []
    from asrtool.sequence import stored_lattices

    make = stored_lattices._make_copy
    monkeypatch.setattr(stored_lattices, "_make_copy", lambda *args: (made.append(1), make(*args)))

    def ask():
        stored = StoredLattices(directory)
        found.append({name: graph_paths(stored(name, frames(lattice))) for name, lattice in lattices.items()})
        stored.close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and len(made) == 1
    assert all(one == {name: graph_paths(lattice) for name, lattice in lattices.items()} for one in found)


def test_determinised_ones_are_taken_with_a_warning(tmp_path, capsys):
    compact = random_compact(3)
    write_lattices(tmp_path / "lat.1.gz", [("u", compact)])
    stored = StoredLattices(tmp_path, tmp_path / "elsewhere")
    assert graph_paths(stored("u", frames(compact))) == graph_paths(to_lattice(compact))
    assert "1 lattices are determinised" in capsys.readouterr().err
    stored.close()


def test_directories_that_are_of_no_use(tmp_path):
    with pytest.raises(AsrtoolError, match=r"no lat\.\*\.gz"):
        StoredLattices(tmp_path)
    lattice = to_lattice(random_compact(1))
    write_lattices(tmp_path / "lat.1.gz", [("u", lattice), ("u", lattice)])
    with pytest.raises(AsrtoolError, match="u: two lattices of it"):
        StoredLattices(tmp_path)
    assert not (tmp_path / FOLDER / "lattices.bin").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(AsrtoolError, match="copied there"):
        StoredLattices(tmp_path, tmp_path / "file" / "folder")


@pytest.mark.parametrize("criterion", ["smbr", "mmi"])
def test_stored_lattices_give_what_fresh_ones_give(speech_toy, make_module, tmp_path, criterion):
    """With the parameters that they were made with."""
    fresh = make_module(criterion)
    names, lattices = speech_toy.names[:8], []
    for name in names:
        (scores,) = scaled_loglikes(fresh.bundle, [fresh.bundle.normalise(fresh.pipeline(name))], [0])
        lattices.append((name, fresh.denominators(name, scores)))
    write_lattices(tmp_path / "lat.1.gz", lattices)
    stored = make_module(criterion, {"denlats_dir": tmp_path, "graph_dir": None})
    assert isinstance(stored.denominators, StoredLattices)
    requests = [(name, 0) for name in names]
    for one, other in zip(fresh.outer_gradients(requests), stored.outer_gradients([*requests, (speech_toy.names[9], 0)])):
        np.testing.assert_allclose(one.outer.objective, other.outer.objective, rtol=1e-5, atol=1e-4)
        num_pdfs = speech_toy.model.num_pdfs
        dense = dense_gradient(one.outer.gradient, num_pdfs), dense_gradient(other.outer.gradient, num_pdfs)
        np.testing.assert_allclose(*dense, atol=2e-5)
        assert (one.depth, one.numerator_missing) == (other.depth, other.numerator_missing)
    missing = stored.outer_gradients([(speech_toy.names[9], 0)])[0]
    assert missing.reason == "lattice" and "no lattice of it" in missing.message
    adding = make_module("mmi", {"denlats_dir": tmp_path}, missing_numerator="add")
    result = adding.outer_gradients(requests[:1])[0]
    assert result.outer.numerator_in_lattice
    lattice = adding.denominators(names[0], np.zeros((result.num_frames, 1)))
    assert result.numerator_missing != has_numerator(lattice, adding.tables.tid_to_pdf, speech_toy.alignments[names[0]])
    stored.close()
    adding.close()
