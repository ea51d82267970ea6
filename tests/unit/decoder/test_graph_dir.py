"""Graphs kept packed beside HCLG.fst; damage to any of the files."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from asrtool.decoder.beam_search import BeamSearchDecoder, BeamSearchOptions
from asrtool.decoder.graph_dir import load_graph
from asrtool.decoder.packed_graph import pack_graph
from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph
from asrtool.io.symbols import SymbolTable

MODEL = SimpleNamespace(tid_to_pdf=np.array([-1, 0, 0, 1, 1, 2, 3, 3, 4, 5], np.int32), num_pdfs=6)
FIELDS = ("states", "arcs", "ilabel", "olabel", "final_cost")


@pytest.fixture
def graph_dir(slow, tmp_path):
    graph = slow.random_graph(np.random.default_rng(0), num_states=30, num_arcs=90)
    graph.write_fst_file(tmp_path / "HCLG.fst")
    SymbolTable.from_symbols(["<eps>", *"abcde"]).write(tmp_path / "words.txt")
    return tmp_path


def packed_dir(graph_dir):
    (folder,) = graph_dir.glob("packed-*")
    return folder


def same(a, b):
    return (a.start, a.num_pdfs) == (b.start, b.num_pdfs) and all(np.array_equal(getattr(a, f), getattr(b, f)) for f in FIELDS)


def test_the_packed_graph_is_kept_and_mapped(graph_dir, monkeypatch):
    first, words = load_graph(graph_dir, MODEL)
    assert len(words) == 6 and isinstance(first.arcs.base, np.memmap)
    monkeypatch.setattr("asrtool.decoder.graph_dir.pack_graph", None)  # not called again
    assert same(load_graph(graph_dir, MODEL)[0], first)


def test_another_model_and_another_graph_are_packed_anew(graph_dir, slow):
    first, _ = load_graph(graph_dir, MODEL)
    other = SimpleNamespace(tid_to_pdf=np.arange(-1, 9, dtype=np.int32), num_pdfs=9)
    assert load_graph(graph_dir, other)[0].num_pdfs == 9 and len(list(graph_dir.glob("packed-*"))) == 2
    slow.random_graph(np.random.default_rng(1), num_states=31, num_arcs=90).write_fst_file(graph_dir / "HCLG.fst")
    again, _ = load_graph(graph_dir, MODEL)
    assert len(again.states) == 31 and len(first.states) == 30


def test_a_folder_that_cannot_be_written_to(graph_dir, monkeypatch):
    def refuse(*args):
        raise PermissionError

    monkeypatch.setattr("asrtool.decoder.graph_dir.os.replace", refuse)
    packed, _ = load_graph(graph_dir, MODEL)
    assert len(packed.states) == 30 and not list(graph_dir.glob("*packed-*"))


def test_damaged_packed_graphs_are_made_again(graph_dir):
    load_graph(graph_dir, MODEL)
    expected = pack_graph(CsrGraph.from_fst_file(graph_dir / "HCLG.fst"), MODEL.tid_to_pdf)
    files = sorted(path.name for path in packed_dir(graph_dir).iterdir())
    random = np.random.default_rng(0)
    for number in range(60):
        path = packed_dir(graph_dir) / files[number % len(files)]
        data = bytearray(path.read_bytes())
        if number % 3 == 0:
            data = data[: random.integers(len(data))]
        else:
            data[random.integers(len(data))] ^= 1 << random.integers(8)
        path.write_bytes(data)
        assert same(load_graph(graph_dir, MODEL)[0], expected), path.name


def test_damaged_fst_files_give_an_error_or_a_graph_that_can_be_searched(graph_dir):
    data = (graph_dir / "HCLG.fst").read_bytes()
    random = np.random.default_rng(1)
    loglikes = random.normal(-2, 2, (8, 6)).astype(np.float32)
    errors = 0
    for number in range(120):
        damaged = bytearray(data)
        for _ in range(1 + number % 4):
            damaged[random.integers(len(data))] = random.integers(256)
        if number % 10 == 0:
            damaged = damaged[: random.integers(len(data))]
        try:
            decoder = BeamSearchDecoder(
                CsrGraph.from_fst_bytes(bytes(damaged)), MODEL.tid_to_pdf, BeamSearchOptions(8, 3, 100, 2, 0.7)
            )
            lattice, result = decoder.decode_lattice(loglikes), decoder.decode(loglikes)
            assert lattice.num_frames == 8 and len(result.transition_ids) == 8
        except AsrtoolError as error:
            assert "\n" not in str(error)
            errors += 1
    assert 30 < errors < 120


def test_words_that_are_missing_and_files_that_are_missing(graph_dir):
    SymbolTable.from_symbols(["<eps>", "a"]).write(graph_dir / "words.txt")
    with pytest.raises(AsrtoolError, match=r"words\.txt: no word 5"):
        load_graph(graph_dir, MODEL)
    shutil.copy(graph_dir / "HCLG.fst", graph_dir / "num_pdfs")
    (graph_dir / "num_pdfs").write_text("7\n")
    with pytest.raises(AsrtoolError, match="the graph is for 7 pdfs, the model has 6"):
        load_graph(graph_dir, MODEL)
    (graph_dir / "num_pdfs").unlink()
    (graph_dir / "HCLG.fst").unlink()
    with pytest.raises(AsrtoolError, match=r"HCLG\.fst: no such file"):
        load_graph(graph_dir, MODEL)


def change(name, value):
    def apply(graph):
        array = getattr(graph, name).copy()
        array[len(array) // 2] = value
        setattr(graph, name, array)

    return apply


@pytest.mark.parametrize(
    "damage, message",
    [
        (change("arc_nextstate", 99), "arcs to states that do not exist"),
        (change("arc_nextstate", -1), "arcs to states that do not exist"),
        (change("arc_ilabel", 10), "belongs to another model"),
        (change("arc_olabel", -5), "words below 0"),
        (change("arc_cost", np.nan), "arcs with a NaN"),
        (change("arc_cost", -np.inf), "arcs with a NaN or minus infinite cost"),
        (change("final_cost", np.nan), "final states with a NaN"),
        (change("arc_begin", 1000), "do not account for its arcs"),
        (lambda graph: setattr(graph, "arc_begin", graph.arc_begin[:-1]), "differ in length"),
        (lambda graph: setattr(graph, "start", 12), "no start state"),
    ],
)
def test_graphs_with_impossible_values(slow, damage, message):
    graph = slow.random_graph(np.random.default_rng(0))
    damage(graph)
    with pytest.raises(AsrtoolError, match=message):
        BeamSearchDecoder(graph, MODEL.tid_to_pdf)


def test_graphs_without_final_states_or_arcs():
    none_final = CsrGraph.from_arcs(0, [0], [1], [2], [0], [0.5], [np.inf])
    result = BeamSearchDecoder(none_final, MODEL.tid_to_pdf).decode(np.zeros((3, 6), np.float32))
    assert not result.reached_final and list(result.words) == [2, 2, 2]
    lonely = BeamSearchDecoder(CsrGraph.from_arcs(0, [], [], [], [], [], [0.25]), MODEL.tid_to_pdf)
    assert lonely.decode(np.zeros((0, 6), np.float32)).graph_cost == 0.25
    with pytest.raises(AsrtoolError, match="no path survives frame 0"):
        lonely.decode(np.zeros((1, 6), np.float32))
