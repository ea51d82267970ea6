"""Random lattices of words over small models: with a word an arc, and the same with words and transition-ids moved about."""

from collections import defaultdict

import numpy as np

from asrtool.hmm.topology import HmmState, HmmTopology
from asrtool.hmm.transition_model import TransitionModel
from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.strings import begins

SILENCE = 1
# phones 2 to 5 are a_B a_E a_I a_S, 6 to 9 the same of b
BY_PLACE = {1: [[5]], 2: [[2, 7]], 3: [[6, 4, 7], [6, 3]], 4: [[9]]}
PLACES = "1 nonword\n2 begin\n3 end\n4 internal\n5 singleton\n6 begin\n7 end\n8 internal\n9 singleton\n"
# phones 2 and 3; words 2 and 5 sound alike, and word 1 begins word 2
BY_LEXICON = {1: [[2]], 2: [[2, 3]], 3: [[3, 2, 3], [3, 2]], 4: [[3]], 5: [[2, 3]]}


def lexicon_text(lexicon):
    lines = [f"{word} {word} {' '.join(map(str, phones))}" for word, prons in lexicon.items() for phones in prons]
    return "\n".join([f"0 0 {SILENCE}", *lines]) + "\n"


def small_model(num_phones=9):
    """Silence has two states, the other phones one or three."""
    loop = 0.5

    def left_to_right(number):
        states = [HmmState(k, k, ((k, loop), (k + 1, 1 - loop))) for k in range(number)]
        return (*states, HmmState())

    entries = [left_to_right(2), left_to_right(1), left_to_right(3)]
    entry_of_phone = {phone: 0 if phone == SILENCE else 1 + phone % 2 for phone in range(1, num_phones + 1)}
    topology = HmmTopology(entries, entry_of_phone)
    tuples, pdf = [], 0
    for phone, entry in entry_of_phone.items():
        for state in range(len(entries[entry]) - 1):
            tuples.append((phone, state, pdf, pdf))
            pdf += 1
    return TransitionModel(topology, np.array(tuples, np.int32))


def transition_ids(model, phones, random, reorder=True):
    """A path through the phones' HMMs, with up to two loops a state."""
    result = []
    for phone in phones:
        for state in np.flatnonzero(model.tuples[:, 0] == phone):
            loops = [int(model.self_loop[state])] * int(random.integers(0, 3))
            leave = [tid for tid in range(model.first_tid[state], model.first_tid[state + 1]) if tid != model.self_loop[state]]
            result += [*leave, *loops] if reorder else [*loops, *leave]
    return result


class Arc:
    def __init__(self, start, end, word, tids, graph, acoustic):
        self.start, self.end, self.words, self.tids = start, end, [word] if word else [], list(tids)
        self.graph, self.acoustic = graph, acoustic


def word_arcs(model, lexicon, seed, num_states=6, reorder=True, density=0.5):
    """A word or a silence an arc; paths of different lengths meet, which is nothing to the aligner."""
    random = np.random.default_rng(seed)
    arcs = []
    for start in range(num_states - 1):
        ends = [end for end in range(start + 1, num_states) if end == start + 1 or random.random() < density]
        for end in ends:
            word = int(random.integers(0, len(lexicon) + 1))
            phones = lexicon[word][random.integers(len(lexicon[word]))] if word else [SILENCE]
            tids = transition_ids(model, phones, random, reorder)
            arcs.append(Arc(start, end, word, tids, random.uniform(0, 3), random.uniform(0, 9)))
    return arcs


def move_about(arcs, num_states, seed, rounds=30):
    """Moves common first transition-ids and words of the arcs that leave a state to those that enter it, or last ones on."""
    random = np.random.default_rng(seed)
    for _ in range(rounds):
        state = int(random.integers(1, num_states - 1))
        entering, leaving = ([arc for arc in arcs if getattr(arc, side) == state] for side in ("end", "start"))
        if random.random() < 0.5:
            entering, leaving, first = leaving, entering, -1
        else:
            first = 0
        # from `leaving` to `entering`
        if not leaving or not entering:
            continue
        heads = {arc.tids[first] if arc.tids else None for arc in leaving}
        if len(heads) == 1 and None not in heads:
            for arc in leaving:
                arc.tids.pop(first)
            for arc in entering:
                arc.tids.insert(0 if first else len(arc.tids), *heads)
        words = {tuple(arc.words) for arc in leaving}
        if len(words) == 1 and words != {()} and not any(arc.words for arc in entering) and random.random() < 0.5:
            for arc in entering:
                arc.words = list(leaving[0].words)
            for arc in leaving:
                arc.words = []
    return arcs


def compact_lattice(arcs, num_states, final_tids=()):
    arcs = sorted(arcs, key=lambda arc: arc.start)
    final = np.full(num_states, np.inf, np.float32)
    final[-1] = 0.5
    return CompactLattice(
        num_frames=0,
        arc_start=np.array([arc.start for arc in arcs], np.int32),
        arc_end=np.array([arc.end for arc in arcs], np.int32),
        arc_word=np.array([arc.words[0] if arc.words else 0 for arc in arcs], np.int32),
        arc_graph_cost=np.array([arc.graph for arc in arcs], np.float32),
        arc_acoustic_cost=np.array([arc.acoustic for arc in arcs], np.float32),
        tid_begin=begins([len(arc.tids) for arc in arcs]),
        transition_id=np.array([tid for arc in arcs for tid in arc.tids], np.int32),
        final_graph_cost=final,
        final_acoustic_cost=np.where(final < np.inf, np.float32(0), final),
        final_tid_begin=begins([0] * (num_states - 1) + [len(final_tids)]),
        final_transition_id=np.array(final_tids, np.int32),
    )


def unit_paths(lattice):
    """((word, its transition-ids), ...) of every path -> the least (graph + acoustic, graph, acoustic) cost."""
    leaving = defaultdict(list)
    for arc in range(lattice.num_arcs):
        leaving[int(lattice.arc_start[arc])].append(arc)
    result, stack = {}, [(0, (), 0.0, 0.0)]
    while stack:
        state, units, graph, acoustic = stack.pop()
        if lattice.final_graph_cost[state] < np.inf:
            assert lattice.final_tid_begin[state] == lattice.final_tid_begin[state + 1] or not units
            costs = (graph + float(lattice.final_graph_cost[state]), acoustic + float(lattice.final_acoustic_cost[state]))
            result[units] = min(result.get(units, (np.inf,)), (sum(costs), *costs))
        for arc in leaving[state]:
            tids = tuple(lattice.transition_id[lattice.tid_begin[arc] : lattice.tid_begin[arc + 1]].tolist())
            new = (int(lattice.arc_end[arc]), (*units, (int(lattice.arc_word[arc]), tids)))
            stack.append((*new, graph + float(lattice.arc_graph_cost[arc]), acoustic + float(lattice.arc_acoustic_cost[arc])))
    return result


def number_of_paths(lattice):
    paths = np.where(lattice.final_graph_cost < np.inf, 1, 0).astype(object)
    for arc in range(lattice.num_arcs - 1, -1, -1):
        paths[lattice.arc_start[arc]] += paths[lattice.arc_end[arc]]
    return paths[0]
