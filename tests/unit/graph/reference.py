"""Slow, obvious searches that the graphs are compared with."""

import itertools

import numpy as np

from asrtool.fst.csr import CsrGraph


def graph_viterbi(graph: CsrGraph, model, acoustic_cost: np.ndarray) -> float:
    """Cost of the best path of len(acoustic_cost) frames; acoustic_cost float64 [T, num_pdfs]."""
    arcs = list(zip(graph.arc_source.tolist(), graph.arc_ilabel.tolist(), graph.arc_nextstate.tolist(), graph.arc_cost.tolist()))
    emitting = [arc for arc in arcs if arc[1]]
    silent = [arc for arc in arcs if not arc[1]]

    def close(cost):
        changed = True
        while changed:
            changed = False
            for source, _, nextstate, arc_cost in silent:
                if cost[source] + arc_cost < cost[nextstate] - 1e-9:
                    cost[nextstate] = cost[source] + arc_cost
                    changed = True
        return cost

    cost = np.full(graph.num_states, np.inf)
    cost[graph.start] = 0
    cost = close(cost)
    for frame in acoustic_cost:
        new = np.full(graph.num_states, np.inf)
        for source, tid, nextstate, arc_cost in emitting:
            new[nextstate] = min(new[nextstate], cost[source] + arc_cost + frame[model.tid_to_pdf[tid]])
        cost = close(new)
    return float((cost + graph.final_cost).min())


def phone_sequences(pronunciations, words):
    """(phones, cost) of every choice of pronunciations and silences for a sequence of word ids."""
    silence = pronunciations.silence_phone
    between = [((), 0)] + ([((silence,), 1)] if silence else [])
    for choice in itertools.product(*(pronunciations.of_word(word) for word in words)):
        for silences in itertools.product(between, repeat=len(words) + 1):
            phones, before = silences[0]
            cost = float(pronunciations.begin[before])
            for (own, enter, leave), (after, kind) in zip(choice, silences[1:]):
                cost += enter[before] + leave[kind]
                phones, before = (*phones, *own, *after), kind
            if phones:
                yield phones, cost + float(pronunciations.end[before])


def hmm_viterbi(phones, tree, model, costs, acoustic_cost) -> float:
    """Cost of the best alignment of a phone sequence; costs float [num_transition_ids + 1] of transitions."""
    width, centre = tree.context_width, tree.central_position
    padded = [0] * centre + list(phones) + [0] * (width - 1 - centre)
    tuples = {tuple(row): index for index, row in enumerate(model.tuples.tolist())}
    start = {("enter", 0): 0.0}  # before the first transition out of phone 0, state 0
    current = start
    for frame in acoustic_cost:
        following = {}

        def offer(key, cost, following=following):
            following[key] = min(following.get(key, np.inf), cost)

        for key, cost in current.items():
            if key[0] == "enter":
                place, state = key[1], 0
            else:
                _, place, state, row = key  # stands behind a transition out of `row` that led to `state`
                loop = model.self_loop_tid(row)
                if loop:
                    offer(key, cost + costs[loop] + frame[model.tid_to_pdf[loop]])
                if state == len(model.topology.states(phones[place])) - 1:
                    place, state = place + 1, 0
                    if place == len(phones):
                        continue
            phone, window = phones[place], padded[place : place + width]
            hmm_state = model.topology.states(phone)[state]
            pdfs = [tree.compute(window, c) for c in (hmm_state.forward_pdf_class, hmm_state.self_loop_pdf_class)]
            row = tuples[(phone, state, *pdfs)]
            for index, (destination, _) in enumerate(hmm_state.transitions):
                if destination != state:
                    tid = model.tid(row, index)
                    offer(("behind", place, destination, row), cost + costs[tid] + frame[model.tid_to_pdf[tid]])
        current = following
    last = len(phones) - 1
    final = len(model.topology.states(phones[last])) - 1
    return min((cost for key, cost in current.items() if key[0] == "behind" and key[1:3] == (last, final)), default=np.inf)
