"""Small random lattices of both kinds, and all of their paths by plain recursion."""

from typing import NamedTuple

import numpy as np

from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.lattice import Lattice


class Path(NamedTuple):
    words: tuple[int, ...]
    transition_ids: tuple[int, ...]
    graph: float
    acoustic: float
    arcs: tuple[int, ...]
    last_state: int

    def cost(self, acoustic_scale=1.0, lm_scale=1.0, word_insertion_penalty=0.0):
        return lm_scale * self.graph + acoustic_scale * self.acoustic + word_insertion_penalty * len(self.words)


def random_lattice(seed, num_frames=4, states_a_frame=3, num_words=3, num_tids=5, density=0.7):
    """State level: some states and arcs are on no whole path; some arcs take no frame."""
    random = np.random.default_rng(seed)
    counts = [1, *random.integers(1, states_a_frame + 1, num_frames)]
    state_frame = np.repeat(np.arange(num_frames + 1), counts).astype(np.int32)
    arcs = []
    for start, frame in enumerate(state_frame):
        for end in range(start + 1, len(state_frame)):
            step = state_frame[end] - frame
            if step > 1 or random.random() > density:
                continue
            for _ in range(random.integers(1, 3)):
                tid = random.integers(1, num_tids + 1) if step else 0
                word = random.integers(1, num_words + 1) if random.random() < 0.5 else 0
                arcs.append((start, end, tid, word, random.uniform(-1, 3), random.uniform(1, 5) if step else 0))
    columns = list(zip(*arcs)) if arcs else [()] * 6
    final = np.where(
        (state_frame == num_frames) & (random.random(len(state_frame)) < 0.8), random.random(len(state_frame)), np.inf
    )
    return Lattice(
        num_frames,
        state_frame,
        *(np.array(column, np.int32) for column in columns[:4]),
        *(np.array(column, np.float32) for column in columns[4:]),
        final.astype(np.float32),
    )


def random_compact(seed, num_states=7, num_frames=8, num_words=3, num_tids=5, density=0.8, deterministic=False):
    """Word level; `deterministic`: at most one arc of a word leaves a state, and every arc has a word."""
    random = np.random.default_rng(seed)
    times = np.sort(random.integers(0, num_frames + 1, num_states))
    times[0] = 0
    arcs, strings = [], []
    for start in range(num_states):
        words = list(random.permutation(np.arange(1, num_words + 1)))
        for end in range(start + 1, num_states):
            if random.random() > density or (deterministic and not words):
                continue
            word = words.pop() if deterministic else random.integers(0, num_words + 1)
            arcs.append((start, end, word, random.uniform(-1, 3), random.uniform(1, 5)))
            strings.append(random.integers(1, num_tids + 1, times[end] - times[start]))
    columns = list(zip(*arcs)) if arcs else [()] * 5
    is_final = random.random(num_states) < 0.4
    is_final[-1] = True
    ends = [random.integers(1, num_tids + 1, num_frames - time) if final else [] for final, time in zip(is_final, times)]
    begin, elements = pack(strings)
    final_begin, final_elements = pack(ends)
    return CompactLattice(
        num_frames,
        *(np.array(column, np.int32) for column in columns[:3]),
        *(np.array(column, np.float32) for column in columns[3:]),
        begin,
        elements,
        *(np.where(is_final, random.random(num_states), np.inf).astype(np.float32) for _ in range(2)),
        final_begin,
        final_elements,
    )


def pack(strings):
    """(int64 begin, int32 elements) of lists of integers."""
    begin = np.concatenate([[0], np.cumsum([len(string) for string in strings])]).astype(np.int64)
    return begin, np.concatenate([*strings, []]).astype(np.int32)


def all_paths(lattice):
    """Every path from state 0 to a final state, costs in float64 and unscaled."""
    compact = isinstance(lattice, CompactLattice)
    paths = []

    def string(begin, elements, index):
        return tuple(elements[begin[index] : begin[index + 1]].tolist())

    def walk(state, words, tids, graph, acoustic, arcs):
        if compact and np.isfinite(lattice.final_graph_cost[state] + lattice.final_acoustic_cost[state]):
            end = string(lattice.final_tid_begin, lattice.final_transition_id, state)
            costs = graph + float(lattice.final_graph_cost[state]), acoustic + float(lattice.final_acoustic_cost[state])
            paths.append(Path(words, tids + end, *costs, arcs, state))
        if not compact and np.isfinite(lattice.final_cost[state]):
            paths.append(Path(words, tids, graph + float(lattice.final_cost[state]), acoustic, arcs, state))
        for arc in np.flatnonzero(lattice.arc_start == state):
            word, tid = int(lattice.arc_word[arc]), 0 if compact else int(lattice.arc_transition_id[arc])
            walk(
                int(lattice.arc_end[arc]),
                words + ((word,) if word else ()),
                tids + (string(lattice.tid_begin, lattice.transition_id, arc) if compact else (tid,) if tid else ()),
                graph + float(lattice.arc_graph_cost[arc]),
                acoustic + float(lattice.arc_acoustic_cost[arc]),
                (*arcs, int(arc)),
            )

    if lattice.num_states:
        walk(0, (), (), 0.0, 0.0, ())
    return paths


def random_lattices(count, **options):
    """`count` lattices of each kind."""
    for seed in range(count):
        yield random_lattice(seed, **options)
        yield random_compact(seed, **options)
