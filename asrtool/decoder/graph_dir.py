"""The directory that utils/mkgraph.sh makes, as the decoder needs it.

The packed graph is kept beside HCLG.fst, in packed-<key>/ for each transition model, and mapped into memory, so that processes
that decode with the same graph share its pages. It is made again where HCLG.fst changed or the files are damaged.
"""

import hashlib
import json
import os
import shutil
import zlib
from pathlib import Path

import numpy as np

from asrtool.decoder.packed_graph import ARC, STATE, PackedGraph, pack_graph
from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.symbols import SymbolTable

_DTYPES = {"states": STATE, "arcs": ARC, "ilabel": np.dtype("i4"), "olabel": np.dtype("i4"), "final_cost": np.dtype("f4")}
_FORMAT = 2


def load_graph(graph_dir: str | Path, transition_model: TransitionModel) -> tuple[PackedGraph, SymbolTable]:
    """The graph, packed for a model, and its words.

    Raises:
        AsrtoolError: a file is missing or damaged, or the graph was made for another model.
    """
    graph_dir = Path(graph_dir)
    num_pdfs = graph_dir / "num_pdfs"
    if num_pdfs.is_file() and num_pdfs.read_text().split() != [str(transition_model.num_pdfs)]:
        raise AsrtoolError(
            f"{graph_dir}: the graph is for {num_pdfs.read_text().strip()} pdfs, the model has {transition_model.num_pdfs}: "
            "make the graph again with utils/mkgraph.sh"
        )
    words = SymbolTable.read(graph_dir / "words.txt")
    fst = graph_dir / "HCLG.fst"
    if not fst.is_file():
        raise AsrtoolError(f"{fst}: no such file; make the graph with utils/mkgraph.sh")
    tid_to_pdf = np.ascontiguousarray(transition_model.tid_to_pdf, dtype=np.int32)
    cache = graph_dir / f"packed-{hashlib.sha256(tid_to_pdf.tobytes()).hexdigest()[:12]}"
    packed = read_packed(cache, fst)
    if packed is None:
        packed = _pack(graph_dir, fst, tid_to_pdf)
        write_packed(cache, packed, fst)
        packed = read_packed(cache, fst) or packed  # the mapped one, whose pages are shared
    largest = int(packed.olabel.max(initial=0))
    if largest and largest not in words.id_to_symbol:
        raise AsrtoolError(f"{graph_dir}/words.txt: no word {largest}, which is in HCLG.fst; make the graph again")
    return packed, words


def _pack(graph_dir: Path, fst: Path, tid_to_pdf: np.ndarray) -> PackedGraph:
    arrays = graph_dir / "graph.csr"
    # graph.csr is written before HCLG.fst and maps into memory at once; an older one belongs to another HCLG.fst
    fresh = arrays.is_dir() and abs(arrays.stat().st_mtime - fst.stat().st_mtime) < 600
    graph = CsrGraph.load(arrays) if fresh else CsrGraph.from_fst_file(fst)
    try:
        return pack_graph(graph, tid_to_pdf)
    except AsrtoolError as error:
        raise AsrtoolError(f"{fst}: {error}") from None


def write_packed(directory: Path, graph: PackedGraph, fst: Path) -> None:
    """Keeps a packed graph, whole or not at all; nothing happens where the folder cannot be written to."""
    temporary = directory.with_name(f".{directory.name}.tmp{os.getpid()}")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        arrays = {name: np.ascontiguousarray(getattr(graph, name)) for name in _DTYPES}
        for name, array in arrays.items():
            array.tofile(temporary / f"{name}.bin")
        about = {name: [len(array), zlib.crc32(array.view(np.uint8))] for name, array in arrays.items()}
        about |= {"format": _FORMAT, "start": graph.start, "num_pdfs": graph.num_pdfs, "fst": _stamp(fst)}
        about["check"] = _check(about)
        (temporary / "graph.json").write_text(json.dumps(about) + "\n")
        shutil.rmtree(directory, ignore_errors=True)
        os.replace(temporary, directory)
    except OSError:
        return  # read-only, full, or another process was faster: the graph in memory serves as well
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_packed(directory: Path, fst: Path) -> PackedGraph | None:
    """Maps what `write_packed` kept; None where it is absent, of another HCLG.fst, or damaged (checksums are compared)."""
    try:
        about = json.loads((directory / "graph.json").read_text(encoding="utf-8"))
        if about["format"] != _FORMAT or about["fst"] != _stamp(fst) or about.pop("check") != _check(about):
            return None
        arrays = {}
        for name, dtype in _DTYPES.items():
            path = directory / f"{name}.bin"
            if path.stat().st_size != about[name][0] * dtype.itemsize:
                return None
            # copy-on-write, never written: the kernels take read-only arrays for another type and would be compiled twice
            array = np.asarray(np.memmap(path, dtype, "c")) if about[name][0] else np.empty(0, dtype)
            if zlib.crc32(array.view(np.uint8)) != about[name][1]:
                return None
            arrays[name] = array
        return PackedGraph(start=int(about["start"]), num_pdfs=int(about["num_pdfs"]), **arrays)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _check(about: dict) -> int:
    return zlib.crc32(json.dumps(about, sort_keys=True).encode())


def _stamp(path: Path) -> list[int]:
    return [path.stat().st_size, path.stat().st_mtime_ns]
