"""Takes arcs that put nothing out, and their costs, into those that do."""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def without_epsilons(arc_begin, arc_end, is_epsilon, arc_graph, arc_acoustic, kept, useful):
    """The arcs that put something out as seen from the states that are kept.

    From a kept state every path of epsilon arcs is followed (of several to one state the cheapest, ties to the first); where it
    meets another arc, an arc leads from the kept state to that arc's end, at the cost of both.

    Args:
        arc_begin: int64 [S + 1]; arc_end int32, is_epsilon bool, arc_graph and arc_acoustic float64 [A]; topological; the last
            state is the only final one.
        kept: bool [S], at least the first state and those that other arcs end in.
        useful: bool [S], states that reach the last one.

    Returns:
        source (kept state), arc: int32 [B]; graph, acoustic costs float64 [B]; final_graph, final_acoustic float64 [S], inf where
        the last state is not reached by epsilon arcs alone.
    """
    num_states = len(kept)
    final_graph, final_acoustic = np.full(num_states, np.inf), np.full(num_states, np.inf)
    mark, graph, acoustic = np.full(num_states, -1, np.int64), np.zeros(num_states), np.zeros(num_states)
    reached, stack = np.empty(num_states, np.int32), [np.int32(0)]
    source, arc_of = np.empty(0, np.int32), np.empty(0, np.int32)
    new_graph, new_acoustic = np.empty(0), np.empty(0)
    for fill in range(2):
        number = 0
        for state in range(num_states):
            if not (kept[state] and useful[state]):
                continue
            round_ = 2 * state + fill
            mark[state], graph[state], acoustic[state], reached[0] = round_, 0.0, 0.0, state
            num_reached = 1
            stack.append(np.int32(state))
            while len(stack) > 1:
                here = stack.pop()
                for arc in range(arc_begin[here], arc_begin[here + 1]):
                    end = arc_end[arc]
                    if not (is_epsilon[arc] and useful[end]):
                        continue
                    new_g, new_a = graph[here] + arc_graph[arc], acoustic[here] + arc_acoustic[arc]
                    if mark[end] == round_ and new_g + new_a >= graph[end] + acoustic[end]:
                        continue
                    if mark[end] != round_:
                        reached[num_reached] = end
                        num_reached += 1
                    mark[end], graph[end], acoustic[end] = round_, new_g, new_a
                    stack.append(end)
            for k in range(num_reached):
                here = reached[k]
                if here == num_states - 1:
                    final_graph[state], final_acoustic[state] = graph[here], acoustic[here]
                for arc in range(arc_begin[here], arc_begin[here + 1]):
                    if is_epsilon[arc] or not useful[arc_end[arc]]:
                        continue
                    if fill:
                        source[number], arc_of[number] = state, arc
                        new_graph[number], new_acoustic[number] = graph[here] + arc_graph[arc], acoustic[here] + arc_acoustic[arc]
                    number += 1
        if not fill:
            source, arc_of = np.empty(number, np.int32), np.empty(number, np.int32)
            new_graph, new_acoustic = np.empty(number), np.empty(number)
    return source, arc_of, new_graph, new_acoustic, final_graph, final_acoustic
