"""G.fst: an ARPA model as an acceptor of words with back-off arcs, by kaldilm (Kaldi's arpa2fst), and checks of it."""

from dataclasses import dataclass
from pathlib import Path

import kaldilm
import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph
from asrtool.io.atomic_file import atomic_path

BACKOFF_SYMBOL = "#0"


def compile_grammar(arpa_path: str | Path, words_path: str | Path, fst_path: str | Path) -> None:
    """Writes G.fst: <s> and </s> removed, #0 on the input side of back-off arcs; n-grams with words not in words.txt left out.

    kaldilm ends the whole process where a file does not fit, so the caller has read both before: `arpa_path` is a sound,
    unpacked ARPA file and words.txt holds #0, <s> and </s>.
    """
    if not Path(arpa_path).is_file() or not Path(words_path).is_file():
        raise AsrtoolError(f"{arpa_path} or {words_path}: no such file")
    with atomic_path(fst_path) as temporary:
        kaldilm.arpa2fst(
            str(arpa_path),
            str(temporary),
            disambig_symbol=BACKOFF_SYMBOL,
            read_symbol_table=str(words_path),
            max_arpa_warnings=0,
        )


@dataclass
class GrammarSums:
    """As fstisstochastic: the least and the greatest -log of the sum of a state's arcs and final weight.

    0 for states without back-off; below 0 where the back-off arc stands beside the arcs it is meant to complete.
    """

    least: float
    greatest: float


def check_grammar(graph: CsrGraph, backoff_id: int, name: str) -> GrammarSums:
    """Tests what composition with L and determinisation need: one arc a label and state, no epsilon, back-off without cycles.

    Raises:
        AsrtoolError: one of these does not hold, or the grammar is empty; `name` is the file.
    """
    if graph.start < 0 or graph.num_arcs == 0:
        raise AsrtoolError(f"{name}: the grammar is empty; are the words of the ARPA file those of words.txt?")
    if np.any(graph.arc_ilabel == 0):
        raise AsrtoolError(f"{name}: an arc has no input label; the grammar cannot be determinised with a lexicon")
    source = graph.arc_source.astype(np.int64)
    label_at_state = np.sort(source * (int(graph.arc_ilabel.max()) + 1) + graph.arc_ilabel)
    if np.any(np.diff(label_at_state) == 0):
        raise AsrtoolError(f"{name}: two arcs of a state have the same word; the grammar is not deterministic")
    if _has_backoff_cycle(graph, source, backoff_id):
        raise AsrtoolError(f"{name}: back-off arcs form a cycle")
    if not np.isfinite(graph.final_cost).any():
        raise AsrtoolError(f"{name}: no final state: no n-gram of the ARPA file ends in </s>")
    sums = np.exp(-graph.final_cost.astype(np.float64)) + np.bincount(
        source, np.exp(-graph.arc_cost.astype(np.float64)), minlength=graph.num_states
    )
    with np.errstate(divide="ignore"):  # a state from which nothing leaves: infinite
        costs = -np.log(sums)
    return GrammarSums(float(costs.min()), float(costs.max()))


def _has_backoff_cycle(graph: CsrGraph, source: np.ndarray, backoff_id: int) -> bool:
    """Follows 1, 2, 4, ... back-off arcs at once from every state: without a cycle all end at the sink."""
    sink = graph.num_states
    next_state = np.full(sink + 1, sink, dtype=np.int64)
    backs_off = graph.arc_ilabel == backoff_id
    next_state[source[backs_off]] = graph.arc_nextstate[backs_off]
    for _ in range(int(sink).bit_length() + 1):
        next_state = next_state[next_state]
    return bool(np.any(next_state != sink))
