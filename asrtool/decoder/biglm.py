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
from asrtool.decoder.threads import in_threads
from asrtool.errors import AsrtoolError
from asrtool.io.symbols import SymbolTable
from asrtool.lattice.lattice import Lattice

if TYPE_CHECKING:
    from asrtool.fst.csr import CsrGraph
    from asrtool.lm.compact_model import CompactNgram

_PRUNE_INTERVAL = 25
_BEAM_DELTA = 0.5
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
        packed = graph if isinstance(graph, PackedGraph) else pack_graph(graph, tid_to_pdf)
        self.options = options = options or BeamSearchOptions()
        self.offsets, self.ilabel, self.final_cost = packed.offsets, packed.ilabel, packed.final_cost
        self.start, self.num_pdfs = packed.start, packed.num_pdfs
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
        self.arcs = _arcs_with_words(packed)
        self._search_arcs = self.arcs
        if options.word_insertion_penalty:
            self._search_arcs = _arcs_with_words(packed, options.word_insertion_penalty)
        self._models = (small.arrays, small_words, big.arrays, big_words)
        self._start_pair = (int(small.start_state), int(big.start_state))

    def decode(self, loglikes: np.ndarray) -> DecodeResult:
        """The best path for log-likelihoods float32 [T, num_pdfs] (natural logs; -inf allowed); T may be 0.

        Its graph cost is that of the graph with the big model. Raises as BeamSearchDecoder.decode.
        """
        from asrtool.decoder.biglm_prune_kernels import path_lm_costs, trace_back
        from asrtool.decoder.biglm_search_kernels import start_memory

        tokens, _, _, frame_begin, _, memory = self._search(loglikes, keep_links=False)
        begin, end = frame_begin[-2], frame_begin[-1]
        ending, reached_final = self._ending(tokens[begin:end], memory)
        last = int(np.argmin(tokens["cost"][begin:end] + ending))
        path = trace_back(tokens, begin + last)
        words, transition_ids = self.arcs["word"][path], self.ilabel[path]
        emitting = path[transition_ids != 0]
        acoustic = loglikes[np.arange(len(loglikes)), self.arcs["pdf"][emitting]]
        words = words[words != 0]
        lm_costs = path_lm_costs(words, start_memory(self._start_pair, len(words)), self._models)
        graph_costs = self.arcs["cost"][path].sum(dtype=np.float64) + lm_costs.sum(dtype=np.float64)
        return DecodeResult(
            words=words,
            transition_ids=transition_ids[transition_ids != 0],
            graph_cost=float(graph_costs + ending[last]),
            acoustic_cost=-float(acoustic.sum(dtype=np.float64)),
            reached_final=reached_final,
        )

    def decode_lattice(self, loglikes: np.ndarray) -> Lattice:
        """The lattice of paths within lattice_beam of the best; arguments and errors as `decode`."""
        from asrtool.decoder.biglm_prune_kernels import epsilon_depths, finish_big_lattice

        tokens, links, extra, frame_begin, link_begin, memory = self._search(loglikes, keep_links=True)
        num_frames = len(loglikes)
        last_tokens = tokens[frame_begin[-2] : frame_begin[-1]]
        ending, reached_final = self._ending(last_tokens, memory)
        total = last_tokens["cost"] + ending
        num_tokens, num_links = finish_big_lattice(
            total - total.min(), num_frames, tokens, links, extra, frame_begin, link_begin,
            float(self.options.lattice_beam),
        )  # fmt: skip
        tokens, links = tokens[:num_tokens], links[:num_links]
        frame = np.repeat(np.arange(num_frames + 1, dtype=np.int32), np.diff(frame_begin))
        state_of_token = np.empty(num_tokens, np.int32)
        order = np.lexsort((epsilon_depths(links, link_begin, num_frames, num_tokens), frame))
        state_of_token[order] = np.arange(num_tokens, dtype=np.int32)
        start, end = state_of_token[links["start"]], state_of_token[links["to"]]
        by_start = np.argsort(start, kind="stable")
        links, start, end = links[by_start], start[by_start], end[by_start]
        arc = links["arc"]
        transition_id, pdf = self.ilabel[arc], self.arcs["pdf"][arc]
        emitting = transition_id != 0
        acoustic = np.zeros(num_links, np.float32)
        acoustic[emitting] = -loglikes[frame[order][start[emitting]], pdf[emitting]]
        last = frame[order] == num_frames
        final = np.full(num_tokens, np.inf, np.float32)
        final[last] = self._ending(tokens[order][last], memory)[0] if reached_final else 0
        return Lattice(
            num_frames=num_frames,
            state_frame=frame[order],
            arc_start=start,
            arc_end=end,
            arc_transition_id=transition_id,
            arc_word=self.arcs["word"][arc],
            arc_graph_cost=self.arcs["cost"][arc] + links["lm_cost"],
            arc_acoustic_cost=acoustic,
            final_cost=final,
            reached_final=reached_final,
        )

    def decode_batch(
        self, items: Iterable[tuple[str, np.ndarray]], num_threads: int = 1, lattice: bool = False
    ) -> Iterator[tuple[str, DecodeResult | Lattice | AsrtoolError]]:
        """Decodes (utterance, loglikes) pairs in threads; yields results in order, an AsrtoolError where an utterance failed."""
        decode = self.decode_lattice if lattice else self.decode

        def outcome(item: tuple[str, np.ndarray]) -> tuple[str, DecodeResult | Lattice | AsrtoolError]:
            try:
                return item[0], decode(item[1])
            except AsrtoolError as error:
                return item[0], error

        yield from in_threads(outcome, items, num_threads)

    def _search(self, loglikes: np.ndarray, keep_links: bool) -> tuple:
        from asrtool.decoder.biglm_search_kernels import biglm_search

        if loglikes.ndim != 2 or (loglikes.shape[1] < self.num_pdfs):
            raise AsrtoolError(
                f"log-likelihoods of {loglikes.shape[-1] if loglikes.ndim else 0} pdfs, the graph needs {self.num_pdfs}: "
                "graph and model do not belong together; rebuild the graph with utils/mkgraph.sh"
            )
        if not loglikes.max(initial=-np.inf) < np.inf:  # NaN where there is one
            frame = int(np.argmax(~(loglikes < np.inf).all(axis=1)))
            raise AsrtoolError(f"NaN or infinite log-likelihoods at frame {frame}: check features and model")
        options = self.options
        frame_costs = np.multiply(loglikes, np.float32(-options.acoustic_scale), dtype=np.float32, order="C")
        limits = (float(options.beam), int(options.max_active), int(options.min_active), _BEAM_DELTA)
        num_done, *arrays = biglm_search(
            self.offsets, self._search_arcs, self.start, self._start_pair, self._models, frame_costs, limits, keep_links,
            float(options.lattice_beam), _PRUNE_INTERVAL, _SIZES,
        )  # fmt: skip
        if num_done < len(loglikes):
            raise AsrtoolError(f"no path survives frame {num_done} of {len(loglikes)}: the graph ends there; widen the beam")
        return tuple(arrays)

    def _ending(self, tokens: np.ndarray, memory: tuple) -> tuple[np.ndarray, bool]:
        """What ending costs the tokens (inf: not final), and whether any is final; all end at no cost where none is."""
        from asrtool.decoder.biglm_prune_kernels import ending_costs

        ending = ending_costs(tokens, memory, self._models, self.final_cost)
        reached_final = bool((ending < np.inf).any())
        return (ending if reached_final else np.zeros(len(tokens))), reached_final


def _arcs_with_words(graph: PackedGraph, word_penalty: float = 0.0) -> np.ndarray:
    """BIG_ARC [A] of a packed graph, with the word penalty in the arcs' costs."""
    from asrtool.decoder.biglm_kernels import BIG_ARC

    arcs = np.empty(len(graph.arcs), BIG_ARC)
    penalised = graph.with_word_penalty(word_penalty) if word_penalty else graph.arcs
    for name in ("next", "pdf", "cost", "next_epsilon_cost"):
        arcs[name] = penalised[name]
    arcs["word"] = graph.olabel
    # a word on an epsilon arc may cost less than its arc says
    num_states = len(graph.offsets) // 2
    says = np.zeros(num_states, bool)
    with_word = np.flatnonzero((graph.olabel != 0) & (graph.ilabel == 0))
    says[(np.searchsorted(graph.offsets, with_word, side="right") - 1) // 2] = True
    arcs["next_epsilon_cost"][says[arcs["next"]]] = -np.inf
    return arcs
