"""Lattices that Kaldi wrote, read and written again."""

import gzip

import numpy as np
import pytest

from asrtool.lattice.archive import read_lattices, write_lattices
from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.lattice import Lattice, best_path


@pytest.fixture(scope="module")
def folder(kaldi_reference):
    return kaldi_reference / "lattice"


def unpacked(path):
    return gzip.decompress(path.read_bytes())


def test_state_level_text_is_kaldis(folder, tmp_path):
    lattices = list(read_lattices(folder / "raw_lat.gz"))
    assert len(lattices) == 12 and all(type(lattice) is Lattice for _, lattice in lattices)
    write_lattices(tmp_path / "raw.txt.gz", lattices, binary=False)
    assert unpacked(tmp_path / "raw.txt.gz") == unpacked(folder / "raw_lat.text.gz")
    for (name, from_binary), (other, from_text) in zip(lattices[::4], list(read_lattices(folder / "raw_lat.text.gz"))[::4]):
        assert name == other
        for attribute in ("state_frame", "arc_start", "arc_end", "arc_transition_id", "arc_word"):
            assert np.array_equal(getattr(from_binary, attribute), getattr(from_text, attribute)), (name, attribute)
        assert np.allclose(from_binary.arc_acoustic_cost, from_text.arc_acoustic_cost, rtol=1e-5)


def lines(path):
    """Kaldi's text lattices without the numbers of states: utterance -> sorted arcs and final weights."""
    blocks = unpacked(path).decode().split("\n\n")[:-1]
    return {
        name.strip(): sorted("\t".join(line.split("\t")[2:] if line.count("\t") > 1 else line.split("\t")[1:]) for line in rows)
        for name, *rows in (block.split("\n") for block in blocks)
    }


def test_compact_lattices_are_kaldis_but_for_the_order_of_states(folder, tmp_path):
    lattices = list(read_lattices(folder / "compact_lat.gz"))
    assert all(type(lattice) is CompactLattice for _, lattice in lattices)
    write_lattices(tmp_path / "compact.gz", lattices, binary=False)
    assert lines(tmp_path / "compact.gz") == lines(folder / "compact_lat.text.gz")
    write_lattices(tmp_path / "binary.gz", lattices)
    for reread in (tmp_path / "binary.gz", tmp_path / "compact.gz", folder / "compact_lat.text.gz"):
        for (name, before), (_, after) in zip(lattices, read_lattices(reread), strict=True):
            assert np.array_equal(before.arc_end, after.arc_end) and np.array_equal(before.arc_word, after.arc_word), name
            assert np.array_equal(before.transition_id, after.transition_id)
            assert np.array_equal(before.final_tid_begin, after.final_tid_begin)
            assert np.allclose(before.arc_acoustic_cost, after.arc_acoustic_cost, rtol=1e-5)
    first = dict(lattices)["1447-014470060"]  # in order as Kaldi wrote it: the same bytes
    write_lattices(tmp_path / "first", [("1447-014470060", first)])
    assert unpacked(folder / "compact_lat.gz").startswith((tmp_path / "first").read_bytes())


@pytest.mark.parametrize("name", ["raw_lat.gz", "compact_lat.gz"])
def test_best_paths_are_kaldis(folder, name):
    words, alignments = (
        {line.split()[0]: list(map(int, line.split()[1:])) for line in (folder / file).read_text().splitlines()}
        for file in ("best_words.int", "best_ali.txt")
    )
    for utterance, lattice in read_lattices(folder / name):
        path = best_path(lattice, acoustic_scale=0.083333)
        assert list(path.words) == words[utterance] and list(path.transition_ids) == alignments[utterance], utterance
