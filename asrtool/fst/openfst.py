"""The OpenFst operations of graph building, by kaldifst: each takes and gives kaldifst FSTs, in place where it says so.

Arrays go to and fro as binary files in a scratch directory (kaldifst has no other bulk interface).
"""

import tempfile
from pathlib import Path

import kaldifst

from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph

Fst = kaldifst.StdVectorFst


def read(path: str | Path) -> Fst:
    """A vector FST from a file, which is checked first: OpenFst only prints what it dislikes, and trusts what arcs lead to."""
    CsrGraph.from_fst_file(path)
    return _read(path)


def _read(path: str | Path) -> Fst:
    fst = kaldifst.StdVectorFst.read(str(path))
    if fst is None:
        raise AsrtoolError(f"{path}: OpenFst cannot read it: truncated, or not a vector FST; make the file again")
    return fst


def to_openfst(graph: CsrGraph, scratch: str | Path | None = None) -> Fst:
    """Arrays -> kaldifst, through a file under `scratch`."""
    with tempfile.TemporaryDirectory(dir=scratch) as directory:
        path = Path(directory) / "graph.fst"
        graph.write_fst_file(path, "vector")
        return _read(path)


def from_openfst(fst: Fst, scratch: str | Path | None = None) -> CsrGraph:
    """kaldifst -> arrays, through a file under `scratch`; `fst` is empty afterwards, lest both be in memory at once."""
    with tempfile.TemporaryDirectory(dir=scratch) as directory:
        path = Path(directory) / "graph.fst"
        if not fst.write(str(path)):
            raise AsrtoolError(f"{directory}: cannot write: is the disk full?")
        fst.delete_states()
        return CsrGraph.from_fst_file(path)


def compose(left: Fst, right: Fst) -> Fst:
    """left o right, trimmed; sorts left by output label in place."""
    kaldifst.arcsort(left, "olabel")
    return kaldifst.compose(left, right)


def determinize(fst: Fst, what: str) -> None:
    """Epsilon removal and determinization in the log semiring, in place (fstdeterminizestar --use-log)."""
    if kaldifst.determinize_star(fst, use_log=True):
        raise AsrtoolError(
            f"{what}: cannot be determinized: two words share their phones and no disambiguation symbol tells them apart"
        )
