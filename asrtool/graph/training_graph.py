"""Training graphs: all state sequences of a transcript, built straight into arrays.

As Kaldi's compile-train-graphs with both scales 0: pronunciations and optional silence cost what L.fst says, transitions
nothing until `add_transition_costs`. The graph has no epsilons and is not minimised: a state for each phone in context and
transition, the self-loop behind it (reordered form). It accepts the same transition-id sequences at the same costs.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph
from asrtool.graph.hmm_arrays import HmmArrays
from asrtool.graph.phone_arcs_kernels import phone_arcs
from asrtool.graph.pronunciations import read_pronunciations
from asrtool.graph.training_graph_kernels import assemble, list_units, phones_at_nodes, successors
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.symbols import SymbolTable
from asrtool.tree.context_dependency import ContextDependency


class TrainingGraphCompiler:
    """Compiles transcripts for one lang directory, tree and transition model.

    Args:
        lang_dir: with L.fst, words.txt, phones.txt and oov.int.
        context_dependency: at most one phone of context on either side.
        transition_model: made from that tree.

    Raises:
        AsrtoolError: a file is missing, a wider context, a phone of the lexicon without a model, tree and model that differ.
    """

    def __init__(self, lang_dir: str | Path, context_dependency: ContextDependency, transition_model: TransitionModel) -> None:
        lang_dir = Path(lang_dir)
        self.tree, self.model = context_dependency, transition_model
        self.hmms = HmmArrays(context_dependency, transition_model)
        self.use_left = context_dependency.central_position > 0
        self.use_right = context_dependency.central_position + 1 < context_dependency.context_width
        if context_dependency.context_width > 1 + self.use_left + self.use_right:
            raise AsrtoolError(
                f"tree: a context of {context_dependency.context_width} phones; training graphs know one phone on either side"
            )
        self.words = SymbolTable.read(lang_dir / "words.txt")
        self.pronunciations = read_pronunciations(lang_dir / "L.fst")
        self.oov = read_oov(lang_dir)
        self._check_phones(lang_dir)

    def _check_phones(self, lang_dir: Path) -> None:
        used = {int(phone) for phone in np.unique(self.pronunciations.phones)} | {self.pronunciations.silence_phone} - {0}
        missing = sorted(used - set(self.model.phones))
        if missing:
            raise AsrtoolError(
                f"{lang_dir}: phone {SymbolTable.read(lang_dir / 'phones.txt').symbol(missing[0])} has no model "
                f"({len(missing)} such phones): model and lang directory were made for different phone tables"
            )

    def word_ids(self, words: Sequence[str]) -> list[int]:
        """Ids of words; those that words.txt lacks become the lang directory's oov word."""
        return [self.words.symbol_to_id.get(word, self.oov) for word in words]

    def compile(self, words: Sequence[str] | Sequence[int]) -> CsrGraph:
        """The graph of a transcript (words, or their ids): ilabel transition-id, olabel word id where a word begins.

        Raises:
            AsrtoolError: a word without a pronunciation, or a phone in context that tree or model do not know.
        """
        if len(words) and isinstance(words[0], str):
            words = self.word_ids(words)
        ids = np.array(words, dtype=np.int32)
        prons = self.pronunciations
        for word in ids:
            if not 0 <= word < len(prons.word_begin) - 1 or prons.word_begin[word] == prons.word_begin[word + 1]:
                raise AsrtoolError(f"the word '{self.words.symbol(word)}' has no pronunciation in L.fst")
        node_final, arcs, arc_cost = phone_arcs(
            ids, prons.word_begin, prons.phone_begin, prons.phones, prons.enter, prons.leave, prons.begin, prons.end,
            prons.silence_phone,
        )  # fmt: skip
        return self._expand(node_final, arcs, arc_cost)

    def _expand(self, node_final: np.ndarray, arcs: np.ndarray, arc_cost: np.ndarray) -> CsrGraph:
        num_nodes, model = len(node_final), self.model
        is_final = np.isfinite(node_final)
        is_start = np.zeros(num_nodes, dtype=bool)
        is_start[0] = True
        left_begin, lefts, left_index = _contexts(arcs, num_nodes, 1, is_start, self.use_left)
        right_begin, rights, right_index = _contexts(arcs, num_nodes, 0, is_final, self.use_right)
        centre, width = self.tree.central_position, self.tree.context_width
        unit_begin, windows = list_units(arcs, left_begin, lefts, right_begin, rights, width, centre)
        unit_rows = self.hmms.states(windows)
        arc_of_unit = np.repeat(np.arange(len(arcs)), np.diff(unit_begin))
        unit_final = node_final[arcs[arc_of_unit, 1]]
        if self.use_right:
            unit_final[windows[:, centre + 1] != 0] = np.inf
        begin, unit_of, arc_of = successors(
            arcs, unit_begin, left_index, right_index, right_begin, _node_arc_begin(arcs, num_nodes),
            np.argsort(arcs[:, 0], kind="stable").astype(np.int32), self.use_left, self.use_right,
        )  # fmt: skip
        arc_begin, labels, cost, final_cost = assemble(
            self.hmms.entry_of_phone[arcs[arc_of_unit, 2]], unit_rows, unit_final, self.hmms.slots, self.hmms.entry_slots,
            model.first_tid, model.self_loop, begin, unit_of, arc_of, arcs, arc_cost,
        )  # fmt: skip
        final_cost[0] = node_final[0]
        columns = np.ascontiguousarray(labels.T)
        return CsrGraph(0, arc_begin, columns[0], columns[1], columns[2], cost, final_cost)


def add_transition_costs(
    graph: CsrGraph, transition_model: TransitionModel, transition_scale: float = 1.0, self_loop_scale: float = 0.1
) -> CsrGraph:
    """The graph with the model's transition costs on top (Kaldi's AddTransitionProbs); add them once only.

    In a loop over utterances compute `transition_model.scaled_costs(...)` once and use `add_costs`.
    """
    return add_costs(graph, transition_model.scaled_costs(transition_scale, self_loop_scale))


def add_costs(graph: CsrGraph, costs: np.ndarray) -> CsrGraph:
    """The graph with costs[ilabel] (float32 [num_transition_ids + 1], entry 0 for epsilon) added to each arc."""
    return replace(graph, arc_cost=graph.arc_cost + costs[graph.arc_ilabel])


def read_oov(lang_dir: Path) -> int:
    """The id of the word that stands for unknown ones (lang/oov.int)."""
    try:
        return int((lang_dir / "oov.int").read_text())
    except FileNotFoundError:
        raise AsrtoolError(f"{lang_dir / 'oov.int'}: no such file; make the lang directory with utils/prepare_lang.sh") from None
    except ValueError:
        raise AsrtoolError(f"{lang_dir / 'oov.int'}: expected one word id") from None


def _contexts(arcs: np.ndarray, num_nodes: int, side: int, boundary: np.ndarray, used: bool) -> tuple:
    """`phones_at_nodes`; one phone 0 at each node where this side is no part of the context."""
    if used:
        return phones_at_nodes(arcs, num_nodes, side, boundary)
    nothing = np.zeros(num_nodes, dtype=np.int32)
    return np.arange(num_nodes + 1, dtype=np.int64), nothing, np.zeros(len(arcs), dtype=np.int32)


def _node_arc_begin(arcs: np.ndarray, num_nodes: int) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(np.bincount(arcs[:, 0], minlength=num_nodes))]).astype(np.int64)
