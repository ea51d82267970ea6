"""Small random graphs and a Viterbi search over all states, in float64: the slow twin of the decoder."""

import numpy as np

from asrtool.fst.csr import CsrGraph


def random_graph(random, num_states=12, num_arcs=40, num_epsilons=10, num_tids=9, num_words=5, num_final=3) -> CsrGraph:
    """Emitting arcs anywhere (loops included), epsilon arcs only upwards; every state has an emitting arc."""
    sources = [*range(num_states), *random.integers(num_states, size=num_arcs)]
    arcs = [(s, random.integers(1, num_tids + 1), random.integers(num_words + 1), random.integers(num_states)) for s in sources]
    for _ in range(num_epsilons):
        low, high = sorted(random.choice(num_states, 2, replace=False))
        arcs.append((low, 0, random.integers(num_words + 1), high))
    source, ilabel, olabel, nextstate = np.array(arcs).T
    final_cost = np.full(num_states, np.inf)
    final_cost[random.choice(num_states, num_final, replace=False)] = random.uniform(0, 2, num_final)
    return CsrGraph.from_arcs(0, source, ilabel, olabel, nextstate, random.uniform(0, 3, len(arcs)), final_cost)


def viterbi(graph: CsrGraph, tid_to_pdf, loglikes, acoustic_scale, word_penalty=0.0):
    """(cost, words, transition-ids) of the best complete path; cost inf where there is none."""
    source = np.repeat(np.arange(graph.num_states), np.diff(graph.arc_begin))
    arc_cost = graph.arc_cost.astype(np.float64) + word_penalty * (graph.arc_olabel != 0)
    best = {int(graph.start): (0.0, (), ())}

    def extend(before, after, arc, cost):
        state, new_cost = int(graph.arc_nextstate[arc]), before[0] + cost
        if state not in after or new_cost < after[state][0]:
            word, tid = int(graph.arc_olabel[arc]), int(graph.arc_ilabel[arc])
            after[state] = (new_cost, before[1] + (word,) * (word != 0), before[2] + (tid,) * (tid != 0))
            return True
        return False

    def close(states):
        changed = True
        while changed:
            changed = False
            for arc in np.flatnonzero(graph.arc_ilabel == 0):
                if int(source[arc]) in states:
                    changed |= extend(states[int(source[arc])], states, arc, arc_cost[arc])

    close(best)
    for frame in loglikes.astype(np.float64):
        after = {}
        for arc in np.flatnonzero(graph.arc_ilabel):
            if int(source[arc]) in best:
                extend(
                    best[int(source[arc])], after, arc, arc_cost[arc] - acoustic_scale * frame[tid_to_pdf[graph.arc_ilabel[arc]]]
                )
        best = after
        close(best)
    endings = [(path[0] + graph.final_cost[state], *path[1:]) for state, path in best.items()]
    return min(endings, default=(np.inf, (), ()))


def all_paths(graph: CsrGraph, tid_to_pdf, loglikes, acoustic_scale):
    """Every complete path of len(loglikes) frames as (cost, words, transition-ids, arcs); epsilon arcs must be acyclic."""
    paths = []

    def walk(state, frame, cost, words, tids, arcs):
        if frame == len(loglikes) and graph.final_cost[state] < np.inf:
            paths.append((cost + float(graph.final_cost[state]), words, tids, arcs))
        for arc in range(graph.arc_begin[state], graph.arc_begin[state + 1]):
            tid, word = int(graph.arc_ilabel[arc]), int(graph.arc_olabel[arc])
            if tid and frame == len(loglikes):
                continue
            acoustic = -acoustic_scale * float(loglikes[frame, tid_to_pdf[tid]]) if tid else 0.0
            after = words + (word,) * (word != 0), tids + (tid,) * (tid != 0), (*arcs, arc)
            walk(graph.arc_nextstate[arc], frame + (tid != 0), cost + float(graph.arc_cost[arc]) + acoustic, *after)

    walk(graph.start, 0, 0.0, (), (), ())
    return sorted(paths)
