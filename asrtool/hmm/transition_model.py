"""Kaldi's TransitionModel: transition-ids, what they stand for, and their probabilities (the head of final.mdl).

A transition-state is a tuple (phone, hmm-state, forward pdf, self-loop pdf); a transition-id (from 1) is one transition
out of a transition-state, numbered in the tuples' order. Read and written byte for byte as hmm/transition-model.cc does.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.hmm.topology import NO_PDF, HmmTopology
from asrtool.io.kaldi_binary import LARGEST_ID, KaldiReader, KaldiWriter


class TransitionModel:
    """
    Args:
        topology: the phones' HMMs.
        tuples: int32 [N, 4] of (phone, hmm-state, forward pdf, self-loop pdf), ascending, each once.
        log_probs: float32 [num_transition_ids + 1], entry 0 unused; None takes the topology's probabilities.

    Attributes, all indexed by transition-id (entry 0 unused), [num_transition_ids + 1]:
        tid_to_tuple int32: row of `tuples` (Kaldi's transition-state is this plus 1); entry 0 is -1.
        tid_to_index int32: which transition of the state; entry 0 is -1.
        tid_to_pdf, tid_to_phone, tid_to_hmm_state int32: entry 0 is -1.
        tid_is_self_loop, tid_is_final bool: loops; transitions into a phone's final state.
        log_probs float32.

    Attributes indexed by tuple:
        first_tid int32 [N + 1]: first transition-id, and one past the last at the end.
        self_loop int32 [N]: the self-loop's transition-id, 0 where there is none.

    Raises:
        AsrtoolError: tuples and topology, or the number of probabilities, do not fit together.
    """

    def __init__(
        self, topology: HmmTopology, tuples: np.ndarray, log_probs: np.ndarray | None = None, name: str = "model"
    ) -> None:
        self.topology = topology
        self.tuples = np.ascontiguousarray(tuples, dtype=np.int32).reshape(-1, 4)
        self.name = name
        self._derive()
        if log_probs is None:
            states = [topology.states(phone)[state] for phone, state in self.tuples[:, :2].tolist()]
            probs = [1.0] + [probability for state in states for _, probability in state.transitions]
            log_probs = np.log(np.array(probs, dtype=np.float32))
        self.log_probs = np.array(log_probs, dtype=np.float32)
        if self.log_probs.shape != (self.num_transition_ids + 1,):
            raise AsrtoolError(
                f"{name}: {len(self.log_probs) - 1} transition probabilities for {self.num_transition_ids} transitions: damaged"
            )
        if not np.all(np.isfinite(self.log_probs[1:])) or np.any(self.log_probs[1:] > 0):
            raise AsrtoolError(f"{name}: a transition probability is not a number in (0, 1]: the file is damaged")

    def _derive(self) -> None:
        order = self.tuples.tolist()
        if not order or any(one >= two for one, two in pairwise(order)):
            raise AsrtoolError(f"{self.name}: the transition-states are not in ascending order, or there are none")
        if self.tuples[:, 2:].min() < NO_PDF or self.tuples[:, 2].min() < 0 or self.tuples[:, 2:].max() > LARGEST_ID:
            raise AsrtoolError(f"{self.name}: a pdf-id below 0 or far too large: the file is damaged")
        counts, destinations, finals = [], [], []
        for phone, state, _, _ in order:
            states = self.topology.states(phone)
            if not 0 <= state < len(states) - 1:
                raise AsrtoolError(f"{self.name}: phone {phone} has no emitting state {state}: damaged, or another topology")
            counts.append(len(states[state].transitions))
            destinations.extend(destination for destination, _ in states[state].transitions)
            finals.extend([len(states) - 1] * counts[-1])
        owner = np.repeat(np.arange(len(order), dtype=np.int32), counts)
        ends = np.cumsum(counts)
        self.first_tid = np.concatenate([[1], ends + 1]).astype(np.int32)
        self.tid_to_tuple = np.concatenate([[-1], owner]).astype(np.int32)
        self.tid_to_index = np.arange(len(owner) + 1, dtype=np.int32) - self.first_tid[self.tid_to_tuple]
        self.tid_to_index[0] = -1
        self.tid_destination = np.concatenate([[-1], destinations]).astype(np.int32)
        self.tid_to_phone = np.concatenate([[-1], self.tuples[owner, 0]]).astype(np.int32)
        self.tid_to_hmm_state = np.concatenate([[-1], self.tuples[owner, 1]]).astype(np.int32)
        self.tid_is_self_loop = self.tid_destination == self.tid_to_hmm_state
        self.tid_is_self_loop[0] = False
        self.tid_is_final = self.tid_destination == np.concatenate([[0], finals])
        self.tid_to_pdf = np.where(self.tid_is_self_loop, self.tuples[self.tid_to_tuple, 3], self.tuples[self.tid_to_tuple, 2])
        self.tid_to_pdf[0] = -1
        self.self_loop = np.zeros(len(order), dtype=np.int32)
        loops = np.flatnonzero(self.tid_is_self_loop)
        self.self_loop[self.tid_to_tuple[loops]] = loops

    @property
    def num_transition_ids(self) -> int:
        return len(self.tid_to_tuple) - 1

    @property
    def num_pdfs(self) -> int:
        return int(self.tuples[:, 2:].max()) + 1

    @property
    def phones(self) -> list[int]:
        return self.topology.phones

    def self_loop_tid(self, state: int) -> int:
        """The self-loop of row `state` of `tuples`; 0 where there is none (Kaldi's SelfLoopOf)."""
        return int(self.self_loop[state])

    def pair(self, transition_id: int) -> tuple[int, int]:
        """(row of `tuples`, which of its transitions) of a transition-id."""
        return int(self.tid_to_tuple[transition_id]), int(self.tid_to_index[transition_id])

    def tid(self, state: int, index: int) -> int:
        """The transition-id of transition `index` out of row `state` of `tuples`; the inverse of `pair`."""
        return int(self.first_tid[state]) + index

    @property
    def non_self_loop_log_probs(self) -> np.ndarray:
        """float32 [N]: the log of one minus the self-loop's probability, 0 for a state without one."""
        loop_log_probs = np.where(self.self_loop > 0, self.log_probs[self.self_loop], np.float32(-np.inf))
        rest = np.float32(1) - np.exp(loop_log_probs)
        return np.log(np.maximum(rest, np.float32(1e-10)))

    def scaled_costs(self, transition_scale: float = 1.0, self_loop_scale: float = 0.1) -> np.ndarray:
        """float32 [num_transition_ids + 1]: -log probability as an aligner adds it (Kaldi's AddTransitionProbs); entry 0 is 0.

        A self-loop costs self_loop_scale x -log p; another transition self_loop_scale x -log(1 - p of the state's
        loop), and transition_scale x -log(its share of the rest).
        """
        leave = np.append(self.non_self_loop_log_probs, np.float32(0))[self.tid_to_tuple]
        forward = np.float32(self_loop_scale) * leave + np.float32(transition_scale) * (self.log_probs - leave)
        costs = -np.where(self.tid_is_self_loop, np.float32(self_loop_scale) * self.log_probs, forward)
        costs[0] = 0
        return costs

    def update(self, counts: np.ndarray, floor: float = 0.01, min_count: float = 5.0) -> tuple[float, float]:
        """Maximum-likelihood probabilities from counts float64 [num_transition_ids + 1] (Kaldi's MleUpdate).

        States seen fewer than `min_count` times keep theirs; probabilities are floored three times over. Returns the gain
        of the log-likelihood and the count it is over.
        """
        if counts.shape != self.log_probs.shape:
            raise AsrtoolError(f"{self.name}: {len(counts) - 1} transition counts for {self.num_transition_ids} transitions")
        gain = total = 0.0
        num_transitions = np.diff(self.first_tid)
        for size in np.unique(num_transitions[num_transitions > 1]):
            tids = self.first_tid[:-1][num_transitions == size][:, None] + np.arange(size)
            count = counts[tids]
            sums = count.sum(axis=1)
            total += float(sums.sum())
            enough = sums >= min_count
            tids, count = tids[enough], count[enough]
            probs = (count / sums[enough, None]).astype(np.float32)
            for _ in range(3):
                probs = np.maximum(probs / probs.sum(axis=1, keepdims=True), np.float32(floor))
            log_probs = np.log(probs)
            gain += float((count * (log_probs - self.log_probs[tids])).sum())
            self.log_probs[tids] = np.minimum(log_probs, 0)
        return gain, total

    def phone_segments(self, alignment: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """int32 phones [K] and lengths in frames [K] of an alignment (transition-ids, int [T]).

        Self-loops may follow their state's other transition (Kaldi's reordered form) or precede it.

        Raises:
            AsrtoolError: a transition-id that the model lacks, or an alignment that does not end with a whole phone.
        """
        alignment = np.asarray(alignment)
        if len(alignment) == 0:
            return np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int32)
        if alignment.min() < 1 or alignment.max() > self.num_transition_ids:
            raise AsrtoolError(f"alignment: transition-id {alignment.max()}, but the model has {self.num_transition_ids}")
        state, loop = self.tid_to_tuple[alignment], self.tid_is_self_loop[alignment]
        if self._is_reordered(state, loop):
            forward = np.flatnonzero(~loop)
            final = self.tid_is_final[alignment[forward]]
            whole = len(forward) > 0 and forward[0] == 0 and bool(final[-1])
            starts = np.concatenate([[0], forward[1:][final[:-1]]]) if whole else None
        else:
            final = self.tid_is_final[alignment] & ~loop
            starts = np.concatenate([[0], np.flatnonzero(final[:-1]) + 1]) if final[-1] else None
        if starts is None or np.any(self.tid_to_hmm_state[alignment[starts]] != 0):
            raise AsrtoolError("alignment: it does not consist of whole phones: made with another model, or cut")
        phones = self.tid_to_phone[alignment[starts]]
        lengths = np.diff(np.append(starts, len(alignment))).astype(np.int32)
        if np.any(np.repeat(phones, lengths) != self.tid_to_phone[alignment]):
            raise AsrtoolError("alignment: the phone changes before its last state: made with another model")
        return phones, lengths

    def alignment_to_phones(self, alignment: np.ndarray) -> list[tuple[int, int]]:
        """(phone, number of frames) in order; as `phone_segments`."""
        phones, lengths = self.phone_segments(alignment)
        return list(zip(phones.tolist(), lengths.tolist()))

    @staticmethod
    def _is_reordered(state: np.ndarray, loop: np.ndarray) -> bool:
        """Kaldi's IsReordered: does a self-loop come after its state's other transition?"""
        change = np.flatnonzero((state[1:] != state[:-1]) & (loop[1:] | loop[:-1]))
        if len(change):
            return bool(loop[change[0]])
        return not loop[0] and bool(loop[-1])

    @classmethod
    def from_tree(cls, context_dependency, topology: HmmTopology) -> "TransitionModel":
        """The model of a tree (a ContextDependency), with the topology's probabilities."""
        tuples: set[tuple[int, int, int, int]] = set()
        for phone in topology.phones:
            pairs_of_classes: dict[tuple[int, int], set[tuple[int, int]]] = {}
            for index, state in enumerate(topology.states(phone)):
                classes = (state.forward_pdf_class, state.self_loop_pdf_class)
                if classes[0] == NO_PDF:
                    continue
                if classes not in pairs_of_classes:
                    pairs_of_classes[classes] = context_dependency.pdf_pairs(topology.phones, phone, *classes)
                if not pairs_of_classes[classes]:
                    raise AsrtoolError(f"tree: no pdf for phone {phone}, pdf class {classes[0]}: tree and topology do not fit")
                tuples.update((phone, index, forward, self_loop) for forward, self_loop in pairs_of_classes[classes])
        return cls(topology, np.array(sorted(tuples), dtype=np.int32))

    @classmethod
    def read(cls, reader: KaldiReader) -> "TransitionModel":
        """Reads a `<TransitionModel>` block; what follows it (the acoustic model) is left to the caller."""
        reader.expect_token("<TransitionModel>")
        topology = HmmTopology.read(reader)
        width = {"<Triples>": 3, "<Tuples>": 4}[reader.expect_token("<Triples>", "<Tuples>")]
        num_tuples = reader.read_int()
        if num_tuples < 1:
            raise AsrtoolError(f"{reader.name}: {num_tuples} transition-states: the file is damaged")
        tuples = _read_tuples(reader, num_tuples, width)
        reader.expect_token("</Triples>" if width == 3 else "</Tuples>")
        if width == 3:
            tuples = np.column_stack([tuples, tuples[:, 2]])
        reader.expect_token("<LogProbs>")
        log_probs = reader.read_float_vector()
        reader.expect_token("</LogProbs>")
        reader.expect_token("</TransitionModel>")
        return cls(topology, tuples, log_probs, name=reader.name)

    @classmethod
    def read_file(cls, path: str | Path) -> "TransitionModel":
        """Reads the transition model at the head of a final.mdl."""
        with KaldiReader.open(path) as reader:
            return cls.read(reader)

    def write(self, writer: KaldiWriter) -> None:
        """Writes the block as Kaldi does."""
        is_hmm = self.topology.is_hmm
        writer.write_token("<TransitionModel>")
        writer.newline()
        self.topology.write(writer)
        writer.write_token("<Triples>" if is_hmm else "<Tuples>")
        writer.write_int(len(self.tuples))
        writer.newline()
        for row in self.tuples[:, : 3 if is_hmm else 4].tolist():
            for value in row:
                writer.write_int(value)
            writer.newline()
        writer.write_token("</Triples>" if is_hmm else "</Tuples>")
        writer.newline()
        writer.write_token("<LogProbs>")
        writer.newline()
        writer.write_float_vector(self.log_probs)
        for token in ("</LogProbs>", "</TransitionModel>"):
            writer.write_token(token)
            writer.newline()


def _read_tuples(reader: KaldiReader, size: int, width: int) -> np.ndarray:
    if not reader.binary:
        return np.array([reader.read_int() for _ in range(size * width)], dtype=np.int32).reshape(size, width)
    elements = np.frombuffer(reader.read_raw(size * width * 5), np.dtype([("size", "i1"), ("value", "<i4")]))
    if np.any(elements["size"] != 4):
        raise AsrtoolError(f"{reader.name}: the transition-states are not 4-byte integers: the file is damaged")
    return elements["value"].reshape(size, width)
