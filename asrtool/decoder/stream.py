"""An utterance that is decoded while its frames arrive."""

from typing import TYPE_CHECKING

import numpy as np

from asrtool.decoder.result import DecodeResult
from asrtool.decoder.search_lattice import search_lattice
from asrtool.errors import AsrtoolError
from asrtool.lattice.lattice import Lattice

if TYPE_CHECKING:
    from asrtool.decoder.beam_search import BeamSearchDecoder

LATTICE_INTERVAL = 25  # frames between prunings of the lattice (Kaldi's prune-interval)
ONE_BEST_INTERVAL = 32
_FIRST_ROWS = 1 << 15  # memory that is not written to costs nothing; growing does


class DecoderStream:
    """The search through one utterance, of any length, given piece by piece; what it gives does not depend on the pieces.

        stream = decoder.stream()
        for loglikes in pieces:
            stream.accept(loglikes)
            print(stream.partial().words)
        result = stream.finish()

    Memory. One-best search: four bytes a graph state, some megabytes for the last 32 frames and the tokens that living ones
    descend from, and four bytes a frame for the part of the path that all share. With a lattice: four bytes a graph state, the
    last 25 frames unpruned, and for those before them 24 bytes a frame, 24 a token and 20 a link of the lattice that is left.
    Arrays double when they are full. Log-likelihoods are kept for those 32 or 25 frames only.

    A stream belongs to one thread at a time. Made by `BeamSearchDecoder.stream`.
    """

    def __init__(self, decoder: "BeamSearchDecoder", lattice: bool) -> None:
        from asrtool.decoder import stream_kernels
        from asrtool.decoder.frame_kernels import LINK

        self._kernels, self._decoder, self._lattice, self._graph = stream_kernels, decoder, lattice, decoder.graph
        options, rows, frames = decoder.options, _FIRST_ROWS, LATTICE_INTERVAL if lattice else ONE_BEST_INTERVAL
        self._limits = options.limits
        self._lattice_beam = np.float32(options.lattice_beam)
        self._ended = False
        self.state = stream_kernels.begin_search(
            decoder.search_arrays, self._graph.start, self._limits[0], lattice,
            (
                np.empty(len(self._graph.states), np.int32),
                (np.empty(rows, np.float32), *(np.empty(rows, kind) for kind in (np.int32, np.int32, np.uint8)),
                 np.empty((rows, 3), np.int32)),
                tuple(np.empty(16 * rows, kind) for kind in (np.int64, np.float32, np.float32, np.float32, np.int32)),
                (np.empty(4 * rows, LINK), np.empty(4 * rows, np.float32)),
                (np.zeros(1 << 10, np.int64), np.zeros(1 << 10, np.int64)),
                (np.empty(1 << 10, np.int32), np.zeros(1)),
                np.empty((frames, self._graph.num_pdfs), np.float32),
                np.zeros(stream_kernels.NUM_COUNTS, np.int64),
            ),
        )  # fmt: skip

    @property
    def num_frames(self) -> int:
        """Frames accepted so far."""
        return int(self.state[-1][self._kernels.FRAME])

    @property
    def num_bytes(self) -> int:
        """Size of the arrays that the search holds."""
        arrays = [array for part in self.state for array in (part if isinstance(part, tuple) else (part,))]
        return sum(array.nbytes for array in arrays)

    def accept(self, loglikes: np.ndarray) -> None:
        """Takes the log-likelihoods float [T, num_pdfs] of the next T >= 0 frames (natural logs; -inf allowed).

        Raises:
            AsrtoolError: fewer columns than the graph has pdfs, NaN or +inf values (none of the frames are taken), or no path
                that goes on within the beam (the stream has ended).
        """
        if self._ended:
            raise ValueError("the stream has ended")
        loglikes = np.require(loglikes, np.float32, ["C", "A", "W"])
        self._graph.check_loglikes(loglikes, self.num_frames)
        alive, self.state = self._kernels.advance(
            self._decoder.search_arrays, loglikes, np.float32(-self._decoder.options.acoustic_scale), self._limits, self._lattice,
            self._lattice_beam, self.state,
        )  # fmt: skip
        if not alive:
            self._ended = True
            raise AsrtoolError(f"no path survives frame {self.num_frames - 1}: the graph ends there; widen the beam")

    def partial(self) -> DecodeResult:
        """The best path so far, with no final cost; reached_final says whether it is in a final state of the graph."""
        if self._ended:
            raise ValueError("the stream has ended")
        cost, states = self._newest()
        last = int(np.argmin(cost))
        return self._path(last, 0.0, bool(self._graph.final_cost[states[last]] < np.inf))

    def finish(self) -> DecodeResult | Lattice:
        """The best path, or the lattice, of all frames; where no final state is reached, as if all were final at no cost."""
        if self._ended:
            raise ValueError("the stream has ended")
        self._ended = True
        cost, states = self._newest()
        final_cost = self._graph.final_cost[states]
        reached_final = bool((final_cost < np.inf).any())
        final_cost = final_cost if reached_final else np.zeros(len(cost), np.float32)
        if self._lattice:
            return self._make_lattice(cost + final_cost, final_cost, reached_final)
        last = int(np.argmin(cost + final_cost))
        return self._path(last, float(final_cost[last]), reached_final)

    def _newest(self) -> tuple[np.ndarray, np.ndarray]:
        """Costs and states of the newest frame's tokens."""
        count = self.state[-1][self._kernels.COUNT]
        return self.state[1][0][:count], self.state[1][1][:count]

    def _path(self, row: int, final_cost: float, reached_final: bool) -> DecodeResult:
        """The best path to a token of the newest frame."""
        from asrtool.decoder.history_kernels import trace_back

        _, _, (back, _, _, acoustic, _), _, _, (settled, settled_acoustic), recent, counts = self.state
        kernels, graph = self._kernels, self._graph
        tokens = trace_back(back, counts[kernels.FIRST] + row)
        arcs = (back[tokens] & 0xFFFFFFFF).astype(np.int32)
        pdf = graph.arcs["pdf"][arcs]
        emitting = np.flatnonzero(pdf >= 0)
        num_recent = counts[kernels.FRAME] - counts[kernels.CLEANED]
        scored, new = emitting[: len(emitting) - num_recent], emitting[len(emitting) - num_recent :]
        acoustic_cost = acoustic[tokens[scored]].sum(dtype=np.float64)
        acoustic_cost -= recent[np.arange(num_recent), pdf[new]].sum(dtype=np.float64)
        path = np.concatenate([settled[: counts[kernels.SETTLED]], arcs])
        words, transition_ids = graph.olabel[path], graph.ilabel[path]
        return DecodeResult(
            words=words[words != 0],
            transition_ids=transition_ids[transition_ids != 0],
            graph_cost=float(graph.arcs["cost"][path].sum(dtype=np.float64)) + final_cost,
            acoustic_cost=float(settled_acoustic[0] + acoustic_cost),
            reached_final=reached_final,
        )

    def _make_lattice(self, total: np.ndarray, final_cost: np.ndarray, reached_final: bool) -> Lattice:
        _, _, tokens, (links, acoustic), marks, _, recent, counts = self.state
        kernels, graph = self._kernels, self._graph
        newest = slice(counts[kernels.FIRST], counts[kernels.FIRST] + counts[kernels.COUNT])
        kernels.prune(
            self._decoder.search_arrays[1], tokens, (links, acoustic), marks, recent, counts, total - total.min(),
            self._lattice_beam, True,
        )  # fmt: skip
        kept = tokens[-1][newest] >= 0
        links, acoustic = links[: counts[kernels.LINKS]], acoustic[: counts[kernels.LINKS]]
        graph_cost = graph.arcs["cost"][links["back"] & 0xFFFFFFFF]
        marks = marks[0][: self.num_frames + 2], marks[1]
        return search_lattice(graph, links, marks, (graph_cost, acoustic), final_cost[kept], reached_final)
