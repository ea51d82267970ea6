"""The denominator graph of lattice-free MMI: all phone sequences that a phone language model knows, as an HMM over pdfs.

An HMM state stands between two frames, an arc emits one frame by a pdf. Arcs are grouped to rows of one next state and one pdf,
so that a frame of the forward sums is one product of a sparse matrix [rows, states] with the states' sums, and each row is
multiplied with its pdf's likelihood once, not each arc.
"""

import hashlib
import io
import json
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph
from asrtool.io.atomic_file import atomic_path, write_text

FILE, INFO, FST, PHONE_LM = "denominator.npz", "denominator.json", "den.fst", "phone_lm.fst"
_STEPS = 100  # over which initial probabilities are averaged, as in Kaldi
BOTH, FORWARD_ONLY, LOOP_ONLY = 0, 1, 2


@dataclass
class DenominatorGraph:
    """S states, R rows, A arcs; no epsilons.

    Attributes:
        initial: float32 [S], probabilities of states before the first frame, sum 1.
        final: float32 [S], probabilities of ending in a state after the last frame.
        row_state: int32 [R], the state that a row's arcs lead to, ascending.
        row_pdf: int32 [R], the pdf (from 0) that they emit, ascending among a state's rows.
        row_begin: int64 [R + 1], row r has arcs row_begin[r] to row_begin[r + 1].
        arc_state: int32 [A], the state that an arc leaves, ascending within a row, each once.
        arc_prob: float32 [A].
        pdf_kind: int8 [P]: FORWARD_ONLY, a pdf of the first frame of states whose other frames have another one (chain
            topologies); LOOP_ONLY, a pdf of these; else BOTH.
        frame_subsampling_factor: 10 ms frames that one frame of the graph stands for.
    """

    initial: np.ndarray
    final: np.ndarray
    row_state: np.ndarray
    row_pdf: np.ndarray
    row_begin: np.ndarray
    arc_state: np.ndarray
    arc_prob: np.ndarray
    pdf_kind: np.ndarray
    frame_subsampling_factor: int = 1

    @property
    def num_states(self) -> int:
        return len(self.initial)

    @property
    def num_arcs(self) -> int:
        return len(self.arc_state)

    @property
    def num_pdfs(self) -> int:
        return len(self.pdf_kind)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that name the graph's content."""
        digest = hashlib.sha256()
        for field in fields(self):
            digest.update(np.ascontiguousarray(getattr(self, field.name)).tobytes())
        return digest.hexdigest()[:16]

    @classmethod
    def from_graph(
        cls, graph: CsrGraph, pdf_kind: np.ndarray, frame_subsampling_factor: int = 1, real_final: bool = False
    ) -> "DenominatorGraph":
        """From an acceptor without epsilons whose labels are pdfs plus 1 (Kaldi's den.fst).

        Args:
            real_final: end with the graph's final probabilities; else, as Kaldi does, any state ends with probability 1, which
                suits utterances cut to pieces as well.

        Raises:
            AsrtoolError: no states, an epsilon, or a pdf that there is not.
        """
        if graph.num_states == 0 or graph.num_arcs == 0:
            raise AsrtoolError("denominator graph: it is empty")
        if graph.arc_ilabel.min() < 1 or graph.arc_ilabel.max() > len(pdf_kind):
            raise AsrtoolError("denominator graph: an arc's label is neither a pdf of the model nor 1 more than one")
        row_arcs = np.lexsort((graph.arc_source, graph.arc_ilabel, graph.arc_nextstate))
        columns = np.stack([graph.arc_nextstate, graph.arc_ilabel - 1, graph.arc_source])[:, row_arcs]
        first = np.flatnonzero(np.any(np.diff(columns, axis=1, prepend=-1), axis=0))  # parallel arcs become one
        prob = np.add.reduceat(np.exp(-graph.arc_cost[row_arcs].astype(np.float64)), first)
        state, pdf, source = columns[:, first]
        begin = np.flatnonzero(np.any(np.diff(columns[:2, first], axis=1, prepend=-1), axis=0))
        return cls(
            initial=initial_probabilities(graph),
            final=(np.exp(-graph.final_cost) if real_final else np.ones(graph.num_states)).astype(np.float32),
            row_state=state[begin].astype(np.int32),
            row_pdf=pdf[begin].astype(np.int32),
            row_begin=np.append(begin, len(first)).astype(np.int64),
            arc_state=source.astype(np.int32),
            arc_prob=prob.astype(np.float32),
            pdf_kind=np.asarray(pdf_kind, np.int8),
            frame_subsampling_factor=frame_subsampling_factor,
        )

    def save(self, directory: str | Path, info: dict | None = None) -> None:
        """Writes denominator.npz and denominator.json (info and sizes, to be read by people), each whole or not at all."""
        directory = Path(directory)
        sizes = {
            "states": self.num_states,
            "arcs": self.num_arcs,
            "rows": len(self.row_state),
            "pdfs": self.num_pdfs,
            "pdfs_without_arc": self.num_pdfs - len(np.unique(self.row_pdf)),
            "frame_subsampling_factor": self.frame_subsampling_factor,
            "fingerprint": self.fingerprint,
        }
        write_text(directory / INFO, json.dumps({**sizes, **(info or {})}, indent=1) + "\n")
        with atomic_path(directory / FILE) as temporary:
            np.savez(temporary, fingerprint=self.fingerprint, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, directory: str | Path) -> "DenominatorGraph":
        """Reads what `save` wrote.

        Raises:
            AsrtoolError: no such graph, or a damaged one.
        """
        path = Path(directory) / FILE
        mend = "make it again with asrtool make-den-graph"
        try:
            with np.load(io.BytesIO(path.read_bytes())) as arrays:
                values = {field.name: arrays[field.name] for field in fields(cls)}
                fingerprint = str(arrays["fingerprint"])
        except FileNotFoundError:
            raise AsrtoolError(f"{path}: no such file; make it with asrtool make-den-graph") from None
        except Exception as error:  # whatever a damaged archive leads numpy to
            raise AsrtoolError(f"{path}: damaged ({' '.join(str(error).split())}); {mend}") from None
        values["frame_subsampling_factor"] = int(values["frame_subsampling_factor"])
        graph = cls(**values)
        if graph.fingerprint != fingerprint:
            raise AsrtoolError(f"{path}: damaged: its content is not that of its fingerprint; {mend}")
        return graph


def initial_probabilities(graph: CsrGraph) -> np.ndarray:
    """float32 [S]: how often an HMM is in each state over its first 100 frames, from the start state on.

    As Kaldi's DenominatorGraph::SetInitialProbs: pieces of utterances begin anywhere. Arcs and final probability of a state are
    scaled to the sum 1, and the states of each frame again.
    """
    from scipy.sparse import csr_array

    prob = np.exp(-graph.arc_cost.astype(np.float64))
    matrix = csr_array((prob, graph.arc_nextstate, graph.arc_begin), shape=(graph.num_states, graph.num_states))
    scale = 1 / (matrix @ np.ones(graph.num_states) + np.exp(-graph.final_cost.astype(np.float64)))
    backwards = csr_array(matrix.T)
    now, sums = np.zeros(graph.num_states), np.zeros(graph.num_states)
    now[graph.start] = 1
    for _ in range(_STEPS):
        sums += now
        now = backwards @ (now * scale)
        now /= now.sum()
    return (sums / _STEPS).astype(np.float32)
