"""CsrGraph against OpenFst (through kaldifst) and Kaldi's own files, and on damaged ones."""

import gzip

import kaldifst
import numpy as np
import pytest

from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph


def random_graph(seed=0, num_states=50, num_arcs=200) -> CsrGraph:
    rng = np.random.default_rng(seed)
    final = np.where(rng.random(num_states) < 0.3, rng.random(num_states), np.inf)
    labels = rng.integers(0, 9, size=(2, num_arcs))
    ends = rng.integers(0, num_states, size=(2, num_arcs))
    return CsrGraph.from_arcs(3, ends[0], labels[0], labels[1], ends[1], rng.random(num_arcs), final)


def assert_equal(one: CsrGraph, two: CsrGraph) -> None:
    assert one.start == two.start
    for name in ("arc_begin", "arc_ilabel", "arc_olabel", "arc_nextstate", "arc_cost", "final_cost"):
        first, second = getattr(one, name), getattr(two, name)
        assert first.dtype == second.dtype, name
        np.testing.assert_array_equal(first, second, err_msg=name)


@pytest.mark.parametrize("fst_type", ["const", "vector"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_round_trip(tmp_path, fst_type, suffix):
    graph = random_graph()
    graph.write_fst_file(tmp_path / f"x.fst{suffix}", fst_type)
    assert_equal(CsrGraph.from_fst_file(tmp_path / f"x.fst{suffix}"), graph)


@pytest.mark.parametrize("fst_type, cls", [("const", kaldifst.StdConstFst), ("vector", kaldifst.StdVectorFst)])
def test_openfst_reads_it(tmp_path, fst_type, cls):
    graph = random_graph(1)
    graph.write_fst_file(tmp_path / "x.fst", fst_type)
    fst = cls.read(str(tmp_path / "x.fst"))
    assert fst.start == graph.start
    rows = [
        (s, a.ilabel, a.olabel, a.nextstate, a.weight.value)
        for s in range(graph.num_states)
        for a in kaldifst.ArcIterator(fst, s)
    ]
    expected = zip(graph.arc_source, graph.arc_ilabel, graph.arc_olabel, graph.arc_nextstate, graph.arc_cost)
    assert rows == [tuple(value.item() for value in row) for row in expected]
    assert [fst.final(s).value for s in range(graph.num_states)] == graph.final_cost.tolist()
    fst.write(str(tmp_path / "y.fst"))
    assert_equal(CsrGraph.from_fst_file(tmp_path / "y.fst"), graph)


def test_kaldis_files(kaldi_reference, tmp_path):
    lexicon = CsrGraph.from_fst_file(kaldi_reference / "lang" / "L.fst")
    fst = kaldifst.StdVectorFst.read(str(kaldi_reference / "lang" / "L.fst"))
    assert (lexicon.num_states, lexicon.num_arcs) == (10458, sum(fst.num_arcs(s) for s in range(fst.num_states)))
    lexicon.write_fst_file(tmp_path / "L.fst", "vector")
    ours, kaldis = (tmp_path / "L.fst").read_bytes(), (kaldi_reference / "lang" / "L.fst").read_bytes()
    assert len(ours) == len(kaldis)
    assert ours[66:] == kaldis[66:]  # all but the header, whose property bits we leave unknown
    graph = CsrGraph.from_fst_file(kaldi_reference / "lattice" / "HCLG.fst.gz")
    data = gzip.decompress((kaldi_reference / "lattice" / "HCLG.fst.gz").read_bytes())
    assert graph.to_fst_bytes("const")[66:] == data[66:]


def test_save_and_load(tmp_path):
    graph = random_graph(2)
    graph.save(tmp_path / "graph.csr")
    graph.save(tmp_path / "graph.csr")
    loaded = CsrGraph.load(tmp_path / "graph.csr")
    assert_equal(loaded, graph)
    assert not loaded.arc_cost.flags.writeable
    assert [path.name for path in tmp_path.iterdir()] == ["graph.csr"]


def test_empty_fst(tmp_path):
    kaldifst.StdVectorFst().write(str(tmp_path / "empty.fst"))
    graph = CsrGraph.from_fst_file(tmp_path / "empty.fst")
    assert (graph.start, graph.num_states, graph.num_arcs) == (-1, 0, 0)


def damaged(data: bytes, what: str) -> bytes:
    return {
        "cut arcs": data[:-5],
        "cut header": data[:20],
        "text": b"0 1 2 3 0.5\n1\n",
        "empty": b"",
        "log arcs": data.replace(b"standard", b"logarcs8"),
        "olabel_lookahead": data.replace(b"const\x08", b"compa\x08").replace(b"vector\x08", b"compac\x08"),
        "bad arc": data[:-4] + b"\xff\xff\xff\x7f",
    }[what]


@pytest.mark.parametrize("fst_type", ["const", "vector"])
@pytest.mark.parametrize(
    "what, message",
    [
        ("cut arcs", "truncated"),
        ("cut header", "not a binary OpenFst file, or truncated"),
        ("text", "not a binary OpenFst file"),
        ("empty", "not a binary OpenFst file"),
        ("log arcs", "arcs of type 'logarcs8'"),
        ("olabel_lookahead", "an FST of type"),
        ("bad arc", "a state that does not exist"),
    ],
)
def test_damaged_files(tmp_path, fst_type, what, message):
    graph = CsrGraph.from_arcs(0, [0, 1], [1, 2], [1, 2], [1, 2], [0.5, 0.25], [np.inf, np.inf, 0])
    data = graph.to_fst_bytes(fst_type)
    if what == "bad arc" and fst_type == "vector":
        data = data[:-16] + b"\xff\xff\xff\x7f" + data[-12:]  # the last arc ends where the last state begins
    else:
        data = damaged(data, what)
    (tmp_path / "x.fst").write_bytes(data)
    with pytest.raises(AsrtoolError, match=message) as caught:
        CsrGraph.from_fst_file(tmp_path / "x.fst")
    assert "x.fst" in str(caught.value) and "\n" not in str(caught.value)


def test_missing_files(tmp_path):
    with pytest.raises(AsrtoolError, match="no such file"):
        CsrGraph.from_fst_file(tmp_path / "none.fst")
    with pytest.raises(AsrtoolError, match="make the graph again"):
        CsrGraph.load(tmp_path / "graph.csr")
