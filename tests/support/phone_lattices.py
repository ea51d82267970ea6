"""Small lattices whose paths are alignments of whole phones, as a decoder with Kaldi's reordered self-loops makes them."""

import numpy as np

from asrtool.criterion.sequence import PhoneTables
from asrtool.fst.csr import CsrGraph
from asrtool.graph.denominator import DenominatorGraph
from asrtool.hmm.topology import HmmState, HmmTopology
from asrtool.hmm.transition_model import TransitionModel
from asrtool.lattice.connect import connect
from asrtool.lattice.lattice import Lattice

SILENCE, PHONES = 1, (1, 2, 3, 4)
NUM_PDFS = 6


def phone_model():
    """Silence and three phones; the first of two states, phones 3 and 4 share the second's pdf."""
    one = (HmmState(0, 0, ((0, 0.6), (1, 0.4))), HmmState())
    two = (HmmState(0, 0, ((0, 0.5), (1, 0.5))), HmmState(1, 1, ((1, 0.5), (2, 0.5))), HmmState())
    topology = HmmTopology([one, two], {1: 0, 2: 0, 3: 1, 4: 1})
    rows = [(1, 0, 0), (2, 0, 1), (3, 0, 2), (3, 1, 3), (4, 0, 4), (4, 1, 3)]
    return TransitionModel(topology, np.array([(phone, state, pdf, pdf) for phone, state, pdf in rows], np.int32))


def phone_tables():
    model = phone_model()
    return PhoneTables(**{**vars(PhoneTables.from_model(model, [SILENCE])), "num_pdfs": NUM_PDFS})


def phone_lattice(seed, num_frames=6, keep=0.7):
    """A random part of all alignments of num_frames frames; an arc without transition-id ends each phone."""
    model, random = phone_model(), np.random.default_rng(seed)
    rows = [tuple(row) for row in model.tuples[:, :2].tolist()]
    number = {(phone, state): row for row, (phone, state) in enumerate(rows)}
    num_places = len(rows) + 1  # the HMM states, and between phones
    between = len(rows)

    def state_of(frame, place):
        return 0 if frame == 0 else 1 + (frame - 1) * num_places + place

    arcs = []
    for frame in range(num_frames):
        for row, (phone, state) in enumerate(rows):
            loop, forward = int(model.self_loop[row]), next(
                tid for tid in range(*model.first_tid[row : row + 2]) if not model.tid_is_self_loop[tid]
            )  # fmt: skip
            sources = [between] if state == 0 else [] if frame == 0 else [number[phone, state - 1]]
            candidates = [(source, forward) for source in sources] + ([(row, loop)] if frame else [])
            for source, tid in candidates:
                if random.random() < keep:
                    arcs.append((state_of(frame, source), state_of(frame + 1, row), tid, random.integers(0, 4)))
            if model.tid_is_final[forward]:
                arcs.append((state_of(frame + 1, row), state_of(frame + 1, between), 0, 0))
    arcs.sort()
    columns = [np.array(column, np.int32) for column in zip(*arcs)]
    num_states = 1 + num_frames * num_places
    final = np.full(num_states, np.inf, np.float32)
    final[-1] = 0.5
    lattice = Lattice(
        num_frames,
        np.append(0, np.repeat(np.arange(1, num_frames + 1), num_places)).astype(np.int32),
        *columns,
        arc_graph_cost=random.uniform(0, 2, len(arcs)).astype(np.float32),
        arc_acoustic_cost=np.zeros(len(arcs), np.float32),
        final_cost=final,
    )
    return connect(lattice)


def phone_problem(seed, num_frames=6):
    """(log-likelihoods, the alignment of one of the lattice's paths, the lattice)."""
    random = np.random.default_rng(seed)
    while (lattice := phone_lattice(seed, num_frames)).num_states == 0:
        seed += 1000
    state, numerator = 0, []
    while state < lattice.num_states - 1:
        arc = random.choice(np.flatnonzero(lattice.arc_start == state))
        numerator += [tid for tid in [lattice.arc_transition_id[arc]] if tid]
        state = lattice.arc_end[arc]
    loglikes = np.round(random.normal(0, 2, (num_frames, NUM_PDFS)) * 64).astype(np.float32) / 64
    return loglikes, np.array(numerator, np.int32), lattice


def phone_denominator():
    """The denominator graph of all phone sequences, each phone as likely as the others: state 0, then one an HMM state."""
    model = phone_model()
    places = [tuple(row) for row in model.tuples[:, :2].tolist()]
    firsts = [place for place, (_, state) in enumerate(places) if state == 0]
    arcs = [(0, first + 1) for first in firsts]
    for place, (phone, state) in enumerate(places):
        arcs.append((place + 1, place + 1))
        following = [places.index((phone, state + 1))] if (phone, state + 1) in places else firsts
        arcs += [(place + 1, target + 1) for target in following]
    arcs.sort()
    source, target = np.array(arcs, np.int32).T
    labels = (model.tuples[target - 1, 2] + 1).astype(np.int32)
    begin = np.searchsorted(source, np.arange(len(places) + 2)).astype(np.int64)
    costs = np.log(np.diff(begin)[source]).astype(np.float32)  # the arcs of a state are as likely as each other
    final = np.zeros(len(places) + 1, np.float32)
    graph = CsrGraph(0, begin, labels, labels.copy(), target.astype(np.int32), costs, final)
    return DenominatorGraph.from_graph(graph, np.zeros(NUM_PDFS, np.int8))
