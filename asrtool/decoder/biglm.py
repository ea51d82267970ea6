"""Beam search over a graph with a small language model, whose words' costs a big one corrects during the search.

The graph of a big vocabulary with a big model would fill the memory; one with a small model, pruned or of unigrams alone, does
not. A path carries, besides its graph state, the states of both models: a word's arc costs the big model's cost more and the
small one's less, and so does the end of the sentence. What a path costs in the end is what it costs in the big model's own graph.
This is Kaldi's latgen-biglm-faster-mapped (decoder/lattice-biglm-faster-decoder.h) with a search as in beam_search.

The small model must be the one that the graph was made of. Where it prefers backing off to an n-gram that it holds (one less
probable than by back-off), a path of the graph may cost less than the model says, as in graphs of any back-off model.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from asrtool.decoder.beam_search import BeamSearchOptions
from asrtool.decoder.packed_graph import PackedGraph, pack_graph
from asrtool.decoder.result import DecodeResult
from asrtool.decoder.search_lattice import search_lattice
from asrtool.decoder.stream import LATTICE_INTERVAL, ONE_BEST_INTERVAL
from asrtool.decoder.threads import outcomes
from asrtool.errors import AsrtoolError
from asrtool.io.symbols import SymbolTable
from asrtool.lattice.lattice import Lattice

if TYPE_CHECKING:
    from asrtool.fst.csr import CsrGraph
    from asrtool.lm.compact_model import CompactNgram

_SIZES = (1 << 16, 1 << 21, 1 << 20)  # of the search's arrays: rows at first, steps and pairs of the memory


class BigLmDecoder:
    """Decodes with one graph and two models; its methods may be called from several threads at once, as BeamSearchDecoder's.

    Args:
        graph: input labels are transition-ids, output labels words (0: epsilon); its G was made of `small`. Not changed.
        tid_to_pdf: int32 [num_tids + 1], index 0 unused; None for a PackedGraph.
        small, big: the language models; words that only `small` holds cannot be recognised (but as big's unknown word).
        words: the graph's words.

    Raises:
        AsrtoolError: a graph that does not fit the acoustic model or the small language model, or that cannot be searched.
    """

    def __init__(
        self,
        graph: "CsrGraph | PackedGraph",
        tid_to_pdf: np.ndarray | None,
        small: "CompactNgram",
        big: "CompactNgram",
        words: SymbolTable,
        options: BeamSearchOptions | None = None,
    ) -> None:
        self.graph = packed = graph if isinstance(graph, PackedGraph) else pack_graph(graph, tid_to_pdf)
        self.options = options = options or BeamSearchOptions()
        small_words, big_words = small.word_ids(words), big.word_ids(words)
        used = np.unique(packed.olabel)
        used = used[used > 0]
        missing = used[small_words[used] < 0] if len(used) and used[-1] < len(small_words) else used[-1:]
        if len(missing):
            raise AsrtoolError(
                f"the graph has the word {words.id_to_symbol.get(int(missing[0]), missing[0])} and the small language model does "
                "not: give the model that the graph's G.fst was made of"
            )
        if len(used) and (big_words[used] < 0).all():
            raise AsrtoolError("the big language model holds none of the graph's words: it is for other words")
        states, arcs = packed.search_arrays(options.word_insertion_penalty)
        self._search_arrays = (_states_with_words(packed, states), arcs)
        self._models = (small.arrays, small_words, big.arrays, big_words)
        self._start_pair = (int(small.start_state), int(big.start_state))

    def decode(self, loglikes: np.ndarray) -> DecodeResult:
        """The best path for log-likelihoods float32 [T, num_pdfs] (natural logs; -inf allowed); T may be 0.

        Its graph cost is that of the graph with the big model. Raises as BeamSearchDecoder.decode.
        """
        from asrtool.decoder.history_kernels import trace_back

        (back, _, _, lm_cost, _), _, _, cost, ending, reached_final, first = self._search(loglikes, keep_links=False)
        last = int(np.argmin(cost + ending))
        tokens = trace_back(back, first + last)
        path = back[tokens] & 0xFFFFFFFF
        words, transition_ids = self.graph.olabel[path], self.graph.ilabel[path]
        pdf = self.graph.arcs["pdf"][path]
        acoustic = loglikes[np.arange(len(loglikes)), pdf[pdf >= 0]]
        graph_costs = self.graph.arcs["cost"][path].sum(dtype=np.float64) + lm_cost[tokens].sum(dtype=np.float64)
        return DecodeResult(
            words=words[words != 0],
            transition_ids=transition_ids[transition_ids != 0],
            graph_cost=float(graph_costs + ending[last]),
            acoustic_cost=-float(acoustic.sum(dtype=np.float64)),
            reached_final=reached_final,
        )

    def decode_lattice(self, loglikes: np.ndarray) -> Lattice:
        """The lattice of paths within lattice_beam of the best; arguments and errors as `decode`."""
        from asrtool.decoder.biglm_search_kernels import LINKS, prune_composed

        tokens, (links, link_lm), (marks, counts), cost, ending, reached_final, first = self._search(loglikes, keep_links=True)
        total = cost + ending
        prune_composed(
            len(loglikes), 0, tokens, (links, link_lm), marks, counts, total - total.min(), np.float32(self.options.lattice_beam)
        )
        links, link_lm = links[: counts[LINKS]], link_lm[: counts[LINKS]]
        arcs = self.graph.arcs[links["back"] & 0xFFFFFFFF]
        acoustic = np.zeros(len(links), np.float32)
        emitting = np.flatnonzero(arcs["pdf"] >= 0)
        frame = np.searchsorted(marks[0], links["back"][emitting] >> 32, side="right") - 1
        acoustic[emitting] = -loglikes[frame, arcs["pdf"][emitting]]
        kept = tokens[-1][first : first + len(cost)] >= 0
        return search_lattice(self.graph, links, marks, (arcs["cost"] + link_lm, acoustic), ending[kept], reached_final)

    def decode_batch(
        self, items: Iterable[tuple[str, np.ndarray]], num_threads: int = 1, lattice: bool = False
    ) -> Iterator[tuple[str, DecodeResult | Lattice | AsrtoolError]]:
        """Decodes (utterance, loglikes) pairs in threads; yields results in order, an AsrtoolError where an utterance failed."""
        yield from outcomes(self.decode_lattice if lattice else self.decode, items, num_threads)

    def _search(self, loglikes: np.ndarray, keep_links: bool) -> tuple:
        """Parts of the search's state, and of the last frame: costs, what ending costs (see `_ending`), id of the first token."""
        from asrtool.decoder.biglm_search_kernels import COUNT, FIRST, biglm_search

        self.graph.check_loglikes(loglikes)
        options = self.options
        frame_costs = np.multiply(loglikes, np.float32(-options.acoustic_scale), dtype=np.float32, order="C")
        num_done, (_, pair, frame, tokens, links, marks, memory, counts) = biglm_search(
            self._search_arrays, self.graph.olabel, self.graph.start, self._start_pair, self._models, frame_costs, options.limits,
            keep_links, np.float32(options.lattice_beam), LATTICE_INTERVAL if keep_links else ONE_BEST_INTERVAL, _SIZES,
        )  # fmt: skip
        if num_done < len(loglikes):
            raise AsrtoolError(f"no path survives frame {num_done} of {len(loglikes)}: the graph ends there; widen the beam")
        count = counts[COUNT]
        ending, reached_final = self._ending(frame[1][:count], pair[:count], memory)
        return tokens, links, (marks, counts), frame[0][:count], ending, reached_final, counts[FIRST]

    def _ending(self, state: np.ndarray, pair: np.ndarray, memory: tuple) -> tuple[np.ndarray, bool]:
        """What ending costs the tokens (inf: not final), and whether any is final; all end at no cost where none is."""
        from asrtool.decoder.biglm_kernels import ending_costs

        ending = ending_costs(state, pair, memory, self._models, self.graph.final_cost)
        reached_final = bool((ending < np.inf).any())
        return (ending if reached_final else np.zeros_like(ending)), reached_final


def _states_with_words(graph: PackedGraph, states: np.ndarray) -> np.ndarray:
    """A copy of STATE [S] that knows that words on epsilon arcs may cost less than the arcs say."""
    states = states.copy()
    with_word = np.flatnonzero((graph.olabel != 0) & (graph.ilabel == 0))
    states["epsilon_cost"][np.searchsorted(states["end"], with_word, side="right")] = -np.inf
    return states
