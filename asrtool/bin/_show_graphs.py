"""What `asrtool show` prints of topologies, trees, graphs and networks."""

from collections.abc import Iterator

from asrtool.arguments import boolean
from asrtool.bin._show_display import PHONES, Display, argument, as_text
from asrtool.io.symbols import SymbolTable


def _topology(args) -> Iterator[str]:
    from asrtool.hmm.topology import HmmTopology

    return as_text(HmmTopology.read_file(args.topo))


def _tree(path):
    from asrtool.tree.context_dependency import ContextDependency

    return ContextDependency.read_file(path)


def _tree_info(args) -> Iterator[str]:
    tree = _tree(args.tree)
    yield f"num-pdfs {tree.num_pdfs}"
    yield f"context-width {tree.context_width}"
    yield f"central-position {tree.central_position}"


def _drawing(args) -> Iterator[str]:
    from asrtool.report.show_tree import parse_query, tree_drawing

    tree, phones = _tree(args.tree), SymbolTable.read(args.phones)
    return tree_drawing(tree, phones, parse_query(args.query, tree, phones) if args.query else None, args.use_tooltips)


def _graph(args) -> Iterator[str]:
    from asrtool.fst.csr import CsrGraph
    from asrtool.report.show_graph import graph_lines

    return graph_lines(CsrGraph.from_fst_file(args.fst))


def _arcs(args) -> Iterator[str]:
    from asrtool.fst.csr import CsrGraph
    from asrtool.report.show_graph import arc_lines

    tables = (SymbolTable.read(path) if path else None for path in (args.isymbols, args.osymbols))
    return arc_lines(CsrGraph.from_fst_file(args.fst), *tables)


def _network(args) -> Iterator[str]:
    from asrtool.nnet.nnet1 import read_nnet

    for number, component in enumerate(read_nnet(args.network), 1):
        yield f"component {number} : <{component.kind}>, input-dim {component.input_dim}, output-dim {component.output_dim}"


FST = argument("fst", help="vector or const FST, .gz too")
TREE = argument("tree", help="tree, binary or text")
DISPLAYS = {
    "copy-topo": Display("a topology as text", "data/lang/topo", (argument("topo"),), _topology, end=""),
    "tree-info": Display("number of pdfs and context window of a tree", "exp/tri/tree", (TREE,), _tree_info),
    "copy-tree": Display("a tree as text", "exp/tri/tree", (TREE,), lambda args: as_text(_tree(args.tree)), end=""),
    "draw-tree": Display(
        "a tree as GraphViz source, to be drawn by dot", "--query 0/SIL/AH_B/T_I phones.txt exp/tri/tree | dot -Tpdf > tree.pdf",
        (
            PHONES, TREE, argument("--query", help="pdf-class/phone/.../phone whose path is drawn in red"),
            argument("--use-tooltips", type=boolean, default=False, help="questions as tooltips, not as labels"),
        ),
        _drawing,
    ),
    "fstinfo": Display("states, arcs, epsilons, components and properties of an FST", "exp/tri/graph/HCLG.fst", (FST,), _graph),
    "fstprint": Display(
        "the arcs of an FST as text", "--isymbols phones.txt --osymbols words.txt data/lang/L.fst",
        (FST, argument("--isymbols", help="symbol table"), argument("--osymbols", help="symbol table")), _arcs,
    ),
    "nnet1-info": Display("components of a network in nnet1 format", "final.nnet", (argument("network"),), _network),
}  # fmt: skip
