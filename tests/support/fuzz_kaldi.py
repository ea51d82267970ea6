"""What Kaldi reads and writes, small, to be damaged: tables, models, trees, graphs, lattices, posteriors, networks."""

import gzip
import io
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from fuzz import Target
from random_lattices import random_compact, random_lattice

from asrtool.fst import openfst
from asrtool.fst.csr import CsrGraph
from asrtool.gmm.diag_gmm import AmDiagGmm
from asrtool.gmm.model import read_model, write_model
from asrtool.hmm.topology import HmmState, HmmTopology
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.alignment import read_alignments, write_alignments, write_text_ints
from asrtool.io.kaldi_binary import KaldiReader, KaldiWriter
from asrtool.io.kaldi_table import MatrixReader, MatrixWriter, read_matrix_file, read_vectors, write_matrix_file, write_vectors
from asrtool.lattice.archive import read_lattices, write_lattices
from asrtool.lattice.convert import to_compact, to_lattice
from asrtool.lattice.kaldi_fst import format_fst
from asrtool.lattice.kaldi_text import format_text
from asrtool.lattice.lattice import best_path
from asrtool.lattice.posterior_archive import read_posteriors, write_posteriors
from asrtool.lattice.posteriors import FramePosteriors
from asrtool.nnet.log_prior import read_counts
from asrtool.tree.context_dependency import ContextDependency, stub_map
from asrtool.tree.event_map import PDF_CLASS, ConstantEventMap, SplitEventMap, TableEventMap

_SCRATCH = tempfile.TemporaryDirectory()
RANDOM = np.random.default_rng(7)
PHONES = (1, 2, 3)
HMM = HmmTopology(
    [
        (HmmState(0, 0, ((0, 0.75), (1, 0.25))), HmmState(1, 1, ((1, 0.5), (2, 0.5))), HmmState()),
        (HmmState(0, 0, ((0, 0.5), (1, 0.25), (2, 0.25))), HmmState(1, 1, ((0, 0.25), (1, 0.5), (2, 0.25))), HmmState()),
    ],
    {1: 1, 2: 0, 3: 0},
)
CHAIN = HmmTopology([(HmmState(0, 1, ((0, 0.5), (1, 0.5))), HmmState())], dict.fromkeys(PHONES, 0))


def bytes_of(write: Callable[[Path], object], name: str = "seed") -> bytes:
    """What a function writes to the path that it is given."""
    path = Path(_SCRATCH.name) / name
    write(path)
    return path.read_bytes()


def written(binary: bool, write: Callable[[KaldiWriter], object]) -> bytes:
    def to_file(path: Path) -> None:
        with KaldiWriter.open(path, binary) as writer:
            write(writer)

    return bytes_of(to_file)


def small_tree() -> ContextDependency:
    """Three phones, two pdf classes, a question about the left neighbour."""
    stub, leaf = stub_map(1, [[1], [2], [3]], dict.fromkeys(PHONES, 2), [False] * 3)
    first = stub.children[2]
    split = SplitEventMap(0, (1, 3), ConstantEventMap(first.children[0].answer), ConstantEventMap(leaf))
    second = TableEventMap(PDF_CLASS, (split, first.children[1]))
    return ContextDependency(3, 1, TableEventMap(1, (None, stub.children[1], second, stub.children[3])))


def small_gmm(num_pdfs: int, dim: int = 3) -> AmDiagGmm:
    sizes = np.arange(num_pdfs) % 2 + 1
    begin = np.concatenate([[0], np.cumsum(sizes)])
    weights = np.repeat(1 / sizes, sizes)
    return AmDiagGmm.from_moments(begin, weights, *(RANDOM.random((begin[-1], dim)) + low for low in (-0.5, 0.5)))


def _matrices(compression: int | None, text: bool = False, dtype: type = np.float32) -> bytes:
    def write(path: Path) -> None:
        with MatrixWriter(path, None, compression, text) as writer:
            for name, shape in (("one-1", (9, 3)), ("two-2", (2, 4)), ("three", (0, 0))):
                writer.write(name, RANDOM.normal(size=shape).astype(dtype))

    return bytes_of(write)


def _read_matrices(path: Path) -> None:
    for _, matrix in MatrixReader(f"ark:{path}").items():
        assert matrix.dtype == np.float32 and matrix.ndim == 2
    table = MatrixReader(f"ark:{path}")
    assert [table[name].ndim for name in table] == [2] * len(table)


def _read_int_vector(path: Path) -> None:
    with KaldiReader.open(path) as reader:
        assert reader.read_int_vector().ndim == 1


def _read_topology(path: Path) -> None:
    topology = HmmTopology.read_file(path)
    assert [topology.states(phone) for phone in topology.phones] and topology.num_pdf_classes
    for binary in (False, True):
        written(binary, topology.write)


def use_transition_model(model: TransitionModel) -> None:
    for alignment in ([1, 1, 2], [2, 1, 6], list(range(1, model.num_transition_ids + 1))[:100]):
        if max(alignment) <= model.num_transition_ids:
            try:
                model.phone_segments(np.array(alignment))
            except Exception as error:  # these need not fit: only how they do not fit matters
                assert "alignment" in str(error)
    assert np.isfinite(model.scaled_costs()).all()
    written(True, model.write)


def _read_transition_model(path: Path) -> None:
    use_transition_model(TransitionModel.read_file(path))


def _read_tree(path: Path) -> None:
    tree = ContextDependency.read_file(path)
    windows = RANDOM.integers(0, 5, (20, tree.context_width + 1)) if tree.context_width < 100 else np.zeros((0, 2), int)
    assert tree.num_pdfs >= 0
    tree.flat.answers(windows)
    if tree.context_width < 4:
        tree.pdf_pairs(PHONES, 2, 0, 1)
    written(False, tree.write)


def _read_gmm(path: Path) -> None:
    transition_model, model = read_model(path)
    use_transition_model(transition_model)
    if model.dim < 1000:
        with np.errstate(all="ignore"):  # of numbers near the ends of float32
            model.loglikes(np.ones((2, model.dim), np.float32))
    written(True, model.write)


def _read_graph(path: Path) -> None:
    graph = CsrGraph.from_fst_file(path)
    assert len(graph.arc_source) == graph.num_arcs
    graph.to_fst_bytes("vector"), graph.to_fst_bytes("const")


def _read_openfst(path: Path) -> None:
    fst = openfst.read(path)
    openfst.from_openfst(openfst.compose(fst, fst))


def _read_lattices(path: Path) -> None:
    for _, lattice in read_lattices(path):
        with np.errstate(all="ignore"):
            best_path(lattice)
        for one in (lattice, to_compact(lattice), to_lattice(lattice)):
            format_fst(one), format_text(one)


def _read_posteriors(path: Path) -> None:
    for _, posteriors in read_posteriors(path):
        assert len(posteriors.frame) == len(posteriors.label) == len(posteriors.weight)


def _graph() -> CsrGraph:
    source = np.repeat(np.arange(6), 3)
    labels = RANDOM.integers(0, 5, (2, 18))
    final = np.where(np.arange(6) > 3, 0.5, np.inf)
    return CsrGraph.from_arcs(0, source, *labels, RANDOM.integers(0, 6, 18), RANDOM.random(18), final)


def _posteriors() -> list[tuple[str, FramePosteriors]]:
    one = FramePosteriors(np.array([0, 2, 2, 5]), np.array([1, 4, 2, 3, 9], np.int32), RANDOM.random(5).astype(np.float32))
    empty = FramePosteriors(np.array([0]), np.zeros(0, np.int32), np.zeros(0, np.float32))
    return [("one-1", one), ("two-2", empty), ("three", one)]


def _tables() -> list[Target]:
    ints = {"one-1": np.array([1, 2, 3, 3, 300]), "two-2": np.zeros(0, np.int32), "three": np.arange(9)}
    floats = {"one-1": RANDOM.random(4).astype(np.float32), "two-2": RANDOM.random(3), "three": np.zeros(0, np.float32)}
    matrix = RANDOM.random((3, 4))
    single = tuple(bytes_of(partial(write_matrix_file, matrix=matrix, binary=binary)) for binary in (True, False))
    counts = partial(KaldiWriter.write_float_vector, values=np.array([0.5, 3.5, 12, 7], np.float32))
    numbers = partial(KaldiWriter.write_int_vector, values=np.array([-2, 0, 1, 70000]))
    return [
        Target("matrices, binary", (_matrices(None), _matrices(None, dtype=np.float64)), _read_matrices),
        Target("matrices, text", (_matrices(None, text=True),), _read_matrices),
        Target("matrices, compressed", tuple(_matrices(method) for method in (2, 3, 5)), _read_matrices),
        Target("a matrix alone", single, read_matrix_file),
        Target("vectors, binary", (bytes_of(partial(write_vectors, vectors=floats)),), read_vectors),
        Target("vectors, text", (bytes_of(partial(write_vectors, vectors=floats, binary=False)),), read_vectors),
        Target("counts", (written(True, counts), written(False, counts)), partial(read_counts, num_pdfs=4)),
        Target("a vector of integers", (written(True, numbers), written(False, numbers)), _read_int_vector),
        Target("alignments, binary", (bytes_of(partial(write_alignments, alignments=ints)),), read_alignments),
        Target("alignments, text", (bytes_of(partial(write_text_ints, values=ints)),), read_alignments),
        Target("alignments, gzipped", (bytes_of(partial(write_alignments, alignments=ints), "ali.1.gz"),), read_alignments),
        Target("posteriors, binary", (bytes_of(partial(write_posteriors, items=_posteriors())),), _read_posteriors),
        Target("posteriors, text", (bytes_of(partial(write_posteriors, items=_posteriors(), text=True)),), _read_posteriors),
    ]


def _models() -> list[Target]:
    tree = small_tree()
    models = [TransitionModel.from_tree(tree, topology) for topology in (HMM, CHAIN)]
    gmm = small_gmm(tree.num_pdfs)
    files = tuple(bytes_of(lambda path: write_model(path, models[0], gmm, binary)) for binary in (True, False))  # noqa: B023
    result = []
    for number, kind in enumerate(("binary", "text")):
        binary = kind == "binary"
        topologies = tuple(written(binary, topology.write) for topology in (HMM, CHAIN))
        result += [
            Target(f"topology, {kind}", topologies, _read_topology),
            Target(f"transition model, {kind}", tuple(written(binary, model.write) for model in models), _read_transition_model),
            Target(f"tree, {kind}", (written(binary, tree.write),), _read_tree),
            Target(f"GMM model, {kind}", (files[number],), _read_gmm),
        ]
    return result


def _graphs() -> list[Target]:
    graph = _graph()
    lattices = [(f"utt-{seed}", random_lattice(seed)) for seed in (3, 5)]
    compact = [(f"utt-{seed}", random_compact(seed)) for seed in (3, 5)]
    result = [
        Target(f"FST, {kind}", (graph.to_fst_bytes(kind), gzip.compress(graph.to_fst_bytes(kind), mtime=0)), _read_graph)
        for kind in ("vector", "const")
    ]
    result.append(Target("FST, for OpenFst", (graph.to_fst_bytes("vector"),), _read_openfst))
    for kind in ("binary", "text"):
        for what, items in (("lattices", lattices), ("compact lattices", compact)):
            data = bytes_of(partial(write_lattices, items=items, binary=kind == "binary"))
            result.append(Target(f"{what}, {kind}", (data,), _read_lattices))
    return result


def npy_bytes(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def targets() -> list[Target]:
    return [*_tables(), *_models(), *_graphs()]
