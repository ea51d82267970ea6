"""Graphs in words: what is in an FST (as OpenFst's fstinfo) and its arcs as text (fstprint)."""

from collections.abc import Iterator

import numpy as np

from asrtool.fst.csr import CsrGraph
from asrtool.io.symbols import SymbolTable


def graph_lines(graph: CsrGraph) -> Iterator[str]:
    """Numbers of states, arcs, epsilons, states on paths and components, then properties (y or n); a line each."""
    for name, value in (_numbers(graph) | _properties(graph)).items():
        yield f"{name:<50}{value}"


def _numbers(graph: CsrGraph) -> dict[str, int]:
    seen = _seen(graph)
    no_input, no_output = graph.arc_ilabel == 0, graph.arc_olabel == 0
    return {
        "# of states": graph.num_states,
        "# of arcs": graph.num_arcs,
        "initial state": graph.start,
        "# of final states": int((graph.final_cost < np.inf).sum()),
        "# of input/output epsilons": int((no_input & no_output).sum()),
        "# of input epsilons": int(no_input.sum()),
        "# of output epsilons": int(no_output.sum()),
        "# of accessible states": int((seen & 1 > 0).sum()),
        "# of coaccessible states": int((seen & 2 > 0).sum()),
        "# of connected states": int((seen == 3).sum()),
        "# of connected components": _num_components(graph, "weak"),
        "# of strongly conn components": _num_components(graph, "strong"),
        "largest input label": int(graph.arc_ilabel.max(initial=0)),
        "largest output label": int(graph.arc_olabel.max(initial=0)),
    }


def _seen(graph: CsrGraph) -> np.ndarray:
    """uint8 [S]: bit 1 for states that the start leads to, 2 for those that lead to a final one."""
    from asrtool.fst.minimize_kernels import useful_states

    seen = np.zeros(graph.num_states, np.uint8)
    if graph.start >= 0:
        useful_states(graph.start, graph.arc_begin, graph.arc_nextstate, graph.final_cost < np.inf, seen)
    return seen


def _num_components(graph: CsrGraph, kind: str) -> int:
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    size = graph.num_states
    links = csr_array((np.ones(graph.num_arcs, np.int8), graph.arc_nextstate, graph.arc_begin), shape=(size, size))
    return int(connected_components(links, connection=kind)[0]) if size else 0


def _properties(graph: CsrGraph) -> dict[str, str]:
    source = graph.arc_source
    pairs = source.astype(np.int64) << 32 | graph.arc_ilabel
    same_state = source[1:] == source[:-1]
    sorted_by = {
        name: bool(np.all(~same_state | (labels[1:] >= labels[:-1])))
        for name, labels in (("input", graph.arc_ilabel), ("output", graph.arc_olabel))
    }
    loops = bool(np.any(graph.arc_nextstate == source))
    costs = np.concatenate([graph.arc_cost, graph.final_cost[graph.final_cost < np.inf]])
    answers = {
        "acceptor": np.array_equal(graph.arc_ilabel, graph.arc_olabel),
        "input deterministic": len(np.unique(pairs)) == graph.num_arcs,
        "input label sorted": sorted_by["input"],
        "output label sorted": sorted_by["output"],
        "weighted": bool(np.any(costs)),
        "cyclic": loops or _num_components(graph, "strong") < graph.num_states,
    }
    return {name: "y" if answer else "n" for name, answer in answers.items()}


def arc_lines(graph: CsrGraph, isymbols: SymbolTable | None = None, osymbols: SymbolTable | None = None) -> Iterator[str]:
    """ "state next ilabel olabel cost" for each arc, with tabs, the start state's first; "state cost" for a final state.

    Costs of 0 are left out. Labels are numbers, or symbols of the tables.

    Raises:
        AsrtoolError: a label that its table lacks.
    """
    if graph.start < 0:
        return
    order = [graph.start, *(state for state in range(graph.num_states) if state != graph.start)]
    input_name, output_name = (table.symbol if table else str for table in (isymbols, osymbols))
    for state in order:
        arcs = slice(int(graph.arc_begin[state]), int(graph.arc_begin[state + 1]))
        columns = (graph.arc_nextstate, graph.arc_ilabel, graph.arc_olabel, graph.arc_cost)
        for nextstate, ilabel, olabel, cost in zip(*(column[arcs].tolist() for column in columns)):
            weight = f"\t{cost:.9g}" if cost else ""
            yield f"{state}\t{nextstate}\t{input_name(ilabel)}\t{output_name(olabel)}{weight}"
        final = float(graph.final_cost[state])
        if final < np.inf:
            yield f"{state}\t{final:.9g}" if final else f"{state}"
