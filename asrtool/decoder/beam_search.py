"""Viterbi beam search over a decoding graph: the best path, or a lattice of those near it.

Follows Kaldi's FasterDecoder and LatticeFasterDecoder (decoder/faster-decoder.cc, lattice-faster-decoder.cc), whose option names,
defaults, adaptive cutoff and lattice pruning it keeps.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from asrtool.decoder.packed_graph import PackedGraph, pack_graph
from asrtool.decoder.result import DecodeResult
from asrtool.decoder.stream import DecoderStream
from asrtool.decoder.threads import outcomes
from asrtool.errors import AsrtoolError
from asrtool.lattice.lattice import Lattice

if TYPE_CHECKING:
    from asrtool.fst.csr import CsrGraph


BEAM_DELTA = np.float32(0.5)  # Kaldi's: what the adaptive beam is wider than what was kept


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

    @property
    def limits(self) -> tuple[np.float32, np.float32, int, int]:
        """As `frame_kernels.frame_cutoff` takes them."""
        return np.float32(self.beam), BEAM_DELTA, int(self.max_active), int(self.min_active)


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
        self.search_arrays = self.graph.search_arrays(options.word_insertion_penalty)

    def stream(self, lattice: bool = False) -> DecoderStream:
        """The search through an utterance whose frames are yet to come; with `lattice`, its `finish` gives a Lattice."""
        return DecoderStream(self, lattice)

    def decode(self, loglikes: np.ndarray) -> DecodeResult:
        """The best path for log-likelihoods float [T, num_pdfs] (natural logs; -inf allowed); T may be 0.

        Where the beam holds no final state of the graph at the end, the best path of all is given, and says so (reached_final).

        Raises:
            AsrtoolError: fewer columns than the graph has pdfs, NaN or +inf values, or no path of T frames within the beam.
        """
        stream = self.stream()
        stream.accept(loglikes)
        return stream.finish()

    def decode_lattice(self, loglikes: np.ndarray) -> Lattice:
        """The lattice of paths within lattice_beam of the best; arguments, errors and endings as `decode`."""
        stream = self.stream(lattice=True)
        stream.accept(loglikes)
        return stream.finish()

    def decode_batch(
        self, items: Iterable[tuple[str, np.ndarray]], num_threads: int = 1, lattice: bool = False
    ) -> Iterator[tuple[str, DecodeResult | Lattice | AsrtoolError]]:
        """Decodes (utterance, loglikes) pairs in threads; yields results in order, an AsrtoolError where an utterance failed."""
        yield from outcomes(self.decode_lattice if lattice else self.decode, items, num_threads)
