"""The directory that utils/mkgraph.sh makes, as the decoder needs it."""

from pathlib import Path

from asrtool.decoder.packed_graph import PackedGraph, pack_graph
from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.symbols import SymbolTable


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
    arrays, fst = graph_dir / "graph.csr", graph_dir / "HCLG.fst"
    if not fst.is_file():
        raise AsrtoolError(f"{fst}: no such file; make the graph with utils/mkgraph.sh")
    # graph.csr is written before HCLG.fst and maps into memory at once; an older one belongs to another HCLG.fst
    fresh = arrays.is_dir() and abs(arrays.stat().st_mtime - fst.stat().st_mtime) < 600
    graph = CsrGraph.load(arrays) if fresh else CsrGraph.from_fst_file(fst)
    try:
        packed = pack_graph(graph, transition_model.tid_to_pdf)
    except AsrtoolError as error:
        raise AsrtoolError(f"{fst}: {error}") from None
    if len(packed.olabel) and packed.olabel.max() not in words.id_to_symbol:
        raise AsrtoolError(f"{graph_dir}/words.txt: no word {packed.olabel.max()}, which is in HCLG.fst; make the graph again")
    return packed, words
