"""Viterbi beam search over a decoding graph: the best path, or a lattice of those near it.

Follows Kaldi's FasterDecoder and LatticeFasterDecoder (decoder/faster-decoder.cc, lattice-faster-decoder.cc), whose option names,
defaults, adaptive cutoff and lattice pruning it keeps.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from asrtool.decoder.packed_graph import PackedGraph, pack_graph
from asrtool.decoder.threads import in_threads
from asrtool.errors import AsrtoolError
from asrtool.lattice.lattice import Lattice

if TYPE_CHECKING:
    from asrtool.fst.csr import CsrGraph

_PRUNE_INTERVAL = 25
_BEAM_DELTA = 0.5


@dataclass(frozen=True)
class BeamSearchOptions:
    """How wide the search is.

    Attributes:
        beam: paths this much worse than the best are dropped.
        lattice_beam: as much worse than the best a lattice's paths may be.
        max_active: about as many states survive a frame at most; min_active: at least so many, whatever the beam.
        acoustic_scale: factor on the log-likelihoods.
        word_insertion_penalty: added cost of a word (the search only; costs in results are without it).
    """

    beam: float = 13.0
    lattice_beam: float = 6.0
    max_active: int = 7000
    min_active: int = 200
    acoustic_scale: float = 0.1
    word_insertion_penalty: float = 0.0

    def __post_init__(self) -> None:
        if not (self.beam > 0 and self.lattice_beam > 0 and self.acoustic_scale > 0):
            raise ValueError("beam, lattice_beam and acoustic_scale must be above 0")
        if not 0 <= self.min_active <= self.max_active or self.max_active < 2:
            raise ValueError("max_active must be at least 2 and min_active between 0 and max_active")


@dataclass
class DecodeResult:
    """The best path: word ids and transition-ids (int32), graph cost (final cost included), acoustic cost (unscaled).

    reached_final: False where no final state of the graph was alive at the end, and the path is the best of the others.
    """

    words: np.ndarray
    transition_ids: np.ndarray
    graph_cost: float
    acoustic_cost: float
    reached_final: bool


class BeamSearchDecoder:
    """Decodes with one graph; its methods may be called from several threads at once, and release the GIL while they search.

    Args:
        graph: input labels are transition-ids, output labels words (0: epsilon); not changed.
        tid_to_pdf: int32 [num_tids + 1], index 0 unused.

    Raises:
        AsrtoolError: a graph that does not fit the model, or that cannot be searched (see pack_graph).
    """

    def __init__(
        self,
        graph: "CsrGraph | PackedGraph",
        tid_to_pdf: np.ndarray | None = None,
        options: BeamSearchOptions = BeamSearchOptions(),
    ) -> None:
        self.graph = graph if isinstance(graph, PackedGraph) else pack_graph(graph, tid_to_pdf)
        self.options = options
        self._search_arcs = self.graph.arcs
        if options.word_insertion_penalty:
            self._search_arcs = self.graph.with_word_penalty(options.word_insertion_penalty)

    def decode(self, loglikes: np.ndarray) -> DecodeResult:
        """The best path for log-likelihoods float32 [T, num_pdfs] (natural logs; -inf allowed); T may be 0.

        Raises:
            AsrtoolError: fewer columns than the graph has pdfs, NaN or +inf values, or no path of T frames within the beam.
        """
        from asrtool.decoder.search_kernels import trace_back

        tokens, _, _, frame_begin, _ = self._search(loglikes, keep_links=False)
        begin, end = frame_begin[-2], frame_begin[-1]
        cost, final_cost, reached_final = self._ending(tokens[begin:end])
        last = int(np.argmin(cost + final_cost))
        path = trace_back(tokens, begin + last)
        words, transition_ids = self.graph.olabel[path], self.graph.ilabel[path]
        emitting = path[transition_ids != 0]
        acoustic = loglikes[np.arange(len(loglikes)), self.graph.arcs["pdf"][emitting]]
        return DecodeResult(
            words=words[words != 0],
            transition_ids=transition_ids[transition_ids != 0],
            graph_cost=float(self.graph.arcs["cost"][path].sum(dtype=np.float64) + final_cost[last]),
            acoustic_cost=-float(acoustic.sum(dtype=np.float64)),
            reached_final=reached_final,
        )

    def decode_lattice(self, loglikes: np.ndarray) -> Lattice:
        """The lattice of paths within lattice_beam of the best; arguments and errors as `decode`."""
        from asrtool.decoder.search_kernels import epsilon_depths, finish_lattice

        tokens, links, extra, frame_begin, link_begin = self._search(loglikes, keep_links=True)
        num_frames = len(loglikes)
        cost, final_cost, reached_final = self._ending(tokens[frame_begin[-2] : frame_begin[-1]])
        total = cost + final_cost
        num_tokens, num_links = finish_lattice(
            total - total.min(), num_frames, len(self.graph.final_cost), tokens, links, extra, frame_begin, link_begin,
            float(self.options.lattice_beam),
        )  # fmt: skip
        tokens, links = tokens[:num_tokens], links[:num_links]
        frame = np.repeat(np.arange(num_frames + 1, dtype=np.int32), np.diff(frame_begin))
        state_of_token = np.empty(num_tokens, np.int32)
        order = np.lexsort((epsilon_depths(links, link_begin, num_frames, num_tokens), frame))
        state_of_token[order] = np.arange(num_tokens, dtype=np.int32)
        start, end = state_of_token[links["start"]], state_of_token[links["to"]]
        by_start = np.argsort(start, kind="stable")
        arc, start, end = links["arc"][by_start], start[by_start], end[by_start]
        transition_id, pdf = self.graph.ilabel[arc], self.graph.arcs["pdf"][arc]
        emitting = transition_id != 0
        acoustic = np.zeros(num_links, np.float32)
        acoustic[emitting] = -loglikes[frame[order][start[emitting]], pdf[emitting]]
        last = frame[order] == num_frames
        final = np.full(num_tokens, np.inf, np.float32)
        final[last] = self.graph.final_cost[tokens["state"][order][last]] if reached_final else 0
        return Lattice(
            num_frames=num_frames,
            state_frame=frame[order],
            arc_start=start,
            arc_end=end,
            arc_transition_id=transition_id,
            arc_word=self.graph.olabel[arc],
            arc_graph_cost=self.graph.arcs["cost"][arc],
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

    def _search(self, loglikes: np.ndarray, keep_links: bool) -> tuple[np.ndarray, ...]:
        from asrtool.decoder.search_kernels import search

        if loglikes.ndim != 2 or (loglikes.shape[1] < self.graph.num_pdfs):
            raise AsrtoolError(
                f"log-likelihoods of {loglikes.shape[-1] if loglikes.ndim else 0} pdfs, the graph needs {self.graph.num_pdfs}: "
                "graph and model do not belong together; rebuild the graph with utils/mkgraph.sh"
            )
        highest = loglikes.max(initial=-np.inf)  # NaN where there is one
        if not highest < np.inf:
            frame = int(np.argmax(~(loglikes < np.inf).all(axis=1)))
            raise AsrtoolError(f"NaN or infinite log-likelihoods at frame {frame}: check features and model")
        options = self.options
        frame_costs = np.multiply(loglikes, np.float32(-options.acoustic_scale), dtype=np.float32, order="C")
        limits = (float(options.beam), int(options.max_active), int(options.min_active), _BEAM_DELTA)
        num_done, *arrays = search(
            self.graph.offsets, self._search_arcs, self.graph.start, frame_costs, limits, keep_links,
            float(options.lattice_beam), _PRUNE_INTERVAL,
        )  # fmt: skip
        if num_done < len(loglikes):
            raise AsrtoolError(f"no path survives frame {num_done} of {len(loglikes)}: the graph ends there; widen the beam")
        return tuple(arrays)

    def _ending(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray, bool]:
        """(cost, final cost, whether a final state is there) of the last frame's tokens; all are final where none is."""
        final_cost = self.graph.final_cost[tokens["state"]].astype(np.float64)
        reached_final = bool((final_cost < np.inf).any())
        return tokens["cost"], final_cost if reached_final else np.zeros(len(tokens)), reached_final
